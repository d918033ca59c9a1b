"""One training a device at a time: whoever comes later waits, first come first served."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout

LONGEST_NAME = 180
"""Of a ticket's file name, which file systems limit to 255 bytes, so much is for the name of who holds it."""
LOOK_S = 0.5
"""How often a waiting training looks whether its turn has come."""


def queue_of(kind: str) -> Path:
    """The folder in which the trainings of this user on one device of this machine stand in line."""
    visible = re.sub(r"[^0-9A-Za-z]+", "_", os.environ.get("CUDA_VISIBLE_DEVICES", "")) if kind == "cuda" else ""
    return Path(tempfile.gettempdir()) / f"minedetect-{os.getuid()}" / "queue" / f"{kind}{visible}"


@contextmanager
def turn(queue: Path, who: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold a device for the block.

    A ticket is a locked file; the lock of a process that died is free, so its ticket counts for nothing.

    Args:
        queue: where the tickets of the device lie.
        who: told to those who wait.
        waiting: told, again and again, who is ahead; may raise Cancelled.
    """
    queue.mkdir(parents=True, exist_ok=True, mode=0o700)
    guard = FileLock(queue / ".guard")
    ticket = queue / f"{time.time_ns():020d}-{os.getpid()}-{quote(who, safe='')[:LONGEST_NAME]}.ticket"
    with guard:  # nobody may take a ticket for dead between its making and its locking
        held = FileLock(ticket)
        held.acquire()
    try:
        while ahead := _ahead(queue, ticket, guard):
            waiting(ahead)
            time.sleep(LOOK_S)
        yield
    finally:
        with guard:
            held.release()
            ticket.unlink(missing_ok=True)


def holder(queue: Path) -> str:
    """Who holds a device now; empty where nobody does.

    Args:
        queue: where the tickets of the device lie.
    """
    return _ahead(queue, None, FileLock(queue / ".guard")) if queue.is_dir() else ""


def _ahead(queue: Path, ticket: Path | None, guard: FileLock) -> str:
    """Who holds the first living ticket before this one, or the first of all; empty where none does."""
    with guard:
        for earlier in sorted(queue.glob("*.ticket")):
            if ticket and earlier >= ticket:
                break
            try:
                with FileLock(earlier, timeout=0):
                    earlier.unlink(missing_ok=True)
            except Timeout:
                return unquote(earlier.stem.split("-", 2)[2])
    return ""
