"""Whatever happens in a session, its last state, its log and the lock say so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from minedetect.errors import BadInput, Cancelled, RunError
from minedetect.journal import BUG, Journal, logger
from minedetect.runs import LOG, Run

STEPS = ("prepare", "train")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def log_of(run: Run) -> str:
    return run.path(LOG).read_text(encoding="utf-8")


def end_with(run: Run, fault: BaseException) -> None:
    with Journal(run, STEPS).session():
        raise fault


def test_a_session_that_ends_well_is_done_with_its_seconds(run: Run) -> None:
    journal = Journal(run, STEPS)
    with journal.session():
        assert run.status().shown_state() == "running"
        assert run.status().steps == STEPS
        for name in STEPS:
            with journal.step(name):
                assert run.status().step == name
    status = run.status()
    assert (status.state, status.message) == ("done", "")
    assert set(status.seconds) == set(STEPS)
    assert journal.seconds == status.seconds
    assert all(f"{name}: started" in log_of(run) and f"{name}: done" in log_of(run) for name in STEPS)


def test_progress_reaches_status_and_listener(run: Run) -> None:
    heard: list[tuple[str, int, int]] = []
    journal = Journal(run, STEPS, lambda *event: heard.append(event))
    with journal.session(), journal.step("train") as progress:
        for done in range(1, 51):
            progress(done, 50)
        assert (run.status().done, run.status().total) == (50, 50)
    assert heard == [("train", done, 50) for done in range(1, 51)]


@pytest.mark.parametrize(
    ("fault", "state", "message"),
    [
        (BadInput("EMPTY", "x.tif is empty."), "failed", "x.tif is empty."),
        (Cancelled(), "stopped", "Stopped on request. Files of finished steps are kept."),
        (KeyboardInterrupt(), "stopped", "Stopped on request. Files of finished steps are kept."),
        (ZeroDivisionError("oh"), "failed", BUG),
        (SystemExit(1), "failed", BUG),
    ],
)
def test_every_ending_leaves_its_state_behind(run: Run, fault: BaseException, state: str, message: str) -> None:
    with pytest.raises(type(fault)):
        end_with(run, fault)
    assert (run.status().state, run.status().message) == (state, message)
    assert not [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
    with run.locked():
        pass


def test_a_bug_leaves_its_traceback_in_the_log_alone(run: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        end_with(run, ZeroDivisionError("oh"))
    assert "ZeroDivisionError: oh" in log_of(run)
    assert "ZeroDivisionError" not in run.status().message


def test_a_fault_of_the_user_leaves_no_traceback(run: Run) -> None:
    with pytest.raises(BadInput):
        end_with(run, BadInput("EMPTY", "x.tif is empty."))
    assert "x.tif is empty." in log_of(run)
    assert "Traceback" not in log_of(run)


def test_a_listener_may_stop_the_run(run: Run) -> None:
    def stop(step: str, done: int, total: int) -> None:
        if done == 3:
            raise Cancelled

    journal = Journal(run, STEPS, stop)

    def work() -> None:
        with journal.session(), journal.step("train") as progress:
            for done in range(10):
                progress(done, 10)

    with pytest.raises(Cancelled):
        work()
    assert run.status().state == "stopped"
    assert "train" not in run.status().seconds


def test_a_run_in_use_is_left_alone(run: Run) -> None:
    with Journal(run, STEPS).session():
        before = run.status()
        with pytest.raises(RunError, match="in use"), Journal(run, ("other",)).session():
            pass
        assert run.status() == before
    assert run.status().state == "done"


def test_logs_of_two_sessions_follow_one_another(run: Run) -> None:
    for name in STEPS:
        journal = Journal(run, (name,))
        with journal.session(), journal.step(name):
            pass
    assert log_of(run).count("started") == 2
