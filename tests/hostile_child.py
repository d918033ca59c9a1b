"""Work done in a forked child with limits, and how it ended."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minedetect.errors import MinedetectError

MEMORY_BYTES = 3 * 2**30
CPU_S = 10


@dataclass(frozen=True)
class End:
    """How a child ended.

    Args:
        outcome: accepted, refused with a `MinedetectError`, raised anything else, or killed by a signal.
        code: of the refusal, else the class of the exception, or the signal's number.
        said: the sentences that came with it.
        took_s: wall time.
    """

    outcome: Literal["accepted", "refused", "raised", "killed"]
    code: str
    said: tuple[str, ...]
    took_s: float


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said.

    Args:
        code: its exit code.
        out: what it wrote on stdout.
        err: what it wrote on stderr.
        cpu_s: computing time of it and its children; unlike wall time it is the same on a busy machine.
        peak_bytes: the most memory that it or one of its children held.
    """

    code: int
    out: str
    err: str
    cpu_s: float
    peak_bytes: int


LAUNCHER = """
import os, sys
child = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
status, used = os.wait4(child, 0)[1:]
with open(sys.argv[1], "w") as report:
    report.write(f"{os.waitstatus_to_exitcode(status)} {used.ru_maxrss} {used.ru_utime + used.ru_stime}")
"""
"""A small process in between: what a process has used counts from what its parent held when it was forked."""


def run_measured(command: list[str], folder: Path, environment: dict[str, str], wall_s: int = 120) -> Ran:
    """Run a command and measure it.

    Args:
        command: program and arguments.
        folder: to run it in.
        environment: its variables.
        wall_s: after which the test fails.
    """
    with tempfile.TemporaryDirectory() as aside:
        report = Path(aside) / "report"
        done = subprocess.run(
            [sys.executable, "-S", "-c", LAUNCHER, str(report), *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=wall_s,
            check=True,
        )
        code, peak_kib, cpu_s = report.read_text().split()
    return Ran(int(code), done.stdout, done.stderr, float(cpu_s), int(peak_kib) * 1024)


def in_fork(work: Callable[[], Iterable[str]], wall_s: int = 30) -> End:
    """Do something in a fork of this process.

    Args:
        work: returns the sentences that were told.
        wall_s: after which the child is killed.
    """
    begun = time.monotonic()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(work, writing, wall_s)
    os.close(writing)
    answer = _all_of(reading, begun + wall_s + 1)
    os.close(reading)
    if answer is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    took_s = time.monotonic() - begun
    if os.WIFSIGNALED(status) or not answer:
        return End("killed", str(os.waitstatus_to_exitcode(status)), (), took_s)
    told = json.loads(answer)
    return End(told["outcome"], told["code"], tuple(told["said"]), took_s)


def _child(work: Callable[[], Iterable[str]], pipe: int, wall_s: int) -> None:
    """Never returns: whatever happens, the child must not go on as a second test run."""
    told = {"outcome": "raised", "code": "", "said": [""]}
    try:
        _limit(wall_s)
        told = {"outcome": "accepted", "code": "", "said": list(work())}
    except MinedetectError as error:
        told = {"outcome": "refused", "code": getattr(error, "code", type(error).__name__), "said": [str(error)]}
    finally:
        fault = sys.exception()
        if fault is not None:
            told |= {"code": type(fault).__name__, "said": [str(fault)[:2000]]}
        os.write(pipe, json.dumps(told).encode()[:60_000])
        os._exit(0)


def _limit(wall_s: int) -> None:
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + MEMORY_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(wall_s)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)


def _all_of(pipe: int, deadline: float) -> bytes | None:
    """What a child writes until it ends; None when it takes too long."""
    parts = []
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(pipe, 65_536)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return None
