"""Training tiles as tensors: scenes in memory, cut by window, augmented on the device. N C H W as ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minedetect.bands import BandContract, filled
from minedetect.grid import Window, cores, row_bands
from minedetect.raster import IGNORE, MINE, Float, Mask, valid


@dataclass(frozen=True)
class TrainingScene:
    """One scene ready for training, in memory.

    Args:
        pixels: float32 (C, H, W), scaled by the contract, NaN where unobserved.
        labels: uint8 (H, W); IGNORE where unknown or unobserved.
        training: its training tiles.
        validation: its validation blocks.
    """

    pixels: Float
    labels: Tensor
    training: tuple[Window, ...]
    validation: tuple[Window, ...]


def training_scene(
    read: Callable[[Window], Float],
    mask: Mask,
    contract: BandContract,
    training: Sequence[Window],
    validation: Sequence[Window],
) -> TrainingScene:
    """Read and scale a scene, and join its labels with what was observed.

    Args:
        read: gives float32 (C, h, w) of a window in the contract's unit, NaN where unobserved.
        mask: uint8 (H, W), 0, 1 or 255.
        contract: bands and scaling.
        training: training tiles.
        validation: validation blocks.
    """
    pixels = np.empty((len(contract.names), *mask.shape), np.float32)
    labels = mask.copy()
    for band in row_bands((mask.shape[0], mask.shape[1])):
        pixels[:, band.rows] = contract.scale(read(band))
        labels[band.rows][~valid(pixels[:, band.rows])] = IGNORE
    return TrainingScene(
        pixels=pixels,
        labels=torch.from_numpy(labels),
        training=tuple(training),
        validation=tuple(validation),
    )


@dataclass(frozen=True)
class Batch:
    """Tiles for one step.

    Args:
        pixels: float32 (N, C, H, W), scaled.
        labels: int64 (N, H, W); IGNORE counts for nothing.
    """

    pixels: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.pixels.to(device), self.labels.to(device))


def cut(scenes: Sequence[TrainingScene], places: Sequence[tuple[int, Window]], tile_px: int) -> Batch:
    """Cut tiles out of scenes; a scene smaller than a tile is reflected, its labels filled with IGNORE.

    Args:
        scenes: the scenes.
        places: scene number and window of each tile.
        tile_px: side of a tile.
    """
    C = scenes[0].pixels.shape[0]
    pixels = torch.zeros(len(places), C, tile_px, tile_px)
    labels = torch.full((len(places), tile_px, tile_px), IGNORE, dtype=torch.long)
    for n, (scene, window) in enumerate(places):
        part = scenes[scene].pixels[:, window.rows, window.cols]
        pad = ((0, 0), (0, tile_px - window.height), (0, tile_px - window.width))
        pixels[n] = torch.from_numpy(np.pad(filled(part), pad, mode="reflect"))
        labels[n, : window.height, : window.width] = scenes[scene].labels[window.slices]
    return Batch(pixels, labels)


def training_places(scenes: Sequence[TrainingScene]) -> list[tuple[int, Window]]:
    """Every training tile: scene number and window."""
    return [(i, window) for i, scene in enumerate(scenes) for window in scene.training]


def epoch_order(count: int, wanted: int, generator: torch.Generator) -> list[int]:
    """Tile numbers of one epoch in random order: each once, or `wanted` of them.

    More tiles than there are go round again, each round in a new order.
    """
    wanted = wanted or count
    rounds = -(-wanted // count)
    order = torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])
    return [int(i) for i in order[:wanted]]


def validation_batches(scenes: Sequence[TrainingScene], tile_px: int, batch: int) -> Iterator[Batch]:
    """Batches that show every validation pixel exactly once: labels outside a tile's core are IGNORE.

    Tiles look at pixels of their own block alone.
    """
    tiles: list[Batch] = []
    for i, scene in enumerate(scenes):
        for block in scene.validation:
            for read, core in cores((block.height, block.width), tile_px, max(1, tile_px * 3 // 4)):
                one = cut(scenes, [(i, read.shifted(block.row, block.col))], tile_px)
                keep = torch.zeros_like(one.labels, dtype=torch.bool)
                inside = core.shifted(-read.row, -read.col)
                keep[0, inside.rows, inside.cols] = True
                tiles.append(Batch(one.pixels, torch.where(keep, one.labels, IGNORE)))
    for n in range(0, len(tiles), batch):
        group = tiles[n : n + batch]
        yield Batch(torch.cat([t.pixels for t in group]), torch.cat([t.labels for t in group]))


def class_shares(scenes: Sequence[TrainingScene]) -> tuple[float, float]:
    """Share of background and of mine among the known pixels of all training tiles."""
    background = mine = 0
    for scene in scenes:
        for window in scene.training:
            labels = scene.labels[window.slices]
            mine += int((labels == MINE).sum())
            background += int((labels == 0).sum())
    total = max(background + mine, 1)
    return background / total, mine / total


@dataclass(frozen=True)
class Augmentation:
    """Random changes that leave a mine a mine.

    Args:
        flips: flip and quarter-turn.
        brightness: largest gain common to all bands, as a share.
        band: largest gain of each band, as a share.
        zero: float32 (C,), the scaled value of zero reflectance; gains turn about it.
    """

    flips: bool
    brightness: float
    band: float
    zero: Tensor

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Augment each tile on its own.

        Args:
            batch: tiles on any device.
            generator: on the CPU; the only source of randomness.
        """
        N, C = batch.pixels.shape[:2]
        common = 1 + self.brightness * (2 * torch.rand(N, 1, generator=generator) - 1)
        each = 1 + self.band * (2 * torch.rand(N, C, generator=generator) - 1)
        gain = (common * each)[:, :, None, None].to(batch.pixels)
        zero = self.zero[None, :, None, None].to(batch.pixels)
        pixels = (batch.pixels - zero) * gain + zero
        if not self.flips:
            return Batch(pixels, batch.labels)
        turns = torch.randint(0, 8, (N,), generator=generator).tolist()
        turned = [(turn(p, t), turn(y, t)) for p, y, t in zip(pixels, batch.labels, turns, strict=True)]
        return Batch(torch.stack([p for p, _ in turned]), torch.stack([y for _, y in turned]))


def turn(image: Tensor, which: int) -> Tensor:
    """One of the eight flips and quarter turns (0 to 7) of the last two axes."""
    turned = torch.rot90(image, which % 4, (-2, -1))
    return turned.flip(-1) if which >= 4 else turned


def turn_back(image: Tensor, which: int) -> Tensor:
    """The inverse of `turn`."""
    flipped = image.flip(-1) if which >= 4 else image
    return torch.rot90(flipped, -(which % 4), (-2, -1))


def scaled_zero(contract: BandContract) -> Tensor:
    """Where zero reflectance lies after scaling: float32 (C,)."""
    low, high = torch.tensor(contract.low), torch.tensor(contract.high)
    return (-low / (high - low)).float()
