"""The page Train, as a visitor sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from ui_support import (
    CONFIG,
    EVALUATION,
    HOSTILE,
    alerts,
    finished_run,
    home,
    metrics,
    opened,
    run_in_state,
    shown,
    status,
    write_metrics,
    write_networks,
    write_older_metrics,
)

from minedetect import jobs, runs
from minedetect.runs import Run
from minedetect.ui import watch, words

__all__ = ["home"]

Started = list[tuple[str, list[str]]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What is started in the background, instead of starting it."""
    lines: Started = []
    monkeypatch.setattr(jobs, "start", lambda run, arguments: lines.append((run.name, list(arguments))))
    return lines


def training(home: Path, state: str = "running", epochs: int = 12, **fields: Any) -> Run:
    run = run_in_state(home, state, **{"step": "train", "done": epochs, "total": 60, **fields})
    run.write_json(runs.CONFIG, CONFIG)
    if epochs:
        write_metrics(run, epochs)
    return run


def plain(at: AppTest) -> str:
    return shown(at).replace("\\", "")


def primary(at: AppTest) -> list[str]:
    return [button.label for button in at.button if button.proto.type == "primary"]


def press(at: AppTest, label: str) -> AppTest:
    return next(button for button in at.button if button.label == label).click().run()


def test_without_runs_there_is_the_form(home: Path) -> None:
    at = opened("train", main=True)
    assert not at.exception
    assert "There is no run yet" in shown(at)
    assert at.text_input[0].value == "district"
    assert primary(at) == ["Start training"]


def test_a_training_at_work_shows_figures_curves_health_and_stop(home: Path) -> None:
    training(home)
    at = opened("train", main=True, run="demo")
    assert not at.exception
    assert ":blue-badge[running]" in shown(at)
    assert "epoch 12 of 60" in at.get("progress")[0].proto.text
    assert metrics(at) == {
        "Epoch": "12 of 60",
        "Best IoU": "0.61 (epoch 12)",
        "Patches per second": "31.4",
        "Memory": "812.0 MB",
        "Time left, at most": "5 min",
    }
    assert len(at.get("plotly_chart")) == 2
    assert f"{words.HEALTH['good']} **Loss:** The training loss fell from" in plain(at)
    assert "Stop" in [b.label for b in at.button]
    assert primary(at) == []


def test_several_networks_are_told_apart_and_foretold_together(home: Path) -> None:
    run = training(home, done=72, total=240)
    write_networks(run, 60, 12, 0, 0)
    at = opened("train", run="demo")
    assert not at.exception
    assert "network 2 of 4 · epoch 12 of 60" in at.get("progress")[0].proto.text
    found = metrics(at)
    assert (found["Network"], found["Epoch"], found["Time left, at most"]) == ("2 of 4", "12 of 60", "17 min")
    assert "those of network 2 of 4" in shown(at)


@pytest.mark.parametrize(
    ("done", "told"), [(0, "1 of 4 · epoch 0"), (60, "2 of 4 · epoch 0"), (240, "4 of 4 · epoch 60")]
)
def test_a_network_begins_where_the_one_before_ends(done: int, told: str) -> None:
    assert f"network {told} of 60" in watch.sentence(status("running", step="train", done=done, total=240), 4)


def test_several_networks_that_ended_are_counted_together(home: Path) -> None:
    write_networks(training(home, "stopped"), 60, 12, 0, 0)
    told = "up to epoch 12 of network 2 of 4 is kept. **Resume** goes on from there."
    assert told in plain(opened("train", run="demo"))
    write_networks(finished_run(home), 12, 12, 12, 12)
    assert metrics(opened("train", run="demo"))["Trained for"] == "5 min"


def test_the_best_epoch_is_marked(home: Path) -> None:
    training(home, epochs=3)
    charts = opened("train", run="demo").get("plotly_chart")
    assert all("Best: epoch 3" in chart.proto.spec for chart in charts)


