"""What a check says: a name, a verdict, and one sentence of advice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "blocking"]

MOST_NAMED = 10
"""Longer lists are cut: nobody reads a sentence of a thousand names."""


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: short stable name.
        verdict: ok, warning or blocking.
        message: what was seen, with figures, and what to do about it.
    """

    name: str
    verdict: Verdict
    message: str


def worst(checks: Iterable[Check]) -> Verdict:
    """The gravest verdict among checks; ok when there are none."""
    verdicts = {c.verdict for c in checks}
    return "blocking" if "blocking" in verdicts else "warning" if "warning" in verdicts else "ok"


def listed(items: Sequence[str], most: int = MOST_NAMED) -> str:
    """Items as a list for a sentence, cut after the first `most`: "a, b and 3 more"."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, thing: str) -> str:
    """A number with its noun: "1 outline", "2,000 patches"."""
    plural = thing + ("es" if thing.endswith(("ch", "s")) else "s")
    return f"{count:,} {thing if count == 1 else plural}"


def shown_ha(value: float) -> str:
    """Hectares as people should read them: whole ones from 100 on, one decimal below."""
    shown = f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:,.1f}"
    return f"{'0.0' if shown == '-0.0' else shown} ha"
