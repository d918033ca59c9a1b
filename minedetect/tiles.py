"""Training tiles as tensors: cut by window where the scenes are. N C H W as ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minedetect.bands import BandContract
from minedetect.grid import Window, row_bands, validation_cores
from minedetect.raster import IGNORE, MINE, Float, Mask, valid


@dataclass(frozen=True)
class TrainingScene:
    """One scene ready for training, in memory, on a GPU, or mapped from disk.

    Args:
        pixels: float32 (C, H, W), scaled by the contract, NaN where unobserved.
        labels: uint8 (H, W); IGNORE where unknown or unobserved.
        training: its training tiles.
        validation: its validation blocks.
        folder: where it is mapped from; None where it is in memory.
    """

    pixels: Tensor
    labels: Tensor
    training: tuple[Window, ...]
    validation: tuple[Window, ...]
    folder: Path | None = None

    @property
    def size_bytes(self) -> int:
        return self.pixels.nbytes + self.labels.nbytes

    def to(self, device: torch.device) -> TrainingScene:
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))


PIXELS, LABELS = "pixels.npy", "labels.npy"
"""Files of a scene that is mapped from disk."""


def training_scene(
    read: Callable[[Window], Float],
    mask: Mask,
    contract: BandContract,
    windows: tuple[Sequence[Window], Sequence[Window]],
    folder: Path | None = None,
) -> TrainingScene:
    """Read and scale a scene, and join its labels with what was observed.

    Args:
        read: gives float32 (C, h, w) of a window in the contract's unit, NaN where unobserved.
        mask: uint8 (H, W), 0, 1 or 255.
        contract: bands and scaling.
        windows: training tiles, and validation blocks.
        folder: where to keep the scene on disk and map it from; None for memory.
    """
    shape = (len(contract.names), *mask.shape)
    if folder is None:
        pixels, labels = np.empty(shape, np.float32), mask.copy()
    else:
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.lib.format.open_memmap(folder / PIXELS, "w+", np.float32, shape)
        labels = np.lib.format.open_memmap(folder / LABELS, "w+", np.uint8, mask.shape)
        labels[:] = mask
    for band in row_bands((mask.shape[0], mask.shape[1])):
        pixels[:, band.rows] = contract.scale(read(band))
        labels[band.rows][~valid(pixels[:, band.rows])] = IGNORE
    return _scene(pixels, labels, windows, folder)


def mapped_scene(folder: Path, windows: tuple[Sequence[Window], Sequence[Window]]) -> TrainingScene:
    """A scene that `training_scene` left in a folder, mapped, so that processes share its memory."""
    pixels, labels = (np.load(folder / name, mmap_mode="c") for name in (PIXELS, LABELS))
    return _scene(pixels, labels, windows, folder)


def _scene(
    pixels: Float, labels: Mask, windows: tuple[Sequence[Window], Sequence[Window]], folder: Path | None
) -> TrainingScene:
    training, validation = (tuple(part) for part in windows)
    return TrainingScene(torch.from_numpy(pixels), torch.from_numpy(labels), training, validation, folder)


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

    def part(self, which: slice) -> Batch:
        return Batch(self.pixels[which], self.labels[which])


Place = tuple[int, Window]
"""Scene number and window of a tile."""


def cut(scenes: Sequence[TrainingScene], places: Sequence[Place], tile_px: int) -> Batch:
    """Cut tiles out of scenes, where the scenes are.

    A scene smaller than a tile is reflected, its labels filled with IGNORE.

    Args:
        scenes: the scenes.
        places: scene number and window of each tile.
        tile_px: side of a tile.
    """
    tiles = [_tile(scenes[scene], window, tile_px) for scene, window in places]
    return Batch(torch.stack([pixels for pixels, _ in tiles]), torch.stack([labels for _, labels in tiles]).long())


def _tile(scene: TrainingScene, window: Window, tile_px: int) -> tuple[Tensor, Tensor]:
    pixels = filled_tile(scene.pixels[:, window.rows, window.cols])  # (C, h, w)
    labels = scene.labels[window.slices]
    if (window.height, window.width) == (tile_px, tile_px):
        return pixels, labels
    rows, cols = (_reflected(tile_px, n).to(pixels.device) for n in (window.height, window.width))
    below, beside = tile_px - window.height, tile_px - window.width
    return pixels[:, rows][:, :, cols], F.pad(labels, (0, beside, 0, below), value=IGNORE)


def _reflected(wanted: int, length: int) -> Tensor:
    """Positions 0 .. length - 1 and back again, without repeating the ends: int64 (wanted,)."""
    if length == 1:
        return torch.zeros(wanted, dtype=torch.long)
    there_and_back = torch.arange(wanted) % (2 * length - 2)
    return torch.minimum(there_and_back, 2 * length - 2 - there_and_back)


def filled_tile(pixels: Tensor) -> Tensor:
    """`bands.filled` where the tile is: unobserved pixels take the mean of the observed ones.

    Args:
        pixels: float32 (C, h, w), NaN where unobserved.
    """
    unobserved = pixels.isnan().any(dim=0)
    if unobserved.device.type == "cpu" and not unobserved.any():  # elsewhere the look would wait for the device
        return pixels
    seen = torch.where(unobserved, 0.0, pixels).sum(dim=(1, 2), keepdim=True)
    return torch.where(unobserved, seen / (~unobserved).sum().clamp(min=1), pixels)


def training_places(scenes: Sequence[TrainingScene]) -> list[Place]:
    """Every training tile: scene number and window."""
    return [(i, window) for i, scene in enumerate(scenes) for window in scene.training]


def epoch_order(count: int, wanted: int, generator: torch.Generator) -> Tensor:
    """Tile numbers of one epoch in random order, int64 (n,): each once, or `wanted` of them.

    More tiles than there are go round again, each round in a new order.
    """
    wanted = wanted or count
    rounds = -(-wanted // count)
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])[:wanted]


@dataclass(frozen=True)
class ValidationTile:
    """A tile that judges only its core; tiles look at pixels of their own block alone.

    Args:
        scene: number of its scene.
        read: what the network sees.
        core: what counts, within `read`.
    """

    scene: int
    read: Window
    core: Window


def validation_tiles(scenes: Sequence[TrainingScene], tile_px: int) -> list[ValidationTile]:
    """Tiles whose cores cover every validation pixel exactly once."""
    return [
        ValidationTile(i, read.shifted(block.row, block.col), core.shifted(-read.row, -read.col))
        for i, scene in enumerate(scenes)
        for block in scene.validation
        for read, core in validation_cores((block.height, block.width), tile_px)
    ]


def cut_validation(scenes: Sequence[TrainingScene], tiles: Sequence[ValidationTile], tile_px: int) -> Batch:
    """Cut validation tiles; labels outside a tile's core are IGNORE."""
    batch = cut(scenes, [(t.scene, t.read) for t in tiles], tile_px)
    labels = torch.full_like(batch.labels, IGNORE)
    for n, tile in enumerate(tiles):
        labels[n, tile.core.rows, tile.core.cols] = batch.labels[n, tile.core.rows, tile.core.cols]
    return Batch(batch.pixels, labels)


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
