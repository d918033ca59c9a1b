"""What only a GPU can show; run with `pytest -m gpu` where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from learnable import CONTRACT, SETTINGS, bright_squares

from minedetect import checkpoint, snapshots
from minedetect.devices import pick_device
from minedetect.train import Watch, fit
from minedetect.training_state import TrainingState

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ON_GPU = SETTINGS.model_copy(update={"device": "cuda"})


def test_scenes_lie_on_the_gpu_and_are_learned_there() -> None:
    seen: list[str] = []

    def look(state: TrainingState) -> None:
        seen.append(state.scenes[0].pixels.device.type)

    found = fit([bright_squares()], CONTRACT, ON_GPU, Watch(between_steps=look))
    assert set(seen) == {"cuda"}
    assert max(e.iou for e in found.history) > 0.8
    assert found.history[-1].memory_mb > 1
    assert found.device == pick_device(ON_GPU)
    assert next(found.detector.net.parameters()).device.type == "cpu"


def test_a_training_goes_on_there(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"

    def keep(state: TrainingState) -> None:
        if state.epoch == 2:
            checkpoint.write(snapshots.take(state), path)

    brief = ON_GPU.model_copy(update={"epochs": 2})
    fit([bright_squares()], CONTRACT, brief, Watch(between_steps=keep))
    found = fit([bright_squares()], CONTRACT, ON_GPU, saved=checkpoint.read(path))
    assert [e.epoch for e in found.history] == list(range(1, 13))
    assert max(e.iou for e in found.history) > 0.8
