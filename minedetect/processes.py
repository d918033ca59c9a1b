"""One training in several processes, a process for each device; on Lightning Fabric."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minedetect.config import TrainingSettings
from minedetect.devices import Device, pick_device
from minedetect.errors import DeviceError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # device and precision are told by ourselves


def is_follower() -> bool:
    """Whether this process helps another one that leads a training on several devices."""
    here = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(here) > 0


def make_fabric(settings: TrainingSettings) -> tuple[Fabric, Device]:
    """Fabric on the device of this process; with several devices or machines, one process for each.

    Under torchrun the processes are there already; else Fabric starts the ones of this machine when it
    is launched, by running this program's command line again.

    Raises:
        DeviceError: the devices asked for are not there.
    """
    from lightning_fabric import Fabric  # 2 s that no command but a training should pay

    device = pick_device(settings)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0")) or settings.devices
    nodes = max(1, world // local) if "LOCAL_WORLD_SIZE" in os.environ else 1
    if device.kind == "cuda" and local > torch.cuda.device_count():
        raise DeviceError(f"--devices is {local}; this machine has {torch.cuda.device_count()} GPUs.")
    fabric = Fabric(
        accelerator=device.kind,
        devices=local,
        num_nodes=nodes,
        strategy="ddp" if local * nodes > 1 else "auto",
        precision="bf16-mixed" if device.bf16 else "32-true",
    )
    return fabric, device


def summed(fabric: Fabric, part: Tensor) -> Tensor:
    """Sum of a tensor over all processes, without gradients."""
    if fabric.world_size == 1:
        return part
    return torch.as_tensor(fabric.all_reduce(part, reduce_op="sum"))


def summed_with_gradients(fabric: Fabric, part: Tensor) -> Tensor:
    """Sum of a tensor over all processes, which gradients pass through.

    The gradients of one process's share come back summed over the processes; the mean over processes that
    data-parallel training takes then makes them those of the whole sum.
    """
    if fabric.world_size == 1:
        return part
    return torch.as_tensor(fabric.all_gather(part, sync_grads=True)).sum(dim=0)
