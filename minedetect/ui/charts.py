"""Charts of a training: loss and overlap per epoch, with the epoch that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from minedetect.curves import Epoch
from minedetect.trends import best

TEAL, GOLD, GREY = "#2f8f78", "#b98a1d", "#8a8f98"
CURVES = {
    "train_loss": ("Loss in training", GREY, "dot"),
    "validation_loss": ("Loss in validation", TEAL, "solid"),
    "iou": ("Overlap (IoU)", TEAL, "solid"),
    "dice": ("Overlap (Dice)", GOLD, "dot"),
}
LOSSES, SCORES = ("train_loss", "validation_loss"), ("iou", "dice")
FEW = 12
"""Up to so many epochs each is shown as a point and named on the axis; one alone would be no line at all."""


def curves(history: Sequence[Epoch]) -> None:
    """Loss and overlap side by side, below each other on a phone."""
    left, right = st.columns(2)
    left.markdown("**Loss per epoch** (lower is better)")
    _chart(left, history, LOSSES, "Line chart of the loss per epoch.")
    right.markdown("**Overlap per epoch** (higher is better)")
    _chart(right, history, SCORES, "Line chart of the overlap with the labels per epoch.")


def _chart(place: Any, history: Sequence[Epoch], names: Sequence[str], alt: str) -> None:
    figure = go.Figure()
    epochs = [row.epoch for row in history]
    for name in names:
        label, colour, dash = CURVES[name]
        line = {"color": colour, "dash": dash, "width": 2.5}
        mode = "lines+markers" if len(epochs) <= FEW else "lines"
        figure.add_scatter(x=epochs, y=[getattr(row, name) for row in history], name=label, line=line, mode=mode)
    _mark_best(figure, history, names[-1] if names == LOSSES else names[0])
    figure.update_layout(
        height=280,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": -0.3},
        xaxis={"title": "Epoch", "dtick": 1 if len(epochs) <= FEW else None, "tickformat": "d"},
        yaxis={"range": [0, 1] if names == SCORES else None, "rangemode": "tozero"},
        hovermode="x unified",
    )
    place.plotly_chart(figure, alt=alt, config={"displayModeBar": False}, key=f"chart {names[0]}")


def _mark_best(figure: go.Figure, history: Sequence[Epoch], name: str) -> None:
    """A diamond on the epoch with the highest IoU, whose weights are kept."""
    kept = best(history)
    if kept is None:
        return
    marker = {"symbol": "diamond", "size": 12, "color": CURVES[name][1], "line": {"color": "white", "width": 1.5}}
    figure.add_scatter(
        x=[kept.epoch], y=[getattr(kept, name)], name=f"Best: epoch {kept.epoch}", mode="markers", marker=marker
    )
