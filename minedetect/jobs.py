"""Long work as child processes: start one for a run, watch it, stop it. The run folder is the only truth."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from minedetect.errors import RunError
from minedetect.runs import (
    ACTIVE,
    CHECK_FOLDER,
    CONFIG,
    DRAFT,
    LOG,
    SAMPLES,
    STATUS,
    Run,
    Status,
    existing_run,
    home,
    list_runs,
    named_run,
    open_run,
)

DEMO = "demo"
"""Name of the run of the built-in district."""

RESUME = "resume"
"""The command that goes on with a run."""
ENDED_EARLY = ("failed", "interrupted", "stopped")

COMMAND = (sys.executable, "-m", "minedetect")
NICENESS = 10
"""Lower priority, so that pages stay quick while a job computes."""
AUTOGROUP = "/proc/{}/autogroup"
"""Where Linux keeps the priority of a session as a whole, see sched(7)."""
GRACE_S = 3.0
"""How long a job may take to end by itself after it was asked to."""
KILLED_S = 2.0
"""How long a job that was killed may take to be gone."""
START_LOCK = ".start.lock"
GONE = ".deleted-"
"""Begins the name of a run on its way out; hidden, so no list of runs shows it."""
BECOME = """import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.stdin.readline():
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(sys.argv[1], sys.argv[1:])
"""
WAIT_THEN_BECOME = (sys.executable, "-ISc", BECOME)
"""Waits for one line, then turns into the command: the status is on disk before the command runs.

A server that a shell put into the background hears no interrupt, and nor would its jobs, which are stopped by one.
"""


def start(run: Run, arguments: Sequence[str], command: Sequence[str] = COMMAND) -> None:
    """Start the command line program on a run, in the background.

    It survives the server and the browser, and writes what it prints to the run's log.

    Args:
        run: the run it works on.
        arguments: what follows `minedetect` on the command line.
        command: what is started; tests put something small here.

    Raises:
        RunError: this run is being worked on already.
    """
    run.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.path(START_LOCK), timeout=0):
            _refuse_second(run)
            _spawn(run, (*command, *arguments))
    except Timeout as error:
        raise RunError(_busy(run)) from error


def _busy(run: Run) -> str:
    return f"The run {run.name} is being worked on already. Wait until it is done, or stop it first."


def _refuse_second(run: Run) -> None:
    if is_active(run.status()):
        raise RunError(_busy(run))


def _spawn(run: Run, line: Sequence[str]) -> None:
    with run.path(LOG).open("ab") as log:
        log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} started in the background\n".encode())
        log.flush()
        child = subprocess.Popen(
            [*WAIT_THEN_BECOME, *line],
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MINEDETECT_HOME": str(home())},
        )
    _stand_back(child.pid)
    created_s = psutil.Process(child.pid).create_time()
    run.write_status(Status(run_id=run.name, state="running", pid=child.pid, pid_created_s=created_s))
    if child.stdin is not None:
        with child.stdin as gate:
            gate.write(b"go\n")


def _stand_back(pid: int) -> None:
    """Give a job low priority, against its own session's processes and against all others.

    Where Linux groups processes by session, a process's priority counts within its group alone, and the group has one
    of its own: without that, a job that leads a session gets as much of a core as the server does.

    Args:
        pid: of a process that leads its session.
    """
    os.setpriority(os.PRIO_PROCESS, pid, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    with suppress(OSError):  # not everywhere, and a group may be changed only now and then
        Path(AUTOGROUP.format(pid)).write_text(str(NICENESS), encoding="ascii")


def stop(run: Run) -> None:
    """Ask a run's job to end, end it after a grace, and see that the status says so.

    Nothing happens where no job is at work.
    """
    status = run.status()
    if not is_active(status):
        return
    _signal(status.pid, signal.SIGINT)
    if not _ended(status, GRACE_S):
        _signal(status.pid, signal.SIGKILL)
        _ended(status, KILLED_S)
    after = run.status()
    if after.state in ACTIVE:
        message = "Stopped on request. Files of finished steps are kept."
        run.write_status(after.model_copy(update={"state": "stopped", "message": message}))


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a job with all its helpers where it leads its own group, else that one process."""
    with suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _ended(status: Status, limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while alive(status):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def alive(status: Status) -> bool:
    """Whether the process behind a status still exists; our own ended children are reaped first."""
    if status.pid > 0:
        with suppress(ChildProcessError):
            os.waitpid(status.pid, os.WNOHANG)
    return status.alive()


def is_active(status: Status) -> bool:
    """Whether a job is at work on the run now."""
    return status.state in ACTIVE and alive(status)


def resume(run: Run) -> None:
    """Go on with a run that ended early, in the background: its training from the last whole checkpoint.

    Raises:
        RunError: this run is being worked on already, or it never got as far as to know what was asked.
    """
    if not can_resume(run):
        raise RunError(f"The run {run.name} has nothing to go on with. Start it anew.")
    start(run, [RESUME, str(run.root)])


def can_resume(run: Run) -> bool:
    """Whether a run ended early and knows what was asked of it."""
    return run.has(CONFIG) and run.status().shown_state() in ENDED_EARLY


def delete(run: Run) -> None:
    """Remove a run with all that is in its folder; no link is followed.

    It leaves its name in one step, so that nobody meets half a run.

    Raises:
        RunError: there is no such run directly under `home()`, it is a link, or it is being worked on.
        OSError: its files cannot be removed.
    """
    if existing_run(run.name) != run or run.root.is_symlink():
        raise RunError(f"{run.root} is a link or lies outside {home()}, so it is not deleted here. Remove it by hand.")
    _remove(run)


def delete_draft(run: Run) -> None:
    """Remove a draft whose run has not begun; uploaded files that it names stay.

    Raises:
        RunError: it is no draft directly under `home()`, it is a link, it has begun, or its files are being checked.
        OSError: its files cannot be removed.
    """
    if named_run(run.name) != run or run.root.is_symlink() or not run.has(DRAFT):
        raise RunError(f"There is no draft {run.name}.")
    if run.has(STATUS):
        raise RunError(f"The run {run.name} has begun. Delete it on the page Compare.")
    _remove(run)


def _remove(run: Run) -> None:
    gone = home() / f"{GONE}{uuid.uuid4().hex}"
    try:
        with FileLock(run.path(START_LOCK), timeout=0), run.locked():
            _refuse_second(run)
            _refuse_beside(run)
            run.root.rename(gone)
    except Timeout as error:
        raise RunError(_busy(run)) from error
    shutil.rmtree(gone)


def _refuse_beside(run: Run) -> None:
    for folder, told in (
        (CHECK_FOLDER, "The files of {} are being checked"),
        (SAMPLES, "A sample of {} is being drawn"),
    ):
        if is_active(Run(run.path(folder)).status()):
            raise RunError(f"{told.format(run.name)}. Wait until that is done.")


def log_tail(run: Run, lines: int = 20) -> str:
    """The last lines of the run's log; empty where there is none."""
    if not run.has(LOG):
        return ""
    with run.path(LOG).open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - 400 * lines))
        last = deque(log.read().decode("utf-8", errors="replace").splitlines(), maxlen=lines)
    return "\n".join(last)


def start_demo() -> Run:
    """Start the run of the built-in district.

    Raises:
        RunError: it is being worked on already.
    """
    run = open_run(DEMO)
    start(run, [DEMO, DEMO])
    return run


def start_demo_if_empty() -> Run | None:
    """Start the demo where there is no run at all, so that the first page has something to show."""
    return None if list_runs() else start_demo()
