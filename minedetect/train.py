"""The training loop, top to bottom, on Lightning Fabric."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from minedetect.bands import BandContract
from minedetect.config import TrainingSettings
from minedetect.errors import ModelError, SplitError
from minedetect.measure import Counts
from minedetect.model import Detector, Device, UNet, load, on_device, pick_device
from minedetect.raster import IGNORE, MINE
from minedetect.runs import write_text
from minedetect.tiles import (
    Augmentation,
    Batch,
    TrainingScene,
    class_shares,
    cut,
    epoch_order,
    scaled_zero,
    training_places,
    validation_batches,
)

log = logging.getLogger(__name__)
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # we say device and precision ourselves


@dataclass(frozen=True)
class Epoch:
    """One row of `metrics.csv`; scores are of the mine class over all validation pixels."""

    epoch: int
    train_loss: float
    validation_loss: float
    iou: float
    dice: float
    precision: float
    recall: float
    learning_rate: float
    seconds: float
    patches_per_s: float


@dataclass(frozen=True)
class Trained:
    """What training hands on: the network of the best epoch, and how it got there."""

    detector: Detector
    history: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    patches_per_s: float
    device: Device


@dataclass(frozen=True)
class Loss:
    """Weighted cross-entropy, with soft Dice of the mine class added.

    Args:
        weights: float32 (2,), of background and mine.
        dice: weight of the Dice term (Milletari et al. 2016, with squared denominators left out).
    """

    weights: Tensor
    dice: float

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss over known pixels.

        Args:
            logits: (N, 2, H, W).
            labels: int64 (N, H, W); IGNORE counts for nothing.
        """
        logits = logits.float()
        known = labels != IGNORE
        if not bool(known.any()):
            return logits.sum() * 0
        loss = F.cross_entropy(logits, labels, weight=self.weights, ignore_index=IGNORE)
        if not self.dice:
            return loss
        probability = logits.softmax(dim=1)[:, MINE] * known
        mine = (labels == MINE).float()
        overlap = 2 * (probability * mine).sum() + 1
        return loss + self.dice * (1 - overlap / (probability.sum() + mine.sum() + 1))


OnEpoch = Callable[[int, int, Sequence[Epoch]], None]
"""Called after each epoch with (done, most, history); may raise Cancelled."""


def fit(
    scenes: Sequence[TrainingScene],
    contract: BandContract,
    settings: TrainingSettings,
    on_epoch: OnEpoch,
) -> Trained:
    """Train a U-Net and keep the weights of the epoch with the best validation mine IoU.

    Args:
        scenes: scaled scenes with their tiles and blocks.
        contract: bands and scaling the scenes were scaled with.
        settings: all of training.
        on_epoch: told after each epoch.

    Raises:
        SplitError: there is no training tile or no validation block.
        ModelError: the loss is no longer a number.
    """
    places = training_places(scenes)
    if not places or not any(s.validation for s in scenes):
        raise SplitError("There are no training tiles or no validation blocks. Choose a smaller --tile-px.")
    device = pick_device(settings)
    torch.manual_seed(settings.seed)
    fabric = Fabric(accelerator=device.kind, devices=1, precision="bf16-mixed" if device.bf16 else "32-true")
    net = on_device(_start_net(contract, settings), device)
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    model, optimizer = fabric.setup(net, optimizer)
    averaged = AveragedModel(net, avg_fn=_running_average(settings.averaging), use_buffers=True)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=settings.plateau_epochs)
    loss_of = Loss(_class_weights(scenes, settings).to(fabric.device), settings.dice_weight)
    augment = Augmentation(settings.flips, settings.brightness_jitter, settings.band_jitter, scaled_zero(contract))
    generator = torch.Generator().manual_seed(settings.seed)
    checking = [b.to(fabric.device) for b in validation_batches(scenes, settings.tile_px, settings.batch)]

    def cut_batch(numbers: list[int]) -> Batch:
        return cut(scenes, [places[n] for n in numbers], settings.tile_px).to(fabric.device)

    history: list[Epoch] = []
    best, best_weights = -1.0, _copied(net)
    best_epoch, patches, started = 0, 0, time.perf_counter()
    for epoch in range(1, settings.epochs + 1):
        epoch_started = time.perf_counter()
        order = epoch_order(len(places), settings.tiles_per_epoch, generator)
        losses: list[float] = []
        model.train()
        for at in range(0, len(order), settings.batch):
            batch = augment(cut_batch(order[at : at + settings.batch]), generator)
            loss = loss_of(model(_channels_last(batch.pixels)), batch.labels)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=settings.clip_norm, error_if_nonfinite=False)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            averaged.update_parameters(net)
            losses.append(loss.item())
        training_seconds = time.perf_counter() - epoch_started
        with fabric.autocast():
            validation_loss, counts = validate(averaged.module, checking, loss_of)
        schedule.step(validation_loss)
        patches += len(order)
        history.append(
            Epoch(
                epoch,
                sum(losses) / len(losses),
                validation_loss,
                counts.iou,
                counts.dice,
                counts.precision,
                counts.recall,
                optimizer.param_groups[0]["lr"],
                time.perf_counter() - epoch_started,
                len(order) / training_seconds,
            )
        )
        _require_finite(history[-1], settings)
        if counts.iou > best:
            best, best_epoch = counts.iou, epoch
            best_weights = _copied(averaged.module)
        on_epoch(epoch, settings.epochs, history)
        if epoch - best_epoch >= settings.early_stop_epochs:
            log.info("No better IoU for %d epochs: training ends.", settings.early_stop_epochs)
            break
    seconds = time.perf_counter() - started
    net.load_state_dict(best_weights)
    detector = Detector(net.cpu().eval(), settings.width, contract)
    return Trained(detector, tuple(history), best_epoch, seconds, patches / seconds, device)


