"""Download buttons for what a run wrote; a file is read when its button is pressed, not before."""

from __future__ import annotations

import mimetypes
from functools import partial
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from minedetect import runs
from minedetect.runs import Run
from minedetect.ui import frame, words

GROUPS: dict[str, tuple[str, ...]] = {
    "Report and tables": (runs.REPORT, runs.AREAS, runs.SUMMARY, runs.RESULTS_PICTURE),
    "Maps": (
        runs.CHANGE_MAP,
        runs.CHANGE_KIND,
        runs.prediction_name("*"),
        runs.probability_name("*"),
        runs.MASK,
        f"scenes/*/{runs.MASK}",
    ),
    "Outlines": (runs.CHANGE_POLYGONS, runs.mines_name("*")),
    "Model and its training": (
        runs.MODEL,
        runs.EVALUATION,
        runs.METRICS,
        runs.HISTORY,
        runs.SPLIT,
        runs.SPLIT_PICTURE,
        runs.SPLIT_AREAS,
    ),
    "Mask checks": (
        runs.QUALITY,
        runs.MASK_PICTURE,
        runs.EDGE_PICTURE,
        f"scenes/*/{runs.QUALITY}",
        f"scenes/*/{runs.MASK_PICTURE}",
        f"scenes/*/{runs.EDGE_PICTURE}",
    ),
    "Settings and log": (runs.CONFIG, runs.STATUS, runs.LOG),
}


def show(run: Run) -> None:
    """A button for every artifact of the run that exists, grouped by use."""
    frame.section("Downloads")
    for title, patterns in GROUPS.items():
        files = [path for pattern in patterns for path in sorted(run.root.glob(pattern)) if path.is_file()]
        if files:
            st.markdown(f"**{title}**")
            with st.container(horizontal=True):
                for path in files:
                    _button(run, path)


def _button(run: Run, path: Path) -> None:
    shown = path.relative_to(run.root).as_posix()
    st.download_button(
        f"{words.literal(shown)} ({words.size(path.stat().st_size)})",
        data=partial(_open, path),
        file_name=path.name,
        mime=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        key=f"download {run.name} {shown}",
        type="primary" if shown == runs.REPORT else "secondary",
        on_click="ignore",
    )


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
