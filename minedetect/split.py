"""Training, validation and test ground that share no pixel; how many they share is measured, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from odc.geo.geobox import GeoBox

from minedetect.blocks import SceneSplit, split_blocks
from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import Window, pixel_size_m, shape_of
from minedetect.places import shared_ground_px, split_scenes
from minedetect.raster import MINE, Mask

TRAINING, VALIDATION, TEST = 1, 2, 4
"""Bits of a pixel's parts."""
MOST_NAMED = 20

Zones = npt.NDArray[np.int32]
"""int32 (H, W): number of the labelled mine from 1; 0 outside all."""


@dataclass(frozen=True)
class Split:
    """The whole split, in the order of the scenes.

    Args:
        scenes: one entry a scene.
        gap_px: distance kept between training tiles, validation and test blocks of one scene.
        gap_m: the same in metres; 0 when whole scenes are kept apart.
        shared_pixels: pixels that lie in two of training tiles, validation and test blocks, measured.
        mine_share: share of the known mine pixels that validation holds.
        mines: labelled patches that validation holds.
        test_mine_share: share of the known mine pixels that the test part holds.
        test_mines: labelled patches that the test part holds.
        unused_share: share of all scenes' pixels that are in no part.
        left_out_mine: number of the mine that validation was built around; 0: none.
        further: splits of the same scenes with other places as validation, for further networks.
    """

    scenes: tuple[SceneSplit, ...]
    gap_px: int
    gap_m: float
    shared_pixels: int
    mine_share: float
    mines: int
    test_mine_share: float = 0.0
    test_mines: int = 0
    unused_share: float = 0.0
    left_out_mine: int = 0
    further: tuple[Split, ...] = ()

    @property
    def folds(self) -> tuple[Split, ...]:
        """This split and the further ones: one for each network."""
        return (self, *self.further)

    @property
    def blocks(self) -> int:
        return sum(len(s.validation) for s in self.scenes)

    @property
    def test_blocks(self) -> int:
        return sum(len(s.test) for s in self.scenes)

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """JSON content; windows are [row, column, height, width] in pixels."""

        def plain(windows: Sequence[Window]) -> list[list[int]]:
            return [[w.row, w.col, w.height, w.width] for w in windows]

        return {
            "shared_pixels": self.shared_pixels,
            "gap_px": self.gap_px,
            "gap_m": round(self.gap_m, 1),
            "validation_mine_share": round(self.mine_share, 4),
            "validation_blocks": self.blocks,
            "validation_mines": self.mines,
            "left_out_mine": self.left_out_mine,
            "test_mine_share": round(self.test_mine_share, 4),
            "test_blocks": self.test_blocks,
            "test_mines": self.test_mines,
            "unused_share": round(self.unused_share, 4),
            "training_tiles": sum(len(s.training) for s in self.scenes),
            **({"further_folds": [fold.to_json(names) for fold in self.further]} if self.further else {}),
            "scenes": {
                name: {"training": plain(s.training), "validation": plain(s.validation), "test": plain(s.test)}
                for name, s in zip(names, self.scenes, strict=True)
            },
        }


def make_split(
    grids: Sequence[GeoBox],
    masks: Sequence[Mask],
    settings: TileSettings,
    seed: int,
    zones: Sequence[Zones] | None = None,
) -> Split:
    """Split one scene into blocks, or several scenes into whole ones.

    Args:
        grids: where each scene lies.
        masks: uint8 (H, W) a scene, 0, 1 or 255.
        settings: tile size, overlap, shares, the mine to leave out.
        seed: of the choice among whole scenes.
        zones: int32 (H, W) a scene, the number of the labelled mine from 1, 0 outside all; of several
            scenes the numbers go on from scene to scene. None: connected patches, numbered scene after scene.

    Raises:
        SplitError: the scenes leave no way to keep training, validation and test apart.
    """
    _require_labels(masks)
    number = settings.leave_mine_out
    left_out = [z == number for z in _numbered(masks, zones, number)] if number else None
    if len(grids) == 1:
        only, gap = split_blocks(masks[0], settings, left_out[0] if left_out else None)
        folds = [[only]]
    else:
        holds = [bool(here.any()) for here in left_out or ()]
        folds, gap = split_scenes(grids, masks, settings, seed, holds), 0
    first, *further = (_summarize(grids, masks, parts, gap) for parts in folds)
    split = replace(first, left_out_mine=number, further=tuple(further))
    if any(fold.shared_pixels for fold in split.folds):
        most = max(fold.shared_pixels for fold in split.folds)
        raise SplitError(f"Training, validation and test would share {most:,} pixels. Use scenes of different places.")
    return split