def validate(model: torch.nn.Module, batches: Sequence[Batch], loss_of: Loss) -> tuple[float, Counts]:
    """Loss per known pixel and pooled pixel counts over all validation pixels, each counted once."""
    model.eval()
    counts, total, pixels = Counts(), 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            logits = model(_channels_last(batch.pixels))
            known = batch.labels != IGNORE
            seen = int(known.sum())
            total += float(loss_of(logits, batch.labels)) * seen
            pixels += seen
            predicted, mine = logits.argmax(dim=1)[known] == MINE, batch.labels[known] == MINE
            tp = int((predicted & mine).sum())
            fp, fn = int(predicted.sum()) - tp, int(mine.sum()) - tp
            counts += Counts(tp, fp, fn, seen - tp - fp - fn)
    return total / max(pixels, 1), counts


def _running_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential average of weights, quicker at the start, so that the random start is soon forgotten."""

    def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        kept = min(decay, float((1 + steps) / (10 + steps)))
        return (kept * averaged + (1 - kept) * current).to(averaged.dtype)

    return average


def _copied(net: torch.nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in net.state_dict().items()}


def _channels_last(pixels: Tensor) -> Tensor:
    return pixels.contiguous(memory_format=torch.channels_last)


def _start_net(contract: BandContract, settings: TrainingSettings) -> UNet:
    if not settings.init:
        return UNet(len(contract.names), settings.width)
    seed = load(Path(settings.init))
    if seed.width != settings.width or seed.contract.names != contract.names:
        raise ModelError(
            f"{settings.init} has width {seed.width} and bands {', '.join(seed.contract.names)}; "
            f"this training has width {settings.width} and bands {', '.join(contract.names)}. They must agree."
        )
    return seed.net


def _class_weights(scenes: Sequence[TrainingScene], settings: TrainingSettings) -> Tensor:
    """Weights of background and mine: as set, else the square root of inverse frequency, at mean 1.

    The full inverse frequency makes a network call everything near a mine a mine; its root still
    lifts the rare class. Probabilities are calibrated afterwards in any case.
    """
    shares = class_shares(scenes)
    if not all(shares):
        raise SplitError("The training tiles hold one class only. Add labels, or choose a smaller --tile-px.")
    roots = [share**-0.5 for share in shares]
    computed = [2 * r / sum(roots) for r in roots]
    return torch.tensor([settings.background_weight or computed[0], settings.mine_weight or computed[1]])


def _require_finite(epoch: Epoch, settings: TrainingSettings) -> None:
    if not math.isfinite(epoch.train_loss) or not math.isfinite(epoch.validation_loss):
        raise ModelError(
            f"The loss is no longer a number in epoch {epoch.epoch}. "
            f"Try a lower learning rate: --learning-rate {settings.learning_rate / 4:g}."
        )


def write_metrics(path: Path, history: Sequence[Epoch]) -> None:
    """Write `metrics.csv`, one row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({k: round(v, 6) for k, v in asdict(row).items()})
    write_text(path, text.getvalue())
