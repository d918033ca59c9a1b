"""Random changes of training tiles, made where the tiles are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from minedetect.bands import BandContract
from minedetect.config import AugmentationSettings
from minedetect.tiles import Batch

MIDDLE, DARKEST = 0.3, 1e-4
"""Scaled values above zero reflectance: the one that a changed gamma leaves as it is, and the least one it sees."""


@dataclass(frozen=True)
class Changes:
    """What happens to each of N tiles.

    Args:
        gain: float32 (N, C), of each band about zero reflectance.
        offset: float32 (N, C), added to each band, as haze and shade do.
        gamma: float32 (N,), exponent of the brightness.
        place: float32 (N, 3), scale of the tile about a point, and that point's row and column, -1 to 1.
        turns: int64 (N,), which of the eight flips and quarter turns.
    """

    gain: Tensor
    offset: Tensor
    gamma: Tensor
    place: Tensor
    turns: Tensor

    def part(self, which: slice) -> Changes:
        return Changes(*(getattr(self, f.name)[which] for f in fields(self)))


@dataclass(frozen=True)
class Augmentation:
    """Random changes that leave a mine a mine.

    Args:
        settings: how large they may be.
        zero: float32 (C,), the scaled value of zero reflectance; gains turn about it.
    """

    settings: AugmentationSettings
    zero: Tensor

    def draw(self, tiles: int, generator: torch.Generator) -> Changes:
        """Decide what happens to each of some tiles; `generator`, on the CPU, is the only source of randomness."""
        how, bands = self.settings, len(self.zero)

        def either_way(*shape: int) -> Tensor:
            return 2 * torch.rand(*shape, generator=generator) - 1

        gain = (1 + how.brightness_jitter * either_way(tiles, 1)) * (1 + how.band_jitter * either_way(tiles, bands))
        offset = how.offset_jitter * (either_way(tiles, 1) + either_way(tiles, bands) / 2)
        gamma = torch.exp(how.gamma_jitter * either_way(tiles))
        scale = (1 + how.zoom) ** either_way(tiles, 1)
        place = torch.cat([scale, either_way(tiles, 2)], dim=1)
        turns = torch.randint(0, 8 if how.flips else 1, (tiles,), generator=generator)
        return Changes(gain, offset, gamma, place, turns)

    def __call__(self, batch: Batch, changes: Changes) -> Batch:
        """Change each tile in its own way, where the tiles are."""
        if self.settings.gamma_jitter:
            exponent = changes.gamma[:, None, None, None].to(batch.pixels)
            bright = _moved(batch, changes.gain, -self.zero * changes.gain)
            pixels = MIDDLE * (bright.clamp(min=DARKEST) / MIDDLE) ** exponent
            pixels += _per_band(self.zero + changes.offset, batch)
        else:
            pixels = _moved(batch, changes.gain, self.zero * (1 - changes.gain) + changes.offset)
        batch = Batch(pixels, batch.labels)
        if self.settings.zoom:
            batch = _zoomed(batch, changes.place.to(batch.pixels))
        if not self.settings.flips:
            return batch
        turns = changes.turns.tolist()
        turned = [(turn(p, t), turn(y, t)) for p, y, t in zip(batch.pixels, batch.labels, turns, strict=True)]
        return Batch(torch.stack([p for p, _ in turned]), torch.stack([y for _, y in turned]))


def _moved(batch: Batch, gain: Tensor, offset: Tensor) -> Tensor:
    """Every band times its gain plus its offset, in one pass over the pixels."""
    return torch.addcmul(_per_band(offset, batch), batch.pixels, _per_band(gain, batch))


def _per_band(values: Tensor, batch: Batch) -> Tensor:
    return values[:, :, None, None].to(batch.pixels)


def _zoomed(batch: Batch, place: Tensor) -> Batch:
    """Each tile drawn larger or smaller about a point of its own; beyond its edge it is reflected.

    Args:
        batch: tiles.
        place: (N, 3), as in `Changes`.
    """
    scale, row, col = place.unbind(dim=1)
    # A point (row, col) that stays where it is: seen at p + (x - p) / scale.
    matrix = torch.zeros(len(place), 2, 3).to(place)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / scale
    matrix[:, 0, 2], matrix[:, 1, 2] = col * (1 - 1 / scale), row * (1 - 1 / scale)
    grid = F.affine_grid(matrix, list(batch.pixels.shape), align_corners=False)
    pixels = F.grid_sample(batch.pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    labels = F.grid_sample(
        batch.labels[:, None].to(pixels), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return Batch(pixels, labels[:, 0].long())


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
