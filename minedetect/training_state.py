"""Everything that changes while a network learns: taken one step on, judged, saved and restored exactly."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from minedetect.augment import Augmentation, Changes, scaled_zero
from minedetect.bands import BandContract
from minedetect.config import TrainingSettings
from minedetect.curves import Epoch
from minedetect.devices import fits_on, is_out_of_memory, peak_memory_mb
from minedetect.errors import DeviceError, ModelError, SplitError
from minedetect.loss import Loss, class_weights
from minedetect.model import copied, on_device, start_net
from minedetect.processes import summed, summed_with_gradients
from minedetect.raster import IGNORE
from minedetect.tiles import Batch, TrainingScene, cut, epoch_order, training_places, validation_tiles
from minedetect.validate import Judge, Judged

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Task:
    """What to learn from; the same in every process.

    Args:
        scenes: scaled scenes with their tiles and blocks.
        contract: bands and scaling the scenes were scaled with.
        settings: all of training.
    """

    scenes: tuple[TrainingScene, ...]
    contract: BandContract
    settings: TrainingSettings


@dataclass(frozen=True)
class Best:
    """The epoch with the best validation IoU so far.

    Args:
        epoch: its number, and its mine IoU on validation; 0 and -1 before the first.
        weights: of the averaged network.
        raw: float32 (n,), the network's probability on some known validation pixels.
        mine: bool (n,), which of them are labelled mine.
    """

    epoch: int
    iou: float
    weights: Mapping[str, Tensor]
    raw: npt.NDArray[np.float32]
    mine: npt.NDArray[np.bool_]


class TrainingState:
    """A network on its way: weights, their running average, moments, random states, place in the epoch, curves.

    Args:
        fabric: launched.
        task: what to learn from.

    Raises:
        SplitError: there is no training tile, no validation block, or one class only.
        ModelError: the weights to start from do not fit.
    """

    def __init__(self, fabric: Fabric, task: Task) -> None:
        settings = task.settings
        self.places = training_places(task.scenes)
        if not self.places or not any(s.validation for s in task.scenes):
            raise SplitError("There are no training tiles or no validation blocks. Choose a smaller --tile-px.")
        self.fabric, self.settings, self.contract = fabric, settings, task.contract
        size = sum(s.size_bytes for s in task.scenes)
        resident = fits_on(fabric.device, size)
        self.scenes = [s.to(fabric.device) for s in task.scenes] if resident else list(task.scenes)
        torch.manual_seed(settings.seed)
        self.net = on_device(start_net(settings, task.contract), fabric.device)
        adam = torch.optim.Adam(self.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.model, self.optimizer = fabric.setup(self.net, adam)
        self.averaged = AveragedModel(self.net, multi_avg_fn=_running_average(settings.averaging), use_buffers=True)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=0.5, patience=settings.plateau_epochs
        )
        self.loss_of = Loss(class_weights(task.scenes, settings).to(fabric.device), settings.dice_weight)
        self.augment = Augmentation(settings, scaled_zero(task.contract))
        tiles = validation_tiles(self.scenes, settings.tile_px)
        self.judge = Judge(fabric, self.scenes, tiles, settings.tile_px)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.at_once = settings.batch
        self.epoch, self.at, self.order = 0, 0, torch.zeros(0, dtype=torch.long)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=fabric.device)
        self.steps, self.training_s, self.started = 0, 0.0, time.perf_counter()
        self.history: list[Epoch] = []
        self.best = Best(0, -1.0, copied(self.net), np.zeros(0, np.float32), np.zeros(0, np.bool_))

    @property
    def tiles_per_epoch(self) -> int:
        return self.settings.tiles_per_epoch or len(self.places)

    @property
    def stale_epochs(self) -> int:
        return self.epoch - self.best.epoch

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none was better for long enough."""
        return self.epoch >= self.settings.epochs or self.stale_epochs >= self.settings.early_stop_epochs

    def begin_epoch(self) -> None:
        """Draw the order of an epoch's tiles, unless one is under way."""
        self.model.train()
        self.started = time.perf_counter()
        if len(self.order) == 0:
            self.order = epoch_order(len(self.places), self.settings.tiles_per_epoch, self.generator)

    def step(self) -> None:
        """One step of the optimizer on the next tiles; where memory runs out, on fewer tiles at once.

        Raises:
            DeviceError: one tile at a time is still too much.
        """
        numbers = self.order[self.at : self.at + self.settings.batch].tolist()
        changes = self.augment.draw(len(numbers), self.generator)
        while True:
            try:
                loss = self._gradients(numbers, changes)
                break
            except (RuntimeError, MemoryError) as error:
                self._halve(error)
        self._anneal()
        self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.settings.clip_norm, error_if_nonfinite=False
        )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.net)
        self.loss_sum += loss
        self.steps += 1
        self.at += len(numbers)

    def _anneal(self) -> None:
        """Cosine annealing without restarts (Loshchilov & Hutter 2017), step by step."""
        if self.settings.schedule != "cosine":
            return
        progress = (self.epoch + self.at / len(self.order)) / self.settings.epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    def _gradients(self, numbers: list[int], changes: Changes) -> Tensor:
        """Add up the gradients of some tiles, a part at a time; returns their loss, float64 ()."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        share = -(-len(numbers) // world)
        own = slice(rank * share, (rank + 1) * share)
        batch = self._cut(numbers[own], changes.part(own))
        whole = summed(self.fabric, self.loss_of.weight_of(batch.labels))
        found = torch.zeros_like(self.loss_sum)
        for at in range(0, len(batch.labels), self.at_once):
            part = batch.part(slice(at, at + self.at_once))
            logits = self.model(part.pixels.contiguous(memory_format=torch.channels_last))
            loss = self.loss_of(logits, part.labels, whole, lambda own: summed_with_gradients(self.fabric, own))
            self.fabric.backward(loss)
            found += loss.detach()
        return found

    def _cut(self, numbers: list[int], changes: Changes) -> Batch:
        """The tiles, augmented; a tile that teaches nothing where a process has none left."""
        if not numbers:
            idle = cut(self.scenes, [self.places[0]], self.settings.tile_px).to(self.fabric.device)
            return Batch(idle.pixels, torch.full_like(idle.labels, IGNORE))
        batch = cut(self.scenes, [self.places[n] for n in numbers], self.settings.tile_px)
        return self.augment(batch.to(self.fabric.device), changes)

    def _halve(self, error: RuntimeError | MemoryError) -> None:
        """Look at half as many tiles at once from now on; raise what is not a lack of memory.

        The tiles and their changes stay the same, and gradients add up to those of the whole batch; only
        batch norm sees fewer tiles at a time.
        """
        if not is_out_of_memory(error):
            raise error
        if self.at_once == 1 or self.fabric.world_size > 1:
            raise DeviceError(
                f"Memory ran out with {self.at_once} tiles of {self.settings.tile_px} px at once. "
                "Choose a smaller --batch, --width or --tile-px."
            ) from error
        self.optimizer.zero_grad(set_to_none=True)
        if self.fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        self.at_once = -(-min(self.at_once, self.settings.batch) // 2)
        log.warning(
            "Memory ran out: %d tiles at once from now on; a step still learns from %d.",
            self.at_once,
            self.settings.batch,
        )

    def end_epoch(self) -> None:
        """Judge the averaged network, lower the rate where due, keep the best, add a row to the curves.

        Raises:
            ModelError: the loss is no longer a number.
        """
        loss = float(self.loss_sum) / max(self.steps, 1)  # waits for the device, so before the clock is read
        self.training_s += time.perf_counter() - self.started
        rate = self.optimizer.param_groups[0]["lr"]
        judged = self._judged()
        self.epoch += 1
        kept = self._better(judged.counts.iou)
        self.history.append(self._row(loss, judged, rate, self.epoch if kept else self.best.epoch))
        self._require_finite(self.history[-1])
        if self.settings.schedule == "plateau":
            self.schedule.step(judged.loss)
        if kept:
            weights = copied(self.averaged.module)
            self.best = Best(self.epoch, judged.counts.iou, weights, judged.raw, judged.mine)
        self.at, self.order, self.steps, self.training_s = 0, self.order[:0], 0, 0.0
        self.loss_sum.zero_()

    def _better(self, iou: float) -> bool:
        """Whether the present epoch takes the place of the best one so far: any of the last share does, once."""
        first, best = self.settings.epochs * (1 - self.settings.choose_last), self.best
        return math.isfinite(iou) and (self.epoch > first, iou) > (best.epoch > first, best.iou)

    def _judged(self) -> Judged:
        """Judge the averaged network, the same one in every process."""
        if self.fabric.world_size > 1:
            buffers = dict(self.averaged.module.named_buffers())
            for name, value in self.fabric.broadcast({k: v.cpu() for k, v in buffers.items()}).items():
                buffers[name].copy_(value)
        while True:
            try:
                return self.judge(self.averaged.module, self.loss_of, self.at_once)
            except (RuntimeError, MemoryError) as error:
                self._halve(error)

    def _row(self, loss: float, judged: Judged, rate: float, kept_epoch: int) -> Epoch:
        counts = judged.counts
        known = max(counts.pixels, 1)
        return Epoch(
            epoch=self.epoch,
            train_loss=loss,
            validation_loss=judged.loss,
            iou=counts.iou,
            dice=counts.dice,
            precision=counts.precision,
            recall=counts.recall,
            learning_rate=rate,
            seconds=self.training_s + judged.seconds,
            patches_per_s=len(self.order) / self.training_s,
            memory_mb=peak_memory_mb(self.fabric.device),
            predicted_share=(counts.tp + counts.fp) / known,
            mine_share=(counts.tp + counts.fn) / known,
            kept_epoch=kept_epoch,
        )

    def _require_finite(self, row: Epoch) -> None:
        if not math.isfinite(row.train_loss) or not math.isfinite(row.validation_loss):
            raise ModelError(
                f"The loss is no longer a number in epoch {row.epoch}. "
                f"Try a lower learning rate: --learning-rate {self.settings.learning_rate / 4:g}."
            )

    @property
    def healthy(self) -> bool:
        """Whether the present epoch's losses are numbers, so that its weights are worth keeping."""
        return bool(torch.isfinite(self.loss_sum))


def _running_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential average of weights, quicker at the start, so that the random start is soon forgotten."""

    @torch.no_grad()
    def average(averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)  # batch norm's step counters
            return
        kept = min(decay, float((1 + steps) / (10 + steps)))
        torch._foreach_lerp_(averaged, current, 1 - kept)

    return average
