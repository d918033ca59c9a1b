"""How good the model is: its scores in plain words, and how it learned."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from minedetect.runs import METRICS, Run
from minedetect.ui import frame, words

Epoch = dict[str, float]

TEAL, GOLD, GREY = "#2f8f78", "#b98a1d", "#8a8f98"
CURVES = {
    "train_loss": ("Loss in training", GREY, "dot"),
    "validation_loss": ("Loss in validation", TEAL, "solid"),
    "iou": ("Overlap (IoU)", TEAL, "solid"),
    "dice": ("Overlap (Dice)", GOLD, "dot"),
}
SCORES = {
    "iou": ("Overlap (IoU)", "Shared ground of found and labelled mines, as a share of both together. 1 is perfect."),
    "dice": ("Overlap (Dice)", "The same overlap counted another way; always a little higher than IoU."),
    "precision": ("Precision", "How much of what was called mine is labelled as mine."),
    "recall": ("Recall", "How much of what is labelled as mine was found."),
}


def evaluation(content: Mapping[str, Any]) -> None:
    """The scores as figures, then as sentences."""
    frame.section("How well the model finds mines")
    for column, (key, (label, meaning)) in zip(st.columns(4), SCORES.items(), strict=True):
        column.metric(label, words.score(content.get(key)), help=meaning, border=True)
    st.markdown("".join(f"- {line}\n" for line in sentences(content)))


def sentences(content: Mapping[str, Any]) -> list[str]:
    """What the scores say, as Markdown sentences."""
    found, right = words.percent(content.get("recall")), words.percent(content.get("precision"))
    index = words.literal(content.get("baseline") or "none known")
    threshold = words.score(content.get("threshold"))
    return [
        f"The model found {found} of the ground labelled as mine; {right} of what it called mine is labelled as mine.",
        f"Its overlap (IoU) is {words.score(content.get('iou'))}. The best rule on a single index ({index}) reaches "
        f"{words.score(content.get('baseline_iou'))}; finding no mine anywhere reaches "
        f"{words.score(content.get('all_background_iou'))}.{_worth(content)}",
        f"On the validation ground it found {words.hectares(content.get('predicted_ha'))} of mining; "
        f"the labels hold {words.hectares(content.get('labelled_ha'))}.",
        _ground(content),
        _interval(content.get("ci95")),
        f"The same ground also chose when to stop and the threshold ({threshold}), "
        "so expect slightly lower scores elsewhere.",
    ]


def _ground(content: Mapping[str, Any]) -> str:
    mines = words.counted(content.get("mines"), "mine")
    blocks = words.counted(content.get("blocks"), "separate block")
    pixels = words.counted(content.get("pixels"), "pixel")
    return f"Measured on ground that training never saw: {mines} in {blocks}, {pixels}."


def _worth(content: Mapping[str, Any]) -> str:
    model, rule = words.number(content.get("iou")), words.number(content.get("baseline_iou"))
    if model is None or rule is None or model > rule:
        return ""
    return " **The model is no better than that rule: do not rely on it.**"


def _interval(ci95: object) -> str:
    if isinstance(ci95, list) and len(ci95) == 2:
        return f"Over the blocks, the 95 % interval of IoU is {words.score(ci95[0])} to {words.score(ci95[1])}."
    return "There are too few separate blocks with mines to say how far chance moves these scores."


def learning_curve(run: Run) -> None:
    """Loss and overlap per epoch, as charts and as a table."""
    history = _history(run)
    if not history:
        return
    frame.section("How the model learned")
    left, right = st.columns(2)
    left.markdown("**Loss per epoch** (lower is better)")
    _chart(left, history, ["train_loss", "validation_loss"], "Line chart of the loss per epoch.")
    right.markdown("**Overlap per epoch** (higher is better)")
    _chart(right, history, ["iou", "dice"], "Line chart of the overlap with the labels per epoch.")
    with st.expander("The same as a table"):
        st.dataframe(history, hide_index=True)


def _history(run: Run) -> list[Epoch]:
    """Whole rows of the metrics file; a half-written last line is left out."""
    if not run.has(METRICS):
        return []
    with run.path(METRICS).open(encoding="utf-8", newline="") as file:
        return [row for line in csv.DictReader(file) if (row := _figures(line))]


def _figures(line: dict[str | Any, str | Any]) -> Epoch:
    wanted = ("epoch", *CURVES)
    try:
        return {key: float(line[key]) for key in wanted}
    except (KeyError, TypeError, ValueError):
        return {}


def _chart(place: Any, history: list[Epoch], names: list[str], alt: str) -> None:
    figure = go.Figure()
    for name in names:
        label, colour, dash = CURVES[name]
        line = {"color": colour, "dash": dash, "width": 2.5}
        steps, heights = [row["epoch"] for row in history], [row[name] for row in history]
        figure.add_scatter(x=steps, y=heights, name=label, line=line, mode="lines")
    figure.update_layout(
        height=280,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": -0.25},
        xaxis_title="Epoch",
        hovermode="x unified",
    )
    place.plotly_chart(figure, alt=alt, config={"displayModeBar": False}, key=f"chart {names[0]}")
