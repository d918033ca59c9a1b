"""The map of a run: both dates under a swipe, change, outlines with hectares, and what belongs beside it."""

from __future__ import annotations

import html
from typing import Any

import streamlit as st
from streamlit_folium import st_folium

from minedetect import runs
from minedetect.errors import MinedetectError
from minedetect.runs import Run
from minedetect.ui import colours, frame, layers, leaflet, outlines, results, thresholds, words
from minedetect.ui.addresses import address

HEIGHT_PX = 560
PLACES = ("before", "after")
SHOWN_FIRST = ("picture", "change", "mines")
TITLES: dict[layers.Kind, str] = {
    "picture": "Image {}",
    "probability": "Probability {}",
    "mine": "Mining found {}",
    "mines": "Outlines found {}",
    "kinds": "Kinds of change",
    "change": "Change",
    "labels": "Labelled mines {}",
}
ORDER = {kind: number for number, kind in enumerate(("picture", "probability", "mine", "change", "kinds"), start=1)}
DASHES = {"before": "6 5", "after": None, "labels": "2 5"}

Found = tuple[layers.Layer, str, int | None]
"""A layer, the name of its file, and its date: 0, 1, or None for both."""


def show(run: Run, summary: results.Content) -> None:
    """The map with its legend, the threshold, and the table of mines whose rows it follows."""
    years = layers.dates_of(summary)
    if years is None:
        results.per_mine(summary)
        return
    found, left_out = available(run, years)
    if not any(layer.rasters for layer, _, _ in found):
        results.per_mine(summary)
        return
    _linked(run, summary, years, found, left_out)


@st.fragment
def _linked(
    run: Run,
    summary: results.Content,
    years: tuple[str, str],
    found: list[Found],
    left_out: list[str],
) -> None:
    frame.section("Map")
    place = st.container()
    percent = thresholds.show(run, years)
    selected = results.per_mine(summary, key=f"mines of {run.name}")
    with place:
        spec = _spec(years, found)
        base = st.checkbox(
            "Show OpenStreetMap beneath (needs a network: your browser then asks openstreetmap.org for this place)",
            key=f"base map of {run.name}",
        )
        state = {"threshold": percent, "base": base, "bounds": _bounds_of_mine(found, selected)}
        st_folium(
            leaflet.new_map(spec),
            key=f"map of {run.name}",
            height=HEIGHT_PX,
            use_container_width=True,
            returned_objects=[],
            feature_group_to_add=leaflet.state_of(state),
        )
        legend(years, found)
        _remarks(found, left_out)


def available(run: Run, years: tuple[str, str]) -> tuple[list[Found], list[str]]:
    """The layers that can be shown, and the names of files that are missing or damaged."""
    found: list[Found] = []
    left_out: list[str] = []
    for kind, name, date in layers.names_of(years):
        classes = runs.prediction_name(years[0])
        try:
            layer = layers.register(run, kind, name, classes if kind == "change" and run.has(classes) else "")
            if kind in outlines.KINDS:
                outlines.of_layer(layer)
            found.append((layer, name, date))
        except MinedetectError:
            left_out.append(name)
    return found, left_out


def _spec(years: tuple[str, str], found: list[Found]) -> dict[str, Any]:
    """What `results_map.js` draws: numbers, addresses and harmless text."""
    all_bounds = [raster.bounds for layer, _, _ in found for raster in layer.rasters]
    shown = [layer.kind for layer, _, date in found if date is not None]
    first, second = (words.in_html(year) for year in years)
    return {
        "bounds": _around(all_bounds),
        "years": list(years),
        "label": f"Map of mining in {years[0]} and {years[1]}. The tables on this page say the same in figures.",
        "swipe": shown.count("picture") == 2 or shown.count("mine") == 2,
        "layers": [_told(layer, (first, second), date) for layer, _, date in found],
    }


