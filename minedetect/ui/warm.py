"""Loads at server start what the pages need, so that the first page opens as fast as the next."""

from __future__ import annotations

import importlib

from minedetect.ui import device

SLOW = ("pandas", "pyarrow", "plotly.graph_objects", "minedetect.ui.overview", "minedetect.ui.pictures", "PIL.Image")


def load() -> None:
    """Touch the slow libraries once."""
    for name in SLOW:
        importlib.import_module(name)
    device.line()
