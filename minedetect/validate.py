"""How well a network does on validation ground while it trains: loss, pooled counts, and a sample to calibrate on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from minedetect.loss import Loss
from minedetect.measure import Counts
from minedetect.processes import summed
from minedetect.raster import IGNORE, MINE
from minedetect.tiles import Batch, TrainingScene, ValidationTile, cut_validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MOST_KEPT_PX = 1_000_000
"""Validation pixels kept of the best epoch, enough to calibrate it when training is stopped."""


@dataclass(frozen=True)
class Judged:
    """What one pass over the validation ground found.

    Args:
        loss: of all validation pixels together.
        counts: of the mine class over all validation pixels, each counted once, over all processes.
        raw: float32 (n,), the network's probability of mine on some of this process's known pixels.
        mine: bool (n,), which of them are labelled mine.
        seconds: how long it took.
    """

    loss: float
    counts: Counts
    raw: npt.NDArray[np.float32]
    mine: npt.NDArray[np.bool_]
    seconds: float


@dataclass(frozen=True)
class Judge:
    """Validation ground, cut in tiles whose cores cover it once.

    Args:
        fabric: the processes that share the tiles among them.
        scenes: where the tiles lie.
        tiles: all of them.
        tile_px: side of a tile.
    """

    fabric: Fabric
    scenes: Sequence[TrainingScene]
    tiles: Sequence[ValidationTile]
    tile_px: int

    def __call__(self, network: nn.Module, loss_of: Loss, at_once: int) -> Judged:
        """Judge a network on some tiles at once, over all processes; its batch norm keeps its statistics."""
        started = time.perf_counter()
        network.eval()
        mine = self.tiles[self.fabric.global_rank :: self.fabric.world_size]
        at_once = max(1, at_once // self.fabric.world_size)
        thin = max(1, -(-sum(t.core.height * t.core.width for t in self.tiles) // MOST_KEPT_PX))
        totals = torch.zeros(9, dtype=torch.float64, device=self.fabric.device)
        kept: list[Tensor] = []
        with torch.inference_mode(), self.fabric.autocast():
            for at in range(0, len(mine), at_once):
                batch = cut_validation(self.scenes, mine[at : at + at_once], self.tile_px).to(self.fabric.device)
                logits = network(batch.pixels.contiguous(memory_format=torch.channels_last)).float()
                totals += _tally(logits, batch, loss_of)
                kept.append(_sample(logits, batch, thin))
        totals = summed(self.fabric, totals)
        counts = Counts(*(int(n) for n in totals[:4].tolist()))
        loss = float(loss_of.of(totals[4:]))
        sample = torch.cat(kept, dim=1).cpu().numpy() if kept else np.zeros((2, 0), np.float32)
        return Judged(loss, counts, sample[0], sample[1] > 0, time.perf_counter() - started)


def _tally(logits: Tensor, batch: Batch, loss_of: Loss) -> Tensor:
    """Hits, false alarms, misses and the rest, then the sums of the loss: float64 (9,)."""
    known, mine = batch.labels != IGNORE, batch.labels == MINE
    predicted = (logits.argmax(dim=1) == MINE) & known
    seen, called, labelled, hits = known.sum(), predicted.sum(), mine.sum(), (predicted & mine).sum()
    rest = seen - called - labelled + hits
    counted = torch.stack([hits, called - hits, labelled - hits, rest]).double()
    return torch.cat([counted, loss_of.sums(logits, batch.labels).double()])


def _sample(logits: Tensor, batch: Batch, thin: int) -> Tensor:
    """Probability of mine and label of every `thin`-th known pixel: float32 (2, n)."""
    known = batch.labels != IGNORE
    probability = logits.softmax(dim=1)[:, MINE][known][::thin]
    return torch.stack([probability, (batch.labels[known][::thin] == MINE).float()])