def _told(layer: layers.Layer, years: tuple[str, str], date: int | None) -> dict[str, Any]:
    kind = layer.kind
    pane = "both" if date is None else PLACES[date]
    told = {
        "title": TITLES[kind].format(years[0 if kind == "labels" else date or 0]).strip(),
        "pane": pane,
        "on": kind in SHOWN_FIRST,
    }
    if kind in outlines.KINDS:
        own = "labels" if kind == "labels" else pane
        colour = {"before": colours.BEFORE, "after": colours.AFTER, "labels": colours.LABELS}[own]
        url = address("outlines", layer.id)
        return {**told, "outlines": True, "url": url, "colour": colour, "dash": DASHES[own]}
    url = address("tiles", layer.id, "{z}/{x}/{y}")
    more = {"order": ORDER[kind], "bounds": layer.rasters[0].bounds, "threshold": kind == "probability"}
    return {**told, "outlines": False, "url": url, **more}


def _around(bounds: list[tuple[float, float, float, float]]) -> list[float]:
    west, south, east, north = zip(*bounds, strict=True)
    return [min(west), min(south), max(east), max(north)]


def _bounds_of_mine(found: list[Found], row: int | None) -> list[float] | None:
    """Where the mine of a row of the table lies; None where none is chosen or known."""
    labels = next((layer for layer, _, _ in found if layer.kind == "labels"), None)
    if row is None or labels is None:
        return None
    with frame.in_words():
        bounds = outlines.of_layer(labels).bounds.get(row + 1)
        return list(bounds) if bounds else None
    return None


def legend(years: tuple[str, str], found: list[Found]) -> None:
    """What the colours mean, for the layers there are."""
    kinds = {layer.kind for layer, _, _ in found}
    first, second = (html.escape(year) for year in years)
    entries: list[tuple[str, str]] = []
    if "change" in kinds:
        entries += [(_box(colours.NEW), "new"), (_box(colours.GONE), "gone")]
        entries += [(_box(colours.UNCHANGED), f"mine in {first} and {second}")]
    if "mines" in kinds:
        entries += [(_line(colours.BEFORE, "dashed"), f"outline {first}"), (_line(colours.AFTER), f"outline {second}")]
    if "labels" in kinds:
        entries.append((_line(colours.LABELS, "dotted"), f"labelled mine {first}"))
    if "mine" in kinds:
        entries.append((_box(colours.MINE), "mining found"))
    if "kinds" in kinds:
        entries += [(_box(colour), f"{name} change") for name, colour in colours.KINDS.items()]
    if "probability" in kinds:
        entries.append((f"0 % {_ramp()} 100 %", "probability of mine"))
    items = "".join(
        f'<li style="display:inline-block;margin:0 1.1rem .3rem 0;white-space:nowrap">{sign} {text}</li>'
        for sign, text in entries
    )
    st.html(f'<ul aria-label="Legend of the map" style="list-style:none;margin:0;padding:0">{items}</ul>')


def _box(colour: str) -> str:
    return (
        f'<span style="display:inline-block;width:1em;height:1em;background:{colour};border:1px solid #6b746f;'
        'vertical-align:-.12em;margin-right:.25em"></span>'
    )


def _line(colour: str, style: str = "solid") -> str:
    return (
        '<span style="display:inline-block;width:1.8em;background:#33403a;padding:.3em .15em;vertical-align:.05em;'
        f'margin-right:.25em"><span style="display:block;border-top:3px {style} {colour}"></span></span>'
    )


def _ramp() -> str:
    return (
        '<span style="display:inline-block;width:6em;height:.8em;border:1px solid #6b746f;vertical-align:-.05em;'
        f'background:linear-gradient(90deg,{",".join(colours.SCALE)})"></span>'
    )


def _remarks(found: list[Found], left_out: list[str]) -> None:
    st.caption(
        "To swipe between the dates, drag the round handle, or choose it with the Tab key and press the arrow keys. "
        "The box on the map switches layers. Hectares show on an outline; the tables on this page say the same."
    )
    for layer, name, _ in found:
        if layer.kind not in outlines.KINDS:
            continue
        shown = outlines.of_layer(layer)
        if shown.drawn < shown.total:
            drawn = f"the largest {shown.drawn:,} of {shown.total:,} outlines are drawn"
            st.caption(f"{words.literal(name)}: {drawn}. All of them count in the hectares.")
    if left_out:
        names = words.literal(", ".join(left_out))
        st.caption(f"Not on the map, because the run has no such file or it cannot be read: {names}.")
