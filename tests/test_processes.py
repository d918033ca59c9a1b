"""Two processes learn what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from one_step import one_step

from minedetect.curves import read_metrics
from minedetect.demo import write_inputs
from minedetect.processes import is_follower
from minedetect.runs import METRICS, SCENES_FOLDER, Run

HERE = Path(__file__).parent
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


pytestmark = pytest.mark.slow  # processes of their own take seconds to start


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One step in two processes that share a batch of five tiles, three and two."""
    out = tmp_path_factory.mktemp("two") / "found.pt"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [*TORCHRUN, str(HERE / "one_step.py"), str(out), "5", "5"]
    for _ in range(2):  # a busy machine may give the port that was found free to somebody else
        ended = subprocess.run(line, check=False, env=environment, timeout=150, capture_output=True, text=True)
        if ended.returncode == 0:
            break
    assert ended.returncode == 0, ended.stderr[-4000:]
    return torch.load(out, weights_only=True)


@pytest.fixture(scope="module")
def one() -> Any:
    return one_step(5, 5)


def test_a_step_in_two_processes_is_the_step_of_one(one: Any, two: Any) -> None:
    again: Any = one_step(5, 5)
    for name, weights in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weights, rtol=0, atol=1e-4)
        assert torch.equal(again["weights"][name], weights)
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)


def test_counts_and_loss_on_validation_are_those_of_one_process(one: Any, two: Any) -> None:
    assert torch.equal(two["judged"][1:], one["judged"][1:])
    assert float(two["judged"][0]) == pytest.approx(float(one["judged"][0]), rel=1e-4)
    assert float(two["judged"][1:].sum()) == 128 * 64


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_batch_in_parts_is_the_whole_batch_but_for_dice(one: Any, at_once: int) -> None:
    parts: Any = one_step(5, at_once)
    assert parts["loss"] == pytest.approx(one["loss"], rel=0.05)


def test_a_process_follows_where_its_rank_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert not is_follower()
    monkeypatch.setenv("RANK", "3")
    assert not is_follower(), "a stray variable is no group of processes"
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert is_follower()
    monkeypatch.setenv("RANK", "0")
    assert not is_follower()


def test_a_whole_training_on_two_devices(tmp_path: Path) -> None:
    """From the command line, with the second process started by the first one."""
    job = write_inputs(Run(tmp_path / "district"), (320, 256), seed=1)
    flags = ("--preset", "cpu", "--width", "4", "--epochs", "4", "--tile-px", "64", "--max-gap-px", "32")
    scene = ("--scene", str(job.before), str(job.labels), "--device", "cpu", "--devices", "2", "--json")
    line = [sys.executable, "-m", "minedetect", "train", *scene, "--out", str(tmp_path / "run"), *flags]
    done = subprocess.run(line, check=True, timeout=200, capture_output=True, text=True)
    assert json.loads(done.stdout)["epochs"] == 4
    history = read_metrics(tmp_path / "run" / METRICS)
    assert history[-1].train_loss < history[0].train_loss
    assert not (tmp_path / "run" / SCENES_FOLDER).exists()
