"""Addresses of this program's own routes, as a browser asks for them."""

from __future__ import annotations

from urllib.parse import quote

import streamlit as st


def base() -> str:
    """What `server.baseUrlPath` puts before every address; Streamlit adds it to its own routes alone."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def address(*parts: str) -> str:
    """An address from the root of the server; `{z}` and its like stay as they are."""
    return "/".join((base(), *(quote(part, safe="{}/") for part in parts)))
