"""One step of training and one look at validation, in as many processes as there are; the first one writes both.

python tests/one_step.py OUT BATCH AT_ONCE
"""

import sys
from pathlib import Path

import torch
from learnable import CONTRACT, SETTINGS, bright_squares

from minedetect.config import Settings
from minedetect.processes import make_fabric
from minedetect.training_state import Task, TrainingState


def settings(batch: int) -> Settings:
    return SETTINGS.model_copy(update={"batch": batch, "precision": "float32"})


def one_step(batch: int, at_once: int) -> dict[str, object]:
    """Weights after one step with frozen batch norm, its loss, and the counts of a look at validation."""
    fabric, _ = make_fabric(settings(batch))
    if fabric.world_size > 1:
        fabric.launch()
    state = TrainingState(fabric, Task((bright_squares(),), CONTRACT, settings(batch)))
    state.at_once = at_once
    state.begin_epoch()
    for module in state.net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    state.step()
    judged = state.judge(state.averaged.module, state.loss_of, at_once)
    counts = judged.counts
    return {
        "weights": {name: value.clone() for name, value in state.net.state_dict().items()},
        "loss": float(state.loss_sum),
        "judged": torch.tensor([judged.loss, counts.tp, counts.fp, counts.fn, counts.tn], dtype=torch.float64),
        "rank": fabric.global_rank,
    }


if __name__ == "__main__":
    found = one_step(int(sys.argv[2]), int(sys.argv[3]))
    if found["rank"] == 0:
        torch.save(found, Path(sys.argv[1]))
