"""A run that ended early goes on to what it would have become. Whole trainings, so marked slow."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from minedetect.cli import main
from minedetect.config import Settings
from minedetect.demo import write_inputs
from minedetect.errors import Cancelled, RunError, SettingError
from minedetect.learn import train_run
from minedetect.model import caveats, load
from minedetect.pipeline import Job, run_job
from minedetect.presets import settings_from
from minedetect.resume import resume_run, settings_to_resume
from minedetect.runs import CHECKPOINT, CONFIG, EVALUATION, METRICS, MODEL, Run
from minedetect.scenes import SceneFiles

pytestmark = pytest.mark.slow

QUICK = {
    "preset": "cpu",
    "schedule": "plateau",
    "width": 4,
    "epochs": 6,
    "tile_px": 64,
    "device": "cpu",
    "max_gap_px": 32,
}
FLAGS = [part for name, value in QUICK.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return write_inputs(Run(tmp_path_factory.mktemp("district")), (320, 256), seed=1)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return settings_from(QUICK, gpu=False)


@pytest.fixture(scope="module")
def files(job: Job) -> list[SceneFiles]:
    return [SceneFiles(job.before, job.labels, "before_2016")]


@pytest.fixture(scope="module")
def whole(files: list[SceneFiles], settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training that nothing interrupted."""
    run = Run(tmp_path_factory.mktemp("runs") / "whole")
    train_run(run, files, settings)
    return run


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load(run.path(MODEL)).net.state_dict()


def same(a: Run, b: Run) -> bool:
    ours, theirs = weights(a), weights(b)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def stop_in_epoch(number: int) -> Any:
    """A listener that cancels when so many epochs are done."""

    def listen(step: str, done: int, total: int) -> None:
        if step == "train" and done == number:
            raise Cancelled

    return listen


def test_a_stopped_training_goes_on_to_the_same_model(
    whole: Run, files: list[SceneFiles], settings: Settings, tmp_path: Path
) -> None:
    run = Run(tmp_path / "stopped")
    with pytest.raises(Cancelled):
        train_run(run, files, settings, stop_in_epoch(2))
    assert run.status().state == "stopped"
    assert not run.has(EVALUATION)
    so_far = load(run.path(MODEL))
    assert so_far.provenance["finished"] is False
    assert so_far.calibration.fitted
    assert any("did not end" in words for words in caveats(so_far))
    assert not caveats(load(whole.path(MODEL)))
    resume_run(run, settings_to_resume(run, {}))
    assert run.status().state == "done"
    assert load(run.path(MODEL)).provenance["finished"] is True
    assert same(run, whole)
    assert run.read_json(EVALUATION)["iou"] == whole.read_json(EVALUATION)["iou"]
    assert len(run.path(METRICS).read_text().splitlines()) == 7
    assert "Training goes on after 2 epochs and 0 tiles." in run.path("log.txt").read_text()


def test_a_finished_training_can_be_given_more_epochs(
    whole: Run, files: list[SceneFiles], settings: Settings, tmp_path: Path
) -> None:
    run = Run(tmp_path / "short")
    train_run(run, files, settings.model_copy(update={"epochs": 3}))
    content = resume_run(run, settings_to_resume(run, {"epochs": 6}))
    assert content["epochs"] == 6
    assert same(run, whole)


def test_a_run_goes_on_after_training_without_training_again(job: Job, settings: Settings, tmp_path: Path) -> None:
    run, trained = Run(tmp_path / "r"), list[str]()

    def listen(step: str, done: int, total: int) -> None:
        trained.append(step)
        if step == "predict":
            raise Cancelled

    brief = settings.model_copy(update={"epochs": 2})
    with pytest.raises(Cancelled):
        run_job(run, job, brief, listen)
    assert trained.count("train") == 2
    trained.clear()
    summary = resume_run(run, settings_to_resume(run, {}), lambda *told: trained.append(told[0]))
    assert "train" not in trained
    assert set(summary["truth"]) == {"2016", "2025"}
    assert run.status().state == "done"
    assert run.has("report.html")