def test_the_first_epoch_is_waited_for_and_then_too_little(home: Path) -> None:
    training(home, epochs=0)
    assert "The curves appear when the first epoch is done" in plain(opened("train", run="demo"))
    training(home, epochs=1)
    assert f"{words.HEALTH['watch']} **Too early:**" in plain(opened("train", run="demo"))


def test_a_queued_training_says_for_whom_it_waits(home: Path) -> None:
    training(home, "queued", epochs=0, step="", message="Waits until the training of big_one is done.")
    at = opened("train", run="demo")
    assert not at.exception
    assert at.info[0].value == words.QUEUED + r" Waits until the training of big\_one is done\."
    assert ":gray-badge[waiting]" in shown(at)
    assert len(at.get("progress")) == 0
    assert "Stop" in [b.label for b in at.button]
    assert words.QUEUED in opened().info[0].value


@pytest.mark.parametrize("state", ["stopped", "failed", "interrupted"])
def test_what_ended_early_can_be_resumed(home: Path, started: Started, state: str) -> None:
    fields = {"message": "The disk is full.", "pid": 0, "pid_created_s": 0.0}
    training(home, "running" if state == "interrupted" else state, **fields)
    at = opened("train", run="demo")
    assert not at.exception
    assert words.ADVICE[state] in shown(at)
    assert primary(at) == ["Resume"]
    assert "The first 12 epochs of its training are kept. **Resume** goes on with epoch 13." in plain(at)
    press(at, "Resume")
    assert started == [("demo", ["resume", str(home / "demo")])]


def test_resume_says_where_it_goes_on(home: Path) -> None:
    run = training(home, "stopped", epochs=0)
    assert "begins with the first one" in plain(opened("train", run="demo"))
    write_metrics(run, 60)
    run.write_json(runs.EVALUATION, EVALUATION)
    assert "goes on with the steps after it" in plain(opened("train", run="demo"))


def test_the_demo_without_a_request_starts_anew(home: Path, started: Started) -> None:
    run_in_state(home, "failed", message="No space.")
    run_in_state(home, "failed", "other")
    at = opened("train", run="demo")
    assert primary(at) == ["Start anew"]
    press(at, "Start anew")
    assert started == [("demo", ["demo", "demo"])]
    assert primary(opened("train", run="other")) == ["Start training"]


def test_a_finished_training_leads_to_its_results(home: Path) -> None:
    finished_run(home)
    at = opened("train", run="demo")
    assert not at.exception
    assert primary(at) == ["Open results"]
    assert metrics(at)["Trained for"] == "72 s"
    assert "**Loss:**" in plain(at)


def test_a_run_that_applied_a_model_has_no_curves(home: Path) -> None:
    finished_run(home).path(runs.METRICS).unlink()
    at = opened("train", run="demo")
    assert not at.exception
    assert "trained nothing" in plain(at)


def test_curves_of_an_older_version_are_told_and_the_run_did_train(home: Path) -> None:
    run = finished_run(home)
    write_older_metrics(run, 3)
    for page in ("train", "results"):
        told = plain(opened(page, run="demo"))
        assert "written by an older version" in told
        assert "trained nothing" not in told
    run.path(runs.EVALUATION).unlink()
    assert "No epoch" not in watch.resumption(run)


def test_good_values_come_from_the_run_itself(home: Path) -> None:
    run = training(home)
    text = plain(opened("train", run="demo"))
    assert "Calling all ground mine would score an IoU of 0.02" in text
    run.write_json(runs.EVALUATION, {**EVALUATION, "all_mine_iou": 0.034, "baseline": HOSTILE[1]})
    at = opened("train", run="demo")
    assert "Calling all ground mine would score an IoU of 0.03" in plain(at)
    assert f"({words.literal(HOSTILE[1])}) scores 0.31" in shown(at)


def test_names_and_messages_are_never_markup(home: Path) -> None:
    for number, text in enumerate(HOSTILE):
        run_in_state(home, "failed", f"h{number}", log=f"{text}\n", message=text)
        at = opened("train", run=f"h{number}")
        assert not at.exception
        assert words.literal(text) in at.error[0].value
        assert at.code[0].value == text
    for name in ("<b>", "../../etc", "nowhere"):
        at = opened("train", run=name)
        assert not at.exception
        assert len(at.error) == 1
        assert primary(at) == ["Start training"]


