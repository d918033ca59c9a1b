"""One scene split in blocks: a rectangle for validation, training tiles all around it, a gap between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import Window, plan_windows
from minedetect.raster import MINE, Mask

MOST_EDGES = 32
"""Candidate block edges per axis; keeps the search under a quarter of a million rectangles."""
MOST_PATCHES = 100
"""Patches whose cutting is judged, the largest first; a ragged mask has thousands."""
LOST_MINE_LIMIT, LOST_AREA_LIMIT = 0.05, 0.05
"""A gap is as wide as it can be without costing more than these shares of the scene."""


@dataclass(frozen=True)
class SceneSplit:
    """One scene's part of the split.

    Args:
        training: training tiles; they overlap one another.
        validation: validation blocks; disjoint rectangles.
    """

    training: tuple[Window, ...]
    validation: tuple[Window, ...]


def stride_px(settings: TileSettings) -> int:
    """Distance between neighbouring training tiles."""
    return max(1, round(settings.tile_px * (1 - settings.tile_overlap)))


def split_blocks(mask: Mask, settings: TileSettings) -> tuple[SceneSplit, int]:
    """One rectangle for validation, tiles all around it, and the widest gap the scene has room for."""
    too_small = SplitError(
        f"This scene of {mask.shape[0]} x {mask.shape[1]} px is too small to hold training tiles of "
        f"{settings.tile_px} px and a validation block, both with mines. "
        "Choose a smaller --tile-px, or train on several scenes."
    )
    if min(mask.shape) < settings.tile_px:
        raise too_small
    gap = settings.max_gap_px
    while True:
        found = _best_block(mask, settings, gap)
        if found is not None and (gap == 0 or found[1]):
            block = found[0]
            tiles = _tiles_around(mask.shape, block, gap, settings)
            return SceneSplit(tuple(tiles), (block,)), gap
        if gap == 0:
            raise too_small
        gap = 0 if gap < 32 else gap // 2


def _tiles_around(shape: tuple[int, ...], block: Window, gap_px: int, settings: TileSettings) -> list[Window]:
    """Tiles of the four slabs above, below, left and right of a block, flush with the gap."""
    H, W = shape[0], shape[1]
    slabs = (
        Window(0, 0, block.row - gap_px, W),
        Window(block.row_end + gap_px, 0, H - block.row_end - gap_px, W),
        Window(0, 0, H, block.col - gap_px),
        Window(0, block.col_end + gap_px, H, W - block.col_end - gap_px),
    )
    tile, stride = settings.tile_px, stride_px(settings)
    return sorted(
        {
            window.shifted(slab.row, slab.col)
            for slab in slabs
            if min(slab.height, slab.width) >= tile
            for window in plan_windows((slab.height, slab.width), tile, stride)
        }
    )


def _best_block(mask: Mask, settings: TileSettings, gap_px: int) -> tuple[Window, bool] | None:
    """The rectangle nearest the share asked for, and whether the gap costs little; None when none fits."""
    boxes = _candidates(mask.shape, settings)
    if not len(boxes):
        return None
    mine = _integral(mask == MINE)
    total_px = float(mask.size)
    total_mine = float(mine[-1, -1])
    mine_in = _sums(mine, boxes) / max(total_mine, 1)
    area_in = _areas(boxes) / total_px
    unused = _without_tiles(boxes, mask.shape, gap_px, settings.tile_px)
    lost_mine = _sums(mine, unused) / max(total_mine, 1) - mine_in
    lost_area = _areas(unused) / total_px - area_in
    share = settings.validation_share
    cost = (
        np.abs(mine_in - share) / share
        + 0.5 * np.abs(area_in - share) / share
        + 3 * lost_mine
        + lost_area
        + 0.15 * _cut_mines(mask, boxes)
    )
    possible = (mine_in > 0) & (mine_in + lost_mine < 1) & (_areas(unused) < total_px)
    if not possible.any():
        return None
    best = int(np.argmin(np.where(possible, cost, np.inf)))
    row_0, row_1, col_0, col_1 = (int(v) for v in boxes[best])
    cheap = lost_mine[best] <= LOST_MINE_LIMIT and lost_area[best] <= LOST_AREA_LIMIT and possible[best]
    return Window(row_0, col_0, row_1 - row_0, col_1 - col_0), bool(cheap)


Boxes = npt.NDArray[np.int64]
"""int64 (N, 4): first row, end row, first column, end column."""


def _candidates(shape: tuple[int, ...], settings: TileSettings) -> Boxes:
    spans = []
    for length in shape[:2]:
        step = max(settings.tile_px // 4, -(-length // MOST_EDGES))
        edges = np.unique(np.append(np.arange(0, length, step), length))
        low, high = np.meshgrid(edges, edges, indexing="ij")
        long_enough = high - low >= min(settings.tile_px // 2, length)
        spans.append(np.stack([low[long_enough], high[long_enough]], axis=1))
    i, j = np.meshgrid(np.arange(len(spans[0])), np.arange(len(spans[1])), indexing="ij")
    boxes: Boxes = np.concatenate([spans[0][i.ravel()], spans[1][j.ravel()]], axis=1)
    share = _areas(boxes) / (shape[0] * shape[1])
    return boxes[(share > 0.2 * settings.validation_share) & (share < min(0.6, 3 * settings.validation_share))]


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    return np.asarray((boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2]), dtype=float)


def _integral(marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.asarray(np.pad(marked.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0))))


def _sums(integral: npt.NDArray[np.int64], boxes: Boxes) -> npt.NDArray[np.float64]:
    r0, r1, c0, c1 = boxes.T
    return np.asarray(integral[r1, c1] - integral[r0, c1] - integral[r1, c0] + integral[r0, c0], dtype=float)


def _without_tiles(boxes: Boxes, shape: tuple[int, ...], gap_px: int, tile_px: int) -> Boxes:
    """The rectangle around each block that no training tile reaches."""
    grown = boxes + np.array([-gap_px, gap_px, -gap_px, gap_px])
    for axis, length in enumerate(shape[:2]):
        low, high = grown[:, 2 * axis], grown[:, 2 * axis + 1]
        grown[:, 2 * axis] = np.where(low >= tile_px, low, 0)
        grown[:, 2 * axis + 1] = np.where(length - high >= tile_px, high, length)
    return np.asarray(grown)


def _cut_mines(mask: Mask, boxes: Boxes) -> npt.NDArray[np.float64]:
    """How many labelled patches each block's border cuts, judged by their bounding boxes."""
    patches, count = scipy.ndimage.label(mask == MINE, np.ones((3, 3)))
    largest = np.argsort(np.bincount(patches.ravel(), minlength=count + 1)[1:])[::-1][:MOST_PATCHES]
    found = scipy.ndimage.find_objects(patches)
    cut = np.zeros(len(boxes))
    for rows, cols in (found[i] for i in largest):
        r0, r1, c0, c1 = boxes.T
        touches = (r0 < rows.stop) & (r1 > rows.start) & (c0 < cols.stop) & (c1 > cols.start)
        holds = (r0 <= rows.start) & (r1 >= rows.stop) & (c0 <= cols.start) & (c1 >= cols.stop)
        cut += touches & ~holds
    return cut
