"""One at a time, first come first served, and the dead hold up nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minedetect.errors import Cancelled
from minedetect.turns import queue_of, turn

HOLDS = """
import sys, time
from pathlib import Path
from minedetect.turns import turn
with turn(Path(sys.argv[1]), sys.argv[2], print):
    print("holds", flush=True)
    time.sleep(60)
"""


def holder(queue: Path, who: str) -> subprocess.Popen[bytes]:
    """A process that has its turn and keeps it."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(queue), who], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"holds\n"
    return process


def never(ahead: str) -> None:
    raise AssertionError(f"waits for {ahead}")


def test_an_empty_queue_waits_for_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    with turn(tmp_path / "q", "me", never):
        assert len(list((tmp_path / "q").glob("*.ticket"))) == 1
    assert not list((tmp_path / "q").glob("*.ticket"))


def test_who_comes_later_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    first = holder(tmp_path, "the first")
    told: list[str] = []

    def waiting(ahead: str) -> None:
        told.append(ahead)
        if len(told) == 2:
            first.send_signal(signal.SIGKILL)
            first.wait()

    with turn(tmp_path, "me", waiting):
        assert set(told) == {"the first"}
        assert first.returncode == -signal.SIGKILL, "its turn ended with its life"
    assert not list(tmp_path.glob("*.ticket"))


def test_one_can_stop_waiting(tmp_path: Path) -> None:
    first = holder(tmp_path, "first")

    def waiting(ahead: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled), turn(tmp_path, "me", waiting):
        raise AssertionError("never its turn")
    assert len(list(tmp_path.glob("*.ticket"))) == 1
    first.kill()
    first.wait()


def test_never_two_at_once_and_in_order_of_coming(tmp_path: Path) -> None:
    order: list[int] = []
    inside, all_there = threading.Semaphore(1), threading.Event()

    def work(number: int) -> None:
        with turn(tmp_path, str(number), len):
            assert inside.acquire(blocking=False)
            assert all_there.wait(60)
            order.append(number)
            time.sleep(0.02)
            inside.release()

    threads = []
    for number in range(4):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        while len(list(tmp_path.glob("*.ticket"))) <= number:
            time.sleep(0.01)
    all_there.set()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3]


def test_each_device_has_its_own_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert queue_of("cpu") != queue_of("cuda")
    assert queue_of("cuda").name == "cuda2_3"
    assert str(os.getuid()) in str(queue_of("cpu"))
