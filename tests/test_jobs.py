from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ui_support import finished_run, home, run_in_state

from minedetect import jobs, runs
from minedetect.errors import RunError
from minedetect.runs import Run, open_run

__all__ = ["home"]

WAITS = (sys.executable, "-c", "import time; print('at work', flush=True); time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('at work', flush=True); time.sleep(60)",
)
TELLS = (
    sys.executable,
    "-c",
    "import os, sys; print(sys.argv[1:], os.environ['MINEDETECT_HOME'], os.getpriority(os.PRIO_PROCESS, 0), "
    "os.getsid(0) == os.getpid(), repr(sys.stdin.read()), open(os.environ['MINEDETECT_HOME'] + '/demo/status.json')"
    ".read().count('running'))",
)


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    run = open_run("demo")
    yield run
    monkeypatch.setattr(jobs, "GRACE_S", 0.1)
    jobs.stop(run)


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def at_work(run: Run) -> bool:
    return "at work" in jobs.log_tail(run)


def ended(run: Run) -> bool:
    return not jobs.is_active(run.status())


def test_the_page_sees_a_started_job_at_once(run: Run) -> None:
    jobs.start(run, [], WAITS)
    status = run.status()
    assert (status.state, status.steps) == ("running", ())
    assert jobs.is_active(status)
    assert psutil.Process(status.pid).create_time() == pytest.approx(status.pid_created_s)


def test_a_job_has_its_own_session_low_priority_no_input_and_an_absolute_home(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.root.parent.parent)
    monkeypatch.setenv("MINEDETECT_HOME", "runs")
    jobs.start(run, ["demo", "two words"], TELLS)
    until(lambda: ended(run))
    low = max(jobs.NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
    expected = f"['demo', 'two words'] {run.root.parent} {low} True '' 1"
    assert jobs.log_tail(run).splitlines()[-1] == expected


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="Linux that groups processes by session only")
def test_low_priority_counts_against_other_sessions_too(run: Run) -> None:
    jobs.start(run, [], WAITS)
    group = Path(jobs.AUTOGROUP.format(run.status().pid)).read_text().split()
    assert group[0] not in Path("/proc/self/autogroup").read_text().split()
    assert group[-1] == str(jobs.NICENESS)


def test_the_log_is_continued(run: Run) -> None:
    for word in ("first", "second"):
        jobs.start(run, [], (sys.executable, "-c", f"print({word!r})"))
        until(lambda: ended(run))
    assert [line for line in jobs.log_tail(run).splitlines() if "started" not in line] == ["first", "second"]


def test_a_second_start_is_refused_in_words(run: Run) -> None:
    jobs.start(run, [], WAITS)
    with pytest.raises(RunError, match="is being worked on already"):
        jobs.start(run, [], WAITS)


def test_two_starts_at_one_moment_are_one(run: Run) -> None:
    run.root.mkdir(parents=True)
    with jobs.FileLock(run.path(jobs.START_LOCK)), pytest.raises(RunError, match="is being worked on already"):
        jobs.start(run, [], WAITS)
    assert not run.has(runs.STATUS)


def test_a_run_that_was_interrupted_can_be_started_again(home: Path, run: Run) -> None:
    run_in_state(home, "running", pid=2**22, pid_created_s=1.0)
    jobs.start(run, [], WAITS)
    assert jobs.is_active(run.status())


def test_stop_is_quick_and_leaves_the_status_stopped(run: Run) -> None:
    jobs.start(run, [], WAITS)
    until(lambda: at_work(run))
    started = time.monotonic()
    jobs.stop(run)
    assert time.monotonic() - started < jobs.GRACE_S, "it was not ended by force"
    assert run.status().state == "stopped"


def test_a_server_in_the_background_stops_its_jobs_as_gently(run: Run) -> None:
    """A shell that puts a program into the background lets it hear no interrupt."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        jobs.start(run, [], WAITS)
        until(lambda: at_work(run))
        started = time.monotonic()
        jobs.stop(run)
        assert time.monotonic() - started < jobs.GRACE_S, "it was not ended by force"
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_job_that_ignores_the_wish_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "GRACE_S", 0.3)
    jobs.start(run, [], STUBBORN)
    until(lambda: at_work(run))
    pid = run.status().pid
    jobs.stop(run)
    assert run.status().state == "stopped"
    assert not psutil.pid_exists(pid)


def test_stop_takes_the_helpers_of_a_job_along(run: Run) -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '61']); print('at work', p.pid, flush=True); p.wait()"
    jobs.start(run, [], (sys.executable, "-c", code))
    until(lambda: at_work(run))
    helper = int(jobs.log_tail(run).split("at work ")[1].split()[0])
    jobs.stop(run)
    until(lambda: not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE)


def test_stop_keeps_what_the_job_said_last(run: Run) -> None:
    code = (
        "import time; from minedetect.runs import open_run; run = open_run('demo')\n"
        "try: print('at work', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: run.write_status(run.status().model_copy("
        "update={'state': 'stopped', 'message': 'by itself'}))"
    )
    jobs.start(run, [], (sys.executable, "-c", code))
    until(lambda: at_work(run))
    jobs.stop(run)
    assert run.status().message == "by itself"


def test_stop_never_touches_a_run_that_is_done(home: Path, run: Run) -> None:
    run_in_state(home, "done")
    before = run.path(runs.STATUS).read_bytes()
    jobs.stop(run)
    assert run.path(runs.STATUS).read_bytes() == before


def test_a_run_of_the_command_line_is_stopped_alone(home: Path) -> None:
    """It shares its group with this very process, which must live on."""
    process = subprocess.Popen(WAITS, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"at work\n"
    created_s = psutil.Process(process.pid).create_time()
    run = run_in_state(home, "running", pid=process.pid, pid_created_s=created_s)
    jobs.stop(run)
    process.communicate()
    assert run.status().state == "stopped"


def test_a_dead_job_is_no_zombie_and_shows_as_interrupted(run: Run) -> None:
    jobs.start(run, [], (sys.executable, "-c", "raise SystemExit(1)"))
    pid = run.status().pid
    until(lambda: ended(run))
    assert not psutil.pid_exists(pid)
    assert run.status().shown_state() == "interrupted"


def test_a_job_survives_the_process_that_started_it(run: Run) -> None:
    code = f"import sys; from minedetect import jobs; jobs.start(jobs.open_run('demo'), [], {WAITS!r})"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
    until(lambda: at_work(run))
    assert jobs.is_active(run.status())
    jobs.stop(run)
    assert run.status().state == "stopped"


def test_log_tail_gives_the_last_lines(home: Path) -> None:
    run = run_in_state(home, "done", log="".join(f"line {n}\n" for n in range(1000)))
    assert jobs.log_tail(run, lines=2) == "line 998\nline 999"
    assert jobs.log_tail(open_run("none")) == ""


def test_the_demo_starts_by_itself_only_where_there_is_no_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(jobs, "start", lambda run, arguments: started.append((run.name, list(arguments))))
    assert jobs.start_demo_if_empty() == open_run("demo")
    assert started == [("demo", ["demo", "demo"])]
    finished_run(home, "other")
    assert jobs.start_demo_if_empty() is None
    assert len(started) == 1
