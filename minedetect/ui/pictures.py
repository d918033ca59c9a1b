"""The run's pictures, each with what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from minedetect.runs import EDGE_PICTURE, HISTORY, MASK_PICTURE, RESULTS_PICTURE, Run
from minedetect.ui import frame, words


class Picture(NamedTuple):
    name: str
    alt: str
    caption: str


PICTURES = (
    Picture(
        RESULTS_PICTURE,
        "Both images with the mines found in each, and a map of the change between them.",
        "Both dates, the mines found in each, and the change: red is new, blue is gone.",
    ),
    Picture(
        HISTORY,
        "Curves of loss and overlap per epoch of the training.",
        "How the model learned: the loss should fall and the overlap should rise.",
    ),
    Picture(
        MASK_PICTURE,
        "The first image, the mask made of the mine outlines, and both laid over each other.",
        "The outlines as the model sees them. They should lie on the mines of the image.",
    ),
    Picture(
        EDGE_PICTURE,
        "The borders of the mine mask, drawn on the image.",
        "The borders of the outlines. They should follow the borders of the mines.",
    ),
)


def show(run: Run) -> None:
    """Every picture the run has, in the order a reader needs them."""
    found = [(picture, path) for picture in PICTURES for path in _places(run, picture.name)]
    if not found:
        return
    frame.section("Pictures")
    for picture, path in found:
        scene = "" if path.parent == run.root else f" Scene {words.literal(path.parent.name)}."
        with frame.in_words():
            st.image(str(path), caption=picture.caption + scene, alt=picture.alt, width="stretch")


def _places(run: Run, name: str) -> list[Path]:
    return [run.path(name)] if run.has(name) else sorted(run.root.glob(f"scenes/*/{name}"))