def test_damaged_files_are_a_sentence_each(home: Path) -> None:
    run = training(home)
    run.path(runs.CONFIG).write_text("{", encoding="utf-8")
    run.path(runs.METRICS).write_text("epoch\nx\n\0", encoding="utf-8")
    at = opened("train", run="demo")
    assert not at.exception
    write_metrics(run, 5)
    at = opened("train", run="demo")
    assert "is damaged" in at.error[0].value
    assert len(at.get("plotly_chart")) == 2
    run.write_json(runs.CONFIG, {"settings": {"epochs": "many", "unheard_of": 1}})
    assert "is 'many'" in plain(opened("train", run="demo"))


def test_the_form_starts_a_training_with_flags(home: Path, started: Started) -> None:
    at = opened("train", main=True)
    at.segmented_control(key="preset").set_value("fast").run()
    at.select_slider(key="epochs").set_value(3).run()
    at.text_input[0].set_value("my run").run()
    press(at, "Start training")
    assert started == [("my run", ["demo", "my run", "--preset=fast", "--epochs=3"])]


@pytest.mark.parametrize("name", ["", "../up", "-flag", "a/b", "<b>", "x\n", "."])
def test_a_name_that_is_no_folder_name_is_refused(home: Path, started: Started, name: str) -> None:
    at = opened("train", main=True)
    at.text_input[0].set_value(name).run()
    press(at, "Start training")
    assert "not the name of a run" in alerts(at)[0] or name == "x\n"
    assert all(run == "x" for run, _ in started)


def test_a_run_at_work_is_not_started_again_and_a_finished_one_is_warned_of(home: Path, started: Started) -> None:
    run = training(home)
    at = opened("train", main=True)
    at.text_input[0].set_value("demo").run()
    press(at, "Start training")
    assert "is being worked on" in alerts(at)[0]
    assert started == []
    finished_run(home, run.name)
    at = opened("train", main=True)
    at.text_input[0].set_value("demo").run()
    assert "Starting replaces what it found" in plain(at)


def test_flags_are_shown_so_that_they_can_be_copied() -> None:
    assert words.with_flags("It is stuck: try --learning-rate 5e-4, or --flips.") == (
        "It is stuck: try `--learning-rate 5e-4`, or `--flips`."
    )
    assert words.with_flags("Try --epochs 90.") == "Try `--epochs 90`."


@pytest.mark.slow
def test_a_second_start_waits_its_turn_and_the_page_says_for_whom(home: Path) -> None:
    small = ["--size", "256", "256", "--tile-px=64", "--width=4", "--batch=2", "--max-gap-px=0", "--device=cpu"]
    first, second = Run(home / "the first"), Run(home / "second")
    try:
        jobs.start(first, ["demo", first.name, *small, "--epochs=1000", "--early-stop-epochs=1000"])
        until(lambda: first.status().step == "train", first)
        assert "The training of the first is at work" in alerts_of(opened("train", run="the first"))
        jobs.start(second, ["demo", second.name, *small, "--epochs=1000", "--early-stop-epochs=1000"])
        until(lambda: second.status().state == "queued", second)
        told = alerts_of(opened("train", run="second"))
        assert f"{words.QUEUED} Waits until the training of the first is done" in told
        jobs.stop(first)
        until(lambda: second.status().step == "train" and second.status().total > 0, second)
        at = opened("train", run="second")
        assert "epoch" in at.get("progress")[0].proto.text
        assert "The training of second is at work" in alerts_of(at)
        assert opened("train", run="the first").warning[0].value.startswith(words.ADVICE["stopped"])
    finally:
        jobs.stop(second)
        jobs.stop(first)


def alerts_of(at: AppTest) -> str:
    return " ".join(alerts(at)).replace("\\", "")


def until(condition: Callable[[], bool], run: Run) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert jobs.is_active(run.status()), jobs.log_tail(run)
        assert time.monotonic() < limit
        time.sleep(0.2)
