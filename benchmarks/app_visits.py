"""The app's server, and what visits it for `app.py`: a websocket, a connection for tiles, a browser."""

from __future__ import annotations

import http.client
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from rasterio.warp import transform_bounds
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from minedetect import server
from minedetect.ui.mercator import HALF_WORLD_M

RUN, SECOND, TRAINING = "full", "second", "training"
PAGES = {
    "Overview": ("", ""),
    "Data": ("data", f"run={RUN}"),
    "Mask": ("mask", f"run={RUN}"),
    "Train": ("train", f"run={RUN}"),
    "Train, followed": ("train", f"run={TRAINING}"),
    "Results": ("results", f"run={RUN}"),
    "Compare": ("compare", f"run={RUN}&run={SECOND}"),
}
ZOOMS = (10, 12, 14, 16)
TILES = 5
"""Of each layer and zoom in a round."""
LONGEST_S = 60.0
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
DRAWN = """() => {
  const tiles = [...document.querySelectorAll('.leaflet-tile')];
  return tiles.length > 0 && tiles.every(tile => tile.classList.contains('leaflet-tile-loaded'))
    && document.querySelectorAll('path.leaflet-interactive').length > 0;
}"""


@dataclass(frozen=True)
class Served:
    """A server at work: its address and its process."""

    address: str
    process: psutil.Process

    def processor_s(self) -> float:
        """Seconds of processor that it has taken so far."""
        took = self.process.cpu_times()
        return float(took.user + took.system)


@contextmanager
def served(log: Path) -> Iterator[Served]:
    """The app as `minedetect app` serves it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("ab") as out:
        process = subprocess.Popen(server.command(port), cwd=server.ROOT, stdout=out, stderr=out)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + LONGEST_S
        while not _healthy(address):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield Served(address, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(10)


def _healthy(address: str) -> bool:
    with suppress(OSError):
        return bool(urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read())
    return False


def visit(address: str, page: str, query: str) -> tuple[float, list[bytes]]:
    """Open a page in a new session: seconds of its script, and all messages it sent."""
    asked, received, began = BackMsg(), list[bytes](), 0.0
    asked.rerun_script.query_string, asked.rerun_script.page_name = query, page
    stream = f"ws://{urlsplit(address).netloc}/_stcore/stream"
    with connect(stream, subprotocols=["streamlit"], max_size=None, compression=None) as socket_:  # type: ignore[list-item]
        socket_.send(asked.SerializeToString())
        while True:
            received.append(socket_.recv(LONGEST_S, decode=False))
            now, told = time.perf_counter(), ForwardMsg.FromString(received[-1])
            kind = told.WhichOneof("type")
            if kind == "new_session":
                began = now
            if kind == "page_not_found" or (kind == "delta" and told.delta.new_element.HasField("exception")):
                raise SystemExit(f"the page {page or 'overview'} failed")
            if kind == "script_finished":
                return now - began, received


@dataclass(frozen=True)
class TileLayer:
    """A layer of the map: its title, address with {z}, {x} and {y}, and bounds in degrees."""

    title: str
    url: str
    bounds: tuple[float, float, float, float]


def layers_of(address: str) -> list[TileLayer]:
    """The tile layers that the page Results tells the browser of."""
    _, received = visit(address, *PAGES["Results"])
    text = b"".join(received).decode("utf-8", errors="ignore").replace('\\"', '"')
    found = re.findall(
        r'"title": "([^"]+)", "pane": "\w+", "on": \w+, "outlines": false, "url": "([^"]+)", "order": \d+, '
        r'"bounds": \[([^\]]+)\]',
        text,
    )
    if not found:
        raise SystemExit("the page Results shows no map")
    unique = {title: (url, [float(part) for part in bounds.split(",")]) for title, url, bounds in found}
    return [TileLayer(title, url, (w, s, e, n)) for title, (url, (w, s, e, n)) in unique.items()]


def tiles_of(layer: TileLayer, zoom: int, seed: int) -> list[str]:
    """Addresses of some tiles that show the layer, others for each seed."""
    edges = transform_bounds("EPSG:4326", "EPSG:3857", *layer.bounds)
    side_m = 2 * HALF_WORLD_M / 2**zoom
    west, east = (int((edge + HALF_WORLD_M) // side_m) for edge in (edges[0], edges[2]))
    north, south = (int((HALF_WORLD_M - edge) // side_m) for edge in (edges[3], edges[1]))
    places = [(x, y) for x in range(west, east + 1) for y in range(north, south + 1)]
    chosen = random.Random(f"{layer.title} {zoom} {seed}").sample(places, min(TILES, len(places)))
    return [layer.url.replace("{z}/{x}/{y}", f"{zoom}/{x}/{y}") for x, y in chosen]


def fetched(address: str, paths: Sequence[str]) -> list[float]:
    """Seconds that each tile took over one connection, one after another."""
    connection, seconds = http.client.HTTPConnection(urlsplit(address).netloc, timeout=LONGEST_S), list[float]()
    for path in paths:
        started = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        seconds.append(time.perf_counter() - started)
        if answer.status != 200 or not content:
            raise SystemExit(f"the tile {path} was answered with {answer.status}")
    connection.close()
    return seconds


def first_view(browser: Any, address: str, clicked: bool) -> tuple[float, float]:
    """Seconds until the map stands in a browser that knows nothing yet, and of processor that the browser took.

    Args:
        browser: of Playwright.
        address: of the server.
        clicked: from the click on the run in the open app, else from its address.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    page = context.new_page()
    if clicked:
        page.goto(address)
        button = page.locator(f".st-key-open-{RUN} button")
        button.wait_for(timeout=1000 * LONGEST_S)
        page.wait_for_timeout(500)
        before_s, started = _browser_s(), time.perf_counter()
        button.click()
    else:
        before_s, started = _browser_s(), time.perf_counter()
        page.goto(f"{address}/results?run={RUN}")
    handle = page.wait_for_selector('iframe[title^="Map of mining"]', timeout=1000 * LONGEST_S)
    handle.content_frame().wait_for_function(DRAWN, timeout=1000 * LONGEST_S)
    seconds, processor_s = time.perf_counter() - started, _browser_s() - before_s
    context.close()
    return seconds, processor_s


def _browser_s() -> float:
    """Seconds of processor that the browser's processes have taken so far."""
    took = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            took += sum(process.cpu_times()[:2]) if "chrom" in process.name() else 0.0
    return took


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; None, with a sentence that says so, where it or Playwright is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("Playwright is not installed, so the map in a browser is not measured.", file=sys.stderr)
        yield None
        return
    if not CHROMIUM.exists():
        print(f"There is no {CHROMIUM}, so the map in a browser is not measured.", file=sys.stderr)
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()
