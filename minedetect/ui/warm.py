"""Loads at server start what the pages need, so that the first page opens as fast as the next."""

from __future__ import annotations

import importlib

from minedetect.ui import device

SLOW = (
    *("pandas", "pyarrow", "plotly.graph_objects", "PIL.Image"),
    *("minedetect.ui.overview", "minedetect.ui.pictures", "minedetect.ui.training"),
    *("folium.plugins", "minedetect.ui.leaflet"),
)
"""Not streamlit_folium: a component that is loaded before the server stands is not found afterwards."""


def load() -> None:
    """Touch the slow libraries once."""
    for name in SLOW:
        importlib.import_module(name)
    device.line()
