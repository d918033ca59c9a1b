"""Hectares of both dates by threshold, and the threshold that the map shows."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from minedetect.runs import THRESHOLD_HECTARES, Run
from minedetect.ui import results, words

DEFAULT_PERCENT = 50
OPEN = "other thresholds of"
LINES = (("#2f8f78", "dash"), ("#b98a1d", "solid"))


def show(run: Run, years: tuple[str, str]) -> int:
    """A slider with the hectares at the chosen threshold; returns that threshold in per cent."""
    table = results.read(run, THRESHOLD_HECTARES)
    amounts = [_amounts(table or {}, year) for year in years]
    own = words.number((table or {}).get("threshold"))
    start = DEFAULT_PERCENT if own is None else min(99, max(1, round(100 * own)))
    if not all(amounts):
        return start
    with st.expander("Try other thresholds", key=f"{OPEN} {run.name}", on_change="rerun") as shown:
        st.markdown(
            f"This run calls ground mine from a probability of {start} % on. Here small patches are not left out, so "
            "the figures differ a little from those above. They show how much hangs on the threshold; the result stays "
            "that of the run. On the map, the layers Probability show what is at or above it."
        )
        percent: int = st.slider("Threshold, % probability", 1, 99, start, key=f"threshold of {run.name}")
        for column, year, found in zip(st.columns(2), years, amounts, strict=True):
            column.metric(
                f"At or above {percent} % in {words.literal(year)}", words.hectares(found[percent - 1]), border=True
            )
        if shown.open:  # a chart loads slowly, and the map would wait for it
            _chart(years, amounts, start)
    return percent


def _amounts(table: results.Content, year: str) -> list[float]:
    """Hectares at 1 to 99 %; empty where the table does not hold them."""
    found = results.part(table, "hectares").get(year)
    numbers = [words.number(ha) for ha in found] if isinstance(found, list) else []
    known = [ha for ha in numbers if ha is not None]
    return known if len(known) == 99 else []


def _chart(years: tuple[str, str], amounts: list[list[float]], own_percent: int) -> None:
    figure = go.Figure()
    for year, found, (colour, dash) in zip(years, amounts, LINES, strict=True):
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(x=list(range(1, 100)), y=found, name=year, line=line, mode="lines")
    figure.add_vline(x=own_percent, line={"color": "#8a8f98", "dash": "dot"}, annotation_text="this run")
    figure.update_layout(
        height=260,
        margin={"l": 10, "r": 10, "t": 20, "b": 10},
        legend={"orientation": "h", "y": -0.35},
        xaxis={"title": "Threshold, % probability", "range": [0, 100]},
        yaxis={"title": "Mining, ha", "rangemode": "tozero"},
        hovermode="x unified",
    )
    alt = (
        "Line chart of the hectares of mining of each date by threshold: the higher the threshold, the fewer hectares."
    )
    st.plotly_chart(figure, alt=alt, config={"displayModeBar": False}, key="chart of thresholds")
