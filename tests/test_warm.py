from __future__ import annotations

import gc
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from minedetect import server
from minedetect.ui import warm

ON = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
LAUNCHED = """
import gc, socket
from starlette.testclient import TestClient
import app
with socket.create_server(("127.0.0.1", 0)) as listening, TestClient(app.app):
    print(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), gc.get_freeze_count())
"""


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket opened as Streamlit opens its own."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def test_connections_to_a_socket_that_listens_answer_at_once(listening: socket.socket) -> None:
    assert _on_a_connection(listening) == 0
    warm.answer_at_once()
    assert _on_a_connection(listening) != 0


def _on_a_connection(listening: socket.socket) -> int:
    with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
        return accepted.getsockopt(*ON)


def test_what_is_loaded_is_spared_and_what_comes_later_is_not() -> None:
    before = gc.get_freeze_count()
    try:
        warm.spare_what_stays()
        assert gc.get_freeze_count() > before
        circle: list[object] = []
        circle.append(circle)
        del circle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()


def test_the_launcher_makes_its_server_ready() -> None:
    told = subprocess.run(
        [sys.executable, "-c", LAUNCHED], cwd=server.ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(told[0]) != 0
    assert int(told[1]) > 50_000