def _require_labels(masks: Sequence[Mask]) -> None:
    """Raise unless there is something to learn from at all."""
    mine, background = (sum(int((m == c).sum()) for m in masks) for c in (MINE, 0))
    if mine and background:
        return
    if not mine and not background:
        raise SplitError(
            "No pixel is both labelled and observed, so there is nothing to learn from. "
            "Check the image's nodata value, and that labels and image lie on the same ground."
        )
    if not mine:
        raise SplitError(
            f"None of the {background:,} known pixels is a mine. Check that the outlines lie on observed ground."
        )
    raise SplitError(
        f"All {mine:,} known pixels are mine, so nothing shows what is none. Label ground without mines as well."
    )


def _numbered(masks: Sequence[Mask], zones: Sequence[Zones] | None, number: int) -> list[Zones]:
    """Mine numbers of the known mine pixels.

    Raises:
        SplitError: there is no mine of this number, or no other.
    """
    if zones is None:
        zones, last = [], 0
        for mask in masks:
            patches, count = scipy.ndimage.label(mask == MINE, np.ones((3, 3)))
            zones.append(np.where(patches, patches + last, 0).astype(np.int32))
            last += count
    known = [np.where(mask == MINE, z, np.int32(0)) for mask, z in zip(masks, zones, strict=True)]
    numbers = sorted({int(n) for z in known for n in np.unique(z[z > 0])})
    named = ", ".join(str(n) for n in numbers[:MOST_NAMED]) + (", ..." if len(numbers) > MOST_NAMED else "")
    there = f"Labelled mines with known pixels: {len(numbers)} (number {named})." if numbers else "No mine is numbered."
    if number not in numbers:
        raise SplitError(f"There is no mine number {number} to leave out. {there} Choose --leave-mine-out among them.")
    if len(numbers) < 2:
        raise SplitError(
            f"Leaving out mine number {number} would leave none to learn from. {there} "
            "Label more mines, or choose --leave-mine-out 0 to cut the mine in two."
        )
    return known


def _summarize(grids: Sequence[GeoBox], masks: Sequence[Mask], parts: Sequence[SceneSplit], gap_px: int) -> Split:
    total = max(1, sum(int((mask == MINE).sum()) for mask in masks))
    judged, tested = (
        [mask[w.slices] == MINE for mask, windows in zip(masks, of, strict=True) for w in windows]
        for of in ([p.validation for p in parts], [p.test for p in parts])
    )
    used = sum(int(np.count_nonzero(part_map(shape_of(g), p))) for g, p in zip(grids, parts, strict=True))
    return Split(
        scenes=tuple(parts),
        gap_px=gap_px,
        gap_m=gap_px * pixel_size_m(grids[0]),
        shared_pixels=measure_shared(grids, parts),
        mine_share=sum(int(b.sum()) for b in judged) / total,
        mines=_patches(judged),
        test_mine_share=sum(int(b.sum()) for b in tested) / total,
        test_mines=_patches(tested),
        unused_share=1 - used / sum(mask.size for mask in masks),
    )


def _patches(blocks: Sequence[npt.NDArray[np.bool_]]) -> int:
    return sum(int(scipy.ndimage.label(b, np.ones((3, 3)))[1]) for b in blocks)


def part_map(shape: tuple[int, int], part: SceneSplit) -> npt.NDArray[np.uint8]:
    """What each pixel of a scene is for: uint8 (H, W), the sum of TRAINING, VALIDATION and TEST; 0 in no part."""
    painted = np.zeros(shape, dtype=np.uint8)
    for bit, windows in ((TRAINING, part.training), (VALIDATION, part.validation), (TEST, part.test)):
        for window in windows:
            painted[window.slices] |= np.uint8(bit)
    return painted


def training_area(shape: tuple[int, int], tiles: Sequence[Window]) -> npt.NDArray[np.bool_]:
    """Pixels that lie in any of the tiles: bool (H, W)."""
    area = np.zeros(shape, dtype=bool)
    for tile in tiles:
        area[tile.slices] = True
    return area


def measure_shared(grids: Sequence[GeoBox], parts: Sequence[SceneSplit]) -> int:
    """Pixels in two parts: training tiles, validation blocks, test blocks; over all scenes and pairs of parts.

    Within a scene they are counted one by one; between scenes of different parts the ground that both
    footprints cover is counted in pixels.
    """
    shared = 0
    for grid, part in zip(grids, parts, strict=True):
        painted = part_map(shape_of(grid), part)
        for a, b in combinations((TRAINING, VALIDATION, TEST), 2):
            shared += int(np.count_nonzero((painted & (a | b)) == (a | b)))
    ground = shared_ground_px(grids)
    for i, j in combinations(range(len(parts)), 2):
        if any(a != b for a in _held(parts[i]) for b in _held(parts[j])):
            shared += int(ground[i, j])
    return shared


def _held(part: SceneSplit) -> tuple[int, ...]:
    of = ((TRAINING, part.training), (VALIDATION, part.validation), (TEST, part.test))
    return tuple(bit for bit, windows in of if windows)
