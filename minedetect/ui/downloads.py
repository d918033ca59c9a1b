"""Download buttons for what a run wrote; a file is read when its button is pressed, not before."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from minedetect import runs
from minedetect.runs import Run
from minedetect.ui import addresses, frame, words

GROUPS: dict[str, tuple[str, ...]] = {
    "Report and tables": (
        runs.REPORT,
        runs.AREAS,
        runs.SUMMARY,
        runs.SAMPLE_DESIGN,
        runs.ESTIMATE,
        runs.THRESHOLD_HECTARES,
        runs.RESULTS_PICTURE,
        runs.SUSPECTS_PICTURE,
    ),
    "Maps": (
        runs.CHANGE_MAP,
        runs.CHANGE_KIND,
        runs.prediction_name("*"),
        runs.probability_name("*"),
        runs.preview_name("*"),
        runs.MASK,
        f"scenes/*/{runs.MASK}",
    ),
    "Outlines": (
        runs.CHANGE_POLYGONS,
        runs.mines_name("*"),
        runs.outlines_name("*"),
        runs.LABELLED_MINES,
        runs.SUSPECTS,
    ),
    "Model and its training": (
        runs.MODEL,
        runs.EVALUATION,
        runs.EVALUATION_PICTURE,
        runs.METRICS,
        f"{runs.FOLDS_FOLDER}/*/{runs.METRICS}",
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
    "Settings and log": (runs.MANIFEST, runs.CONFIG, runs.STATUS, runs.LOG),
}


def show(run: Run) -> None:
    """A button for every artifact of the run that exists, grouped by use."""
    frame.section("Downloads")
    size_bytes = sum(path.stat().st_size for path in files_of(run))
    st.link_button(
        f"Everything below as one zip ({words.size(size_bytes)})", addresses.address("zips", run.name), icon="📦"
    )
    for title, patterns in GROUPS.items():
        files = _found(run, patterns)
        if files:
            st.markdown(f"**{title}**")
            with st.container(horizontal=True):
                for path in files:
                    button(run, path, path.relative_to(run.root).as_posix())


def files_of(run: Run) -> list[Path]:
    """Every artifact that is offered, in the order of the page."""
    return [path for patterns in GROUPS.values() for path in _found(run, patterns)]


def _found(run: Run, patterns: Sequence[str]) -> list[Path]:
    found = [path for pattern in patterns for path in sorted(run.root.glob(pattern))]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def button(run: Run, path: Path, shown: str) -> None:
    """A button that downloads one file of a run, under the name that is shown."""
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
