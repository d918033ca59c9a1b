"""Makes the server ready before it answers: the first page opens as fast as the next, and no answer waits."""

from __future__ import annotations

import gc
import importlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

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


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """What surrounds the server's life; its socket listens already when this begins."""
    answer_at_once()
    spare_what_stays()
    yield


def answer_at_once() -> None:
    """Let no part of an answer wait for the receipt of the one before (TCP_NODELAY).

    Streamlit opens its socket in a way that keeps asyncio from asking for that: each tile came 40 ms late. Connections
    take it over from the socket that listens.
    """
    for one in psutil.Process().net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN:
            with socket.socket(fileno=os.dup(one.fd)) as listening:
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def spare_what_stays() -> None:
    """Keep the libraries out of garbage collection, which Streamlit runs over everything at the end of each page."""
    gc.collect()
    gc.freeze()
