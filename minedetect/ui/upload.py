"""Uploads: a route that streams to the disk, who may use it, and the drop zone that does."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import streamlit as st
from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from streamlit.web.server.server_util import is_url_from_allowed_origins
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from minedetect import incoming
from minedetect.errors import BadInput
from minedetect.incoming import Arriving, Stored, Usage

PATH = "/upload"
TOKEN_HEADER, NAME_HEADER = "x-upload-token", "x-file-name"
TOKEN, SEEN = "upload token", "arrived in"
VALID_S = 12 * 3600
CHUNK_BYTES = 2**20
"""So much is gathered before a thread writes it: the server goes on answering others meanwhile."""
CODES = {"KIND": 415, "TOO_BIG": 413, "DISK": 507, "EMPTY": 422}
FOREIGN = "This upload does not come from a page of this server. Reload the page, then try again."
EXPIRED = "This page is too old to upload from. Reload it, then try again."

_issued: dict[str, float] = {}
_lock = threading.Lock()


def issue_token() -> str:
    """A new token that uploads of one session carry."""
    token = secrets.token_urlsafe(32)
    with _lock:
        now = time.time()
        for old in [t for t, issued_s in _issued.items() if now - issued_s > VALID_S]:
            del _issued[old]
        _issued[token] = now
    return token


def session_token() -> str:
    """The token of this browser session, issued anew when it has grown old."""
    token = st.session_state.get(TOKEN, "")
    if not _is_valid(token):
        token = st.session_state[TOKEN] = issue_token()
    return str(token)


def _is_valid(token: str) -> bool:
    with _lock:
        return time.time() - _issued.get(token, 0.0) < VALID_S


def address() -> str:
    """Where uploads go, on the app's own port."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}{PATH}" if base else PATH


def routes(usage: Usage = shutil.disk_usage) -> list[Route]:
    """GET asks whether a file may come; PUT brings it.

    Args:
        usage: tells the free bytes of the disk.
    """

    async def endpoint(request: Request) -> Response:
        denied = _denied(request)
        if denied is not None:
            return denied
        try:
            if request.method != "PUT":
                return await _asked(request, usage)
            return JSONResponse(_told(await _received(request, usage)))
        except BadInput as error:
            return JSONResponse({"problem": str(error)}, CODES.get(error.code, 400))
        except ClientDisconnect:
            return Response(status_code=400)

    return [Route(address(), endpoint, methods=["GET", "PUT"])]


def _denied(request: Request) -> Response | None:
    """A refusal for requests of other sites, of other host names, and without a session's token."""
    host, origin = request.headers.get("host"), request.headers.get("origin")
    same = origin is None and request.method == "GET"  # browsers name no origin when a page reads its own server
    same = same or (origin is not None and (urlsplit(origin).netloc == host or is_url_from_allowed_origins(origin)))
    if not (is_host_allowed(host) and same):
        return JSONResponse({"problem": FOREIGN}, 403)
    if not _is_valid(request.headers.get(TOKEN_HEADER, "")):
        return JSONResponse({"problem": EXPIRED}, 403)
    return None


def _name(request: Request) -> str:
    return unquote(request.headers.get(NAME_HEADER, ""))


async def _asked(request: Request, usage: Usage) -> Response:
    size = request.query_params.get("size", "")
    await to_thread.run_sync(incoming.require_room, _name(request), int(size) if size.isdecimal() else 0, usage)
    return JSONResponse({})


async def _received(request: Request, usage: Usage) -> Stored:
    """Stream a body to the disk; memory stays flat whatever its size."""
    name, length = _name(request), request.headers.get("content-length", "")
    await to_thread.run_sync(incoming.sweep)
    await to_thread.run_sync(incoming.require_room, name, int(length) if length.isdecimal() else 0, usage)
    with incoming.arriving(name, usage) as file:
        gathered = bytearray()
        async for chunk in request.stream():
            gathered += chunk
            if len(gathered) >= CHUNK_BYTES:
                await _written(file, gathered)
        await _written(file, gathered)
        return await to_thread.run_sync(file.finish)


async def _written(file: Arriving, gathered: bytearray) -> None:
    if gathered:
        await to_thread.run_sync(file.write, bytes(gathered))
        gathered.clear()


def _told(file: Stored) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "sha256": file.sha256,
        "size": file.size_bytes,
        "reused": file.reused,
    }


HERE = Path(__file__).parent
_zone = st.components.v2.component(
    "minedetect_upload",
    html=(HERE / "upload.html").read_text(encoding="utf-8"),
    css=(HERE / "upload.css").read_text(encoding="utf-8"),
    js=(HERE / "upload.js").read_text(encoding="utf-8"),
)


def zone(key: str, label: str, hint: str, suffixes: Sequence[str], keep: Callable[[Stored], None]) -> None:
    """A drop zone and button for one file.

    Args:
        key: of the zone.
        label: what the file is.
        hint: what is taken.
        suffixes: those the browser offers; the server decides.
        keep: called once with a file that has arrived; the page runs again after it.

    Raises:
        BadInput: the file is gone again.
    """
    data = {
        "url": address(),
        "token": session_token(),
        "label": label,
        "hint": hint,
        "suffixes": list(suffixes),
        "largest": {suffix: incoming.LARGEST[suffix] for suffix in suffixes},
    }
    arrived = _zone(key=key, data=data, default={"stored": ""}, on_stored_change=lambda: None).stored
    # A state and not a trigger, which is lost when something else on the page starts a run at the same moment.
    if arrived and st.session_state.get(f"{SEEN} {key}") != arrived:
        keep(incoming.stored(str(arrived)))
        st.session_state[f"{SEEN} {key}"] = arrived
        st.rerun()
