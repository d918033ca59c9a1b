"""The run's pictures, each with what it shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from PIL import Image

from minedetect.runs import (
    EDGE_PICTURE,
    EVALUATION_PICTURE,
    HISTORY,
    MASK_PICTURE,
    RESULTS_PICTURE,
    SUSPECTS_PICTURE,
    Run,
)
from minedetect.ui import frame, words

WIDEST_PX = 1460
"""Streamlit's own limit; wider pictures it shrinks itself."""


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
        SUSPECTS_PICTURE,
        "Parts of the first image around places that look like mines and lie outside all outlines.",
        "Places that look like mines outside all outlines: label them, or leave them out.",
    ),
    Picture(
        EVALUATION_PICTURE,
        "Four charts: whether probabilities hold, the model beside simple rules, score and hectares by threshold.",
        "How well the model finds mines: whether its probabilities hold, what simple rules reach, and how much "
        "score and hectares hang on the threshold.",
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
            content = preview(str(path), path.stat().st_mtime_ns)
            st.image(content, caption=picture.caption + scene, alt=picture.alt, width="stretch")


@st.cache_data(max_entries=64, show_spinner=False)
def preview(path: str, changed_ns: int) -> bytes:  # noqa: ARG001 (part of the cache key)
    """A picture for the page, as JPEG; the file itself is among the downloads.

    Streamlit would shrink and pack each PNG anew at every visit, 0.9 s for the four.

    Args:
        path: the picture.
        changed_ns: when it was written, so that a new picture is not shown as the old one.
    """
    packed = io.BytesIO()
    with Image.open(path) as picture:
        shown = picture.convert("RGB")
    shown.thumbnail((WIDEST_PX, 10 * WIDEST_PX), Image.Resampling.BILINEAR)
    shown.save(packed, "JPEG", quality=90, subsampling=0)
    return packed.getvalue()


def _places(run: Run, name: str) -> list[Path]:
    return [run.path(name)] if run.has(name) else sorted(run.root.glob(f"scenes/*/{name}"))
