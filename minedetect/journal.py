"""What happens in a run while it happens: status, log, seconds per step, the lock; for every face alike."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from minedetect.errors import Cancelled, MinedetectError
from minedetect.runs import LOG, Progress, Run, State, Status

logger = logging.getLogger("minedetect")

BUG = "It ended unexpectedly; the log says where."
STOPPED = "Stopped on request. Files of finished steps are kept."
QUIET_S = 0.4
"""Status is written at most this often while a step counts on."""

Listener = Callable[[str, int, int], None]
"""Told (step, done, total), for a progress bar; may raise Cancelled."""


def no_listener(step: str, done: int, total: int) -> None:
    """For callers who do not watch."""


class Journal:
    """Writes a run's status and log around its steps.

    Args:
        run: the run.
        steps: names of the steps to come, in order.
        listener: told of progress as well.
    """

    def __init__(self, run: Run, steps: tuple[str, ...], listener: Listener = no_listener) -> None:
        self.run = run
        self._listener = listener
        me = psutil.Process()
        self._status = Status(
            run_id=run.name, state="running", steps=steps, pid=os.getpid(), pid_created_s=me.create_time()
        )

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold the run, log to it, and leave its last state behind whatever happens.

        Raises:
            RunError: another process writes this run.
        """
        with self.run.locked():
            handler = logging.FileHandler(self.run.path(LOG), encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            self.run.sweep()
            self._write()
            ending: tuple[State, str] = ("failed", BUG)
            try:
                yield
                ending = ("done", "")
            except MinedetectError as error:
                ending = ("failed", str(error))
                raise
            except (KeyboardInterrupt, Cancelled) as error:
                ending = ("stopped", str(error) or STOPPED)
                raise
            finally:
                logger.info("%s: %s", ending[0], traceback.format_exc() if ending[1] == BUG else ending[1])
                self._change(state=ending[0], message=ending[1])
                logger.removeHandler(handler)
                handler.close()

    @contextmanager
    def step(self, name: str) -> Iterator[Progress]:
        """One step: yields its progress function, and records its seconds."""
        started = time.perf_counter()
        logger.info("%s: started", name)
        self._change(step=name, done=0, total=0, message="")
        written = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal written
            self._listener(name, done, total)
            if time.monotonic() - written >= QUIET_S or done == total:
                self._change(done=done, total=total)
                written = time.monotonic()

        yield progress
        seconds = round(time.perf_counter() - started, 2)
        self._change(seconds={**self._status.seconds, name: seconds})
        logger.info("%s: done in %.1f s", name, seconds)

    @contextmanager
    def queued(self) -> Iterator[Callable[[str], None]]:
        """Stand in line: yields what to call with the reason as long as one waits."""

        def waiting(why: str) -> None:
            if self._status.state != "queued" or self._status.message != why:
                logger.info(why)
                self._change(state="queued", message=why)

        yield waiting
        if self._status.state == "queued":
            self._change(state="running", message="")

    @property
    def seconds(self) -> dict[str, float]:
        return dict(self._status.seconds)

    def _change(self, **fields: object) -> None:
        self._status = self._status.model_copy(update=fields)
        self._write()

    def _write(self) -> None:
        self.run.write_status(self._status)
