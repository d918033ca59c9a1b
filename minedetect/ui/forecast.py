"""How long a training would take on this computer, told when it is asked for; and who trains here already."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from minedetect import draft as drafts
from minedetect import jobs, pace
from minedetect.config import Settings, TileSettings
from minedetect.pace import Pace, Work
from minedetect.runs import SPLIT, list_runs
from minedetect.turns import holder, queue_of
from minedetect.ui import device, frame, words
from minedetect.ui.kept import Kept

BANDS = 5
"""Of the district, and of a scene whose bands are not known yet."""
MEASURED = "measured paces"
"""Where what a visitor asked for is kept: it is shown as long as what decides it stays as it was."""


@dataclass(frozen=True)
class Measured:
    """An answer: the pace, the split as it was then (None: not known), and whether the computer was busy."""

    pace: Pace
    split: Mapping[str, Any] | None
    busy: bool


def at_work() -> str:
    """Whose training holds the device now; empty where none does."""
    return holder(queue_of("cuda" if device.has_gpu() else "cpu"))


def show(kept_in: Kept, settings: Settings) -> None:
    """The button, and what it found for settings like these; only its own part of the page waits for the answer."""
    st.fragment(_show)(kept_in, settings)


def _show(kept_in: Kept, settings: Settings) -> None:
    with frame.in_words():
        answers: dict[str, Measured] = st.session_state.setdefault(MEASURED, {})
        deciding, bands = json.dumps(pace.deciding(settings)), _bands(kept_in)
        grounds = settings.model_dump_json(include={*TileSettings.model_fields, "seed"})
        key = json.dumps([kept_in.part, deciding, bands, grounds])
        if st.button(
            "Estimate time",
            key=f"{kept_in.part}estimate",
            help="Trains for about a second on made-up tiles, to see how fast this computer is with these settings.",
        ):
            with st.spinner("Measuring how fast this computer trains; most of these seconds go into loading"):
                busy = _busy()
                answers[key] = Measured(_measured(deciding, bands, busy), _split(kept_in, grounds), busy)
        if key in answers:
            _tell(answers[key], settings)


def _tell(answer: Measured, settings: Settings) -> None:
    work = pace.work_of(answer.split, settings) if answer.split else None
    st.markdown(sentence(answer.pace, work, settings))
    if answer.busy:
        st.caption(
            "A rough estimate: this computer was at work on something else, to which one core was left. "
            "Estimate again when that is done."
        )


@st.cache_data(max_entries=256, show_spinner=False)
def _measured(deciding: str, bands: int, spare: bool) -> Pace:
    return pace.measured(json.loads(deciding), bands, spare)


def _busy() -> bool:
    """Whether this computer has much else to do: a run at work, or as many processes as there are cores."""
    if any(jobs.is_active(run.status()) for run in list_runs()) or at_work():
        return True
    return os.getloadavg()[0] > max(1, device.cores() - 0.5)


def _bands(kept_in: Kept) -> int:
    """C, of the image of the first date where it was looked at."""
    found = (drafts.findings(kept_in.draft) if kept_in.draft else None) or {}
    count = words.number(((found.get("files") or {}).get("before") or {}).get("count"))
    return int(count) if count else BANDS


def _split(kept_in: Kept, grounds: str) -> Mapping[str, Any] | None:
    """How the ground is split; None where that was not found out yet."""
    if kept_in.draft is None:
        return _district_split(grounds)
    known = drafts.findings(kept_in.draft)
    folder = drafts.check_run(kept_in.draft)
    return folder.read_json(SPLIT) if known and folder.has(SPLIT) else None


@st.cache_data(max_entries=64, show_spinner=False)
def _district_split(grounds: str) -> Mapping[str, Any]:
    from minedetect.outlook import district_split  # loads slowly

    return district_split(Settings.model_validate_json(grounds))


def _rounded(rate: float) -> str:
    """Two digits that mean something, never as 1e+02."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def sentence(seen: Pace, work: Work | None, settings: Settings) -> str:
    """What was measured and what it means for the training, as Markdown."""
    where = f"on this device ({words.literal(seen.device)}, {words.literal(seen.precision)})"
    rate = f"{_rounded(seen.learned_per_s)} tiles per second"
    if work is None:
        return f"About {rate} {where}. How many tiles there are is known when the files are checked."
    epochs = words.counted(settings.epochs, "epoch")
    lasts = words.duration(pace.foretold_s(seen, work, settings.epochs))
    told = (
        f"**About {lasts}** for {epochs} of {words.counted(work.learned, 'tile')} {where}, validation included, "
        f"at {rate}. Training ends earlier where the IoU no longer gets better; preparing and predicting come on top."
    )
    if not seen.whole:
        told += " A whole step of this training takes long, so this is reckoned from smaller ones."
    if settings.devices > 1:
        told += f" Measured on one device; {settings.devices} are quicker."
    return told