@pytest.fixture(scope="module")
def brief(files: list[SceneFiles], settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training of one epoch."""
    run = Run(tmp_path_factory.mktemp("runs") / "brief")
    train_run(run, files, settings.model_copy(update={"epochs": 1}))
    return run


@pytest.fixture
def begun(brief: Run, tmp_path: Path) -> Run:
    """A copy of a run that may be spoiled."""
    return copy_of(brief, tmp_path / "begun")


def copy_of(run: Run, folder: Path) -> Run:
    """What a training needs to go on."""
    folder.mkdir()
    for name in (CONFIG, CHECKPOINT, "status.json"):
        (folder / name).write_bytes(run.path(name).read_bytes())
    return Run(folder)


def test_other_settings_are_refused_in_words(begun: Run) -> None:
    with pytest.raises(RunError, match=r"--learning-rate 0\.002, now it is 0\.01"):
        resume_run(begun, settings_to_resume(begun, {"learning_rate": 0.01}))
    with pytest.raises(SettingError, match="began with --preset cpu"):
        settings_to_resume(begun, {"preset": "full"})
    with pytest.raises(SettingError, match="From 1 to 1000"):
        settings_to_resume(begun, {"epochs": 0})


def test_inputs_that_changed_are_refused_in_words(begun: Run) -> None:
    config = begun.read_json(CONFIG)
    role, first = next(iter(config["inputs"].items()))
    begun.write_json(CONFIG, {**config, "inputs": {role: {**first, "sha256": "0" * 64}}})
    with pytest.raises(RunError, match="has changed since"):
        resume_run(begun, settings_to_resume(begun, {}))


@pytest.mark.parametrize("spoiled", [{}, {"request": {"command": "run"}}, {"request": {"command": "train"}}])
def test_a_run_that_does_not_know_what_was_asked_cannot_go_on(begun: Run, spoiled: dict[str, Any]) -> None:
    config = {**begun.read_json(CONFIG), "inputs": {}, **spoiled} if spoiled else {}
    begun.write_json(CONFIG, config)
    with pytest.raises(RunError, match="Start it anew"):
        resume_run(begun, settings_to_resume(begun, {}))


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return int(ended.value.code or 0)


def test_the_command_line_goes_on_too(whole: Run, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = copy_of(whole, tmp_path / "begun")
    assert call("train", "--out", begun.root, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 6
    assert same(begun, whole)
    assert call("resume", begun.root, "--epochs", 7, "--json") == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 7
    assert call("resume", tmp_path / "nowhere") == 2
    assert "does not know what was asked" in capsys.readouterr().err
    assert call("train", "--out", tmp_path / "nowhere", "--resume") == 2
    assert "has not begun yet" in capsys.readouterr().err
    scene = ("--scene", job.before, job.labels)
    assert call("train", "--out", begun.root, "--resume", *scene, *FLAGS, "--batch", 3) == 2
    assert "--batch 4, now it is 3" in capsys.readouterr().err


def test_trainings_killed_at_any_moment_go_on_to_the_same_model(job: Job, tmp_path: Path) -> None:
    """Five real trainings, each killed with -9, and one of them once more while it went on."""
    dice, went_on = random.Random(1), 0
    long = [*FLAGS[: FLAGS.index("--epochs")], *FLAGS[FLAGS.index("--epochs") + 2 :], "--epochs", "40"]
    scene = ["train", "--scene", str(job.before), str(job.labels), "--checkpoint-s", "0", *long]
    line = [sys.executable, "-m", "minedetect"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    whole = Run(tmp_path / "whole")
    subprocess.run([*line, *scene, "--out", str(whole.root)], check=True, env=environment, capture_output=True)
    for number in range(5):
        run = Run(tmp_path / f"killed{number}")
        start = [*line, *scene, "--out", str(run.root)]
        killed = _killed(start, run, dice.uniform(0.5, 6.0), environment)
        if number == 0:
            killed += _killed([*line, "resume", str(run.root)], run, dice.uniform(0.5, 6.0), environment)
        assert killed
        subprocess.run([*line, "resume", str(run.root)], check=True, env=environment, capture_output=True)
        assert same(run, whole)
        assert not list(run.root.glob(".*.pt"))
        went_on += "Training goes on after" in run.path("log.txt").read_text()
    assert went_on >= 3, "hardly any had a checkpoint when it was killed"


def _killed(line: list[str], run: Run, after_s: float, environment: dict[str, str]) -> int:
    """Start, wait until training has begun and some more, kill; 0 where it was done before."""
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (run.status().step == "train" and run.status().pid == process.pid):
        time.sleep(0.02)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    return int(process.wait() == -signal.SIGKILL)
