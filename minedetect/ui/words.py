"""Figures, states and verdicts in words; text from files made harmless for Markdown."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Literal, NamedTuple

Colour = Literal["red", "orange", "blue", "green", "gray"]

OLDER_CURVES = (
    "The curves of this run were written by an older version of minedetect and cannot be shown here. "
    "They stand in its file `metrics.csv`."
)
UNKNOWN = "not known"
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_MADE_INTO_SOMETHING = re.compile(r"(?<=www)(?=\.)|(?<=:)(?=//|streamlit:)|(?=@)|(?<=[-<>])(?=[-=>])", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_UNSEEN = re.compile("[\0-\x08\x0e-\x1b\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control signs, and those that turn the direction of writing: after one of them 16.0 ha is read as 0.61."""


class Badge(NamedTuple):
    """A word that says it and a colour that repeats it."""

    word: str
    colour: Colour


NEW = ":red[:material/add_circle: New]"
GONE = ":blue[:material/remove_circle: Gone]"
"""Labels in Markdown: red is new and blue is gone everywhere, with a sign of its own for each."""

STATES = {
    "new": Badge("not started", "gray"),
    "queued": Badge("waiting", "gray"),
    "running": Badge("running", "blue"),
    "done": Badge("done", "green"),
    "failed": Badge("failed", "red"),
    "stopped": Badge("stopped", "orange"),
    "interrupted": Badge("interrupted", "orange"),
}

VERDICTS = {
    "plausible": Badge("plausible", "green"),
    "review": Badge("needs review", "orange"),
    "implausible": Badge("implausible", "red"),
    "unknown": Badge("not judged", "gray"),
}

VERDICT_SENTENCES = {
    "plausible": "Plausible. The checks found nothing against these figures.",
    "review": "Needs review. A person must look at the points below before these figures are used.",
    "implausible": "Implausible. Do not use these figures as a result: the points below say why.",
    "unknown": "Not judged. What the checks need was not there, so nothing vouches for these figures.",
}

ADVICE = {
    "failed": "It ended with a fault. Mend what the lines below name before it goes on.",
    "interrupted": "It ended before it was done: the computer or the program was shut down.",
    "stopped": "It was stopped on request. What was finished is kept.",
}

QUEUED = "It starts by itself when its turn comes."

HEALTH = {
    "good": ":green-badge[:material/check_circle: good]",
    "watch": ":orange-badge[:material/visibility: watch]",
    "bad": ":red-badge[:material/error: change something]",
}
"""A verdict on a training in Markdown: sign, word and colour say the same."""

STEPS = {
    "district": "Inventing the district",
    "prepare": "Preparing the mask",
    "train": "Training the model",
    "evaluate": "Testing the model on ground it never saw",
    "predict": "Finding mines in both images",
    "change": "Comparing the two dates",
    "report": "Writing the report",
}


def one_line(text: object) -> str:
    """Text from a file with all space between words alike and without signs that nobody sees."""
    return " ".join(_UNSEEN.sub("", str(text)).split())


def literal(text: object) -> str:
    """Text from a file or an address for places that read Markdown: shown as it is, on one line.

    Every punctuation mark is escaped. What Streamlit would still turn into links, arrows and
    logos after that is broken by an invisible word joiner.
    """
    line = _MADE_INTO_SOMETHING.sub(_WORD_JOINER, one_line(text))
    return _PUNCTUATION.sub(r"\\\1", line)


def in_html(text: object) -> str:
    """Text from a file for places that read HTML, a script or a template: shown as it is, on one line.

    All but letters, digits, space and `. , _ -` becomes a character reference, so nothing that means
    anything to one of them is left.
    """
    return "".join(sign if sign.isalnum() or sign in " .,_-" else f"&#{ord(sign)};" for sign in one_line(text))


def with_flags(text: str) -> str:
    """A sentence of this program's own in Markdown, its flags as code that can be copied as it is."""
    return re.sub(r"--[a-z][a-z-]*(?: \d[\d.e-]*(?<!\.))?", r"`\g<0>`", text)


def number(value: object) -> float | None:
    """A figure from a JSON file, None where there is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def hectares(value: object, sign: bool = False) -> str:
    """Hectares with one decimal, thousands separators and the unit."""
    ha = number(value)
    if ha is None:
        return UNKNOWN
    return f"{ha:+,.1f} ha" if sign else f"{ha:,.1f} ha"


def count(value: object) -> str:
    """A whole number with thousands separators."""
    shown = number(value)
    return UNKNOWN if shown is None else f"{shown:,.0f}"


def counted(value: object, noun: str) -> str:
    """A number of things: "1 mine", "3 mines"."""
    shown = count(value)
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"


def moment(text: object) -> str:
    """A time stamp as a person writes it; anything else as it is, harmless for Markdown."""
    try:
        return f"{datetime.fromisoformat(str(text)):%d %B %Y, %H:%M} UTC"
    except ValueError:
        return literal(text)


def score(value: object) -> str:
    """A score between 0 and 1 with two decimals."""
    shown = number(value)
    return UNKNOWN if shown is None else f"{shown:.2f}"


def percent(value: object) -> str:
    """A share as a whole per cent."""
    share = number(value)
    return "an unknown share" if share is None else f"{100 * share:.0f} %"


def step(name: str) -> str:
    """What a step does, in words."""
    first, _, rest = name.partition(" ")
    known = STEPS.get(first)
    return f"{known} {rest}".strip() if known else name.replace("_", " ").capitalize()


def ago(then_s: float) -> str:
    """How long ago a moment was, roughly."""
    minutes = (time.time() - then_s) / 60
    if minutes < 1:
        return "just now"
    if minutes < 90:
        return f"{minutes:.0f} min ago"
    hours = minutes / 60
    return f"{hours:.0f} hours ago" if hours < 36 else f"{hours / 24:.0f} days ago"


def duration(seconds: float) -> str:
    """How long something takes, roughly."""
    if seconds < 90:
        return f"{max(1.0, seconds):.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def size(size_bytes: int) -> str:
    """A size of a file or of memory that a person reads at a glance."""
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{max(1, round(size_bytes / 1e3))} kB"


def calm_log(text: str) -> str:
    """Log lines without the program's inner call lists; the sentence that ends one stays."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("Traceback "):
            inside = True
        elif not (inside and (line.startswith(" ") or not line)):
            inside = False
            kept.append(line)
    return "\n".join(kept)
