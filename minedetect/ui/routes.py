"""Routes of this program's own beside Streamlit's: map tiles, outlines, zips, and the files of the map."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from minedetect.ui import addresses, outlines, tiles, upload, zips

HERE = Path(__file__).parent


class OwnHost:
    """Answers only to the names in `server.allowedHosts`: Streamlit checks them for its own addresses alone.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = st.get_option("server.allowedHosts") or ["*"]
        await TrustedHostMiddleware(self._app, hosts, www_redirect=False)(scope, receive, send)


def routes() -> list[BaseRoute]:
    """Every route, for `st.App`."""
    return [
        *upload.routes(),
        _mount("/tiles", Mount("", routes=[Route("/{layer}/{z:int}/{x:int}/{y:int}", tiles.answer)])),
        _mount("/outlines", Mount("", routes=[Route("/{layer}", outlines.answer)])),
        _mount("/zips", Mount("", routes=[Route("/{run}", zips.answer), Route("/{run}/sample", zips.sample)])),
        _mount("/vendor", StaticFiles(directory=HERE / "vendor")),
        _mount("/assets", StaticFiles(directory=HERE / "assets")),
    ]


def _mount(path: str, app: ASGIApp) -> Mount:
    return Mount(addresses.base() + path, app=OwnHost(app))
