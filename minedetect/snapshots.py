"""A training's state as a snapshot, and back: an interrupted training goes on to the same weights, bit for bit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from minedetect.checkpoint import Snapshot, grouped, joined
from minedetect.curves import Epoch
from minedetect.errors import ModelError
from minedetect.training_state import Best, TrainingState


def take(state: TrainingState) -> Snapshot:
    """All of a training between two steps, to go on from exactly there."""
    random = {"generator": state.generator.get_state(), "torch": torch.get_rng_state()}
    if state.fabric.device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(state.fabric.device)
    moments = state.optimizer.state_dict()["state"]
    groups: dict[str, Mapping[str, Tensor]] = {
        "net": state.net.state_dict(),
        "averaged": state.averaged.state_dict(),
        "best": state.best.weights,
        "kept": {"raw": torch.from_numpy(state.best.raw), "mine": torch.from_numpy(state.best.mine)},
        "moments": {f"{number}/{name}": t for number, of in moments.items() for name, t in of.items()},
        "random": random,
        "place": {"order": state.order, "loss_sum": state.loss_sum},
    }
    about = {
        "epoch": state.epoch,
        "at": state.at,
        "steps": state.steps,
        "training_s": state.training_s + time.perf_counter() - state.started if state.at else 0.0,
        "at_once": state.at_once,
        "best": [state.best.epoch, state.best.iou],
        "rate": state.optimizer.param_groups[0]["lr"],
        "schedule": state.schedule.state_dict(),
        "history": [asdict(row) for row in state.history],
    }
    return Snapshot(about, joined(groups))


def restore(state: TrainingState, saved: Snapshot) -> None:
    """Become what was saved; the settings may allow more epochs than then.

    Raises:
        ModelError: it was saved of another network.
    """
    about, parts = saved.about, grouped(saved.tensors)
    try:
        state.net.load_state_dict(parts["net"])
        state.averaged.load_state_dict(parts["averaged"])
    except RuntimeError as error:
        raise ModelError("The checkpoint is of another network. Train anew, without --resume.") from error
    _restore_optimizer(state, parts.get("moments", {}), about["rate"])
    state.schedule.load_state_dict(about["schedule"])
    _restore_random(state, parts["random"])
    state.order = parts["place"]["order"]
    state.loss_sum.copy_(parts["place"]["loss_sum"])
    state.epoch, state.at, state.steps = about["epoch"], about["at"], about["steps"]
    state.training_s, state.at_once = about["training_s"], about["at_once"]
    state.history = [Epoch(**row) for row in about["history"]]
    weights = {name: tensor.to(state.fabric.device) for name, tensor in parts["best"].items()}
    epoch, iou = about["best"]
    state.best = Best(epoch, iou, weights, parts["kept"]["raw"].numpy(), parts["kept"]["mine"].numpy())


def _restore_optimizer(state: TrainingState, moments: Mapping[str, Tensor], rate: float) -> None:
    """Moments laid out in memory as their parameters are, so that sums come out the same to the last bit."""
    laid: dict[int, dict[str, Tensor]] = {}
    parameters = list(state.net.parameters())
    for key, tensor in moments.items():
        number, name = key.split("/")
        like = parameters[int(number)]
        same = tensor.shape == like.shape
        laid.setdefault(int(number), {})[name] = torch.empty_like(like).copy_(tensor) if same else tensor
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": laid})
    for group in state.optimizer.param_groups:
        group["lr"] = rate


def _restore_random(state: TrainingState, random: Mapping[str, Tensor]) -> None:
    state.generator.set_state(random["generator"])
    torch.set_rng_state(random["torch"])
    if "cuda" in random and state.fabric.device.type == "cuda":
        torch.cuda.set_rng_state(random["cuda"], state.fabric.device)
