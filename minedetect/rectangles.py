"""Rectangles of one scene by the hundred thousand: what each holds, and what training tiles still reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from minedetect.grid import Window
from minedetect.raster import IGNORE, MINE, Mask

MOST_EDGES = 32
"""Candidate edges per axis; keeps the search under a quarter of a million rectangles."""
MINE_EDGES = 8
"""Parts of the mine area between which edges are added where regular ones cut nothing."""
MOST_PATCHES = 100
"""Patches whose cutting is judged, the largest first; a ragged mask has thousands."""

Boxes = npt.NDArray[np.int64]
"""int64 (N, 4): first row, end row, first column, end column."""
Sums = npt.NDArray[np.float64]


def boxes_of(windows: Sequence[Window]) -> Boxes:
    """Windows as rows of an array."""
    return np.array([(w.row, w.row_end, w.col, w.col_end) for w in windows], dtype=np.int64).reshape(-1, 4)


def window_of(box: npt.NDArray[np.int64]) -> Window:
    """One row of an array as a window."""
    row_0, row_1, col_0, col_1 = (int(v) for v in box)
    return Window(row_0, col_0, row_1 - row_0, col_1 - col_0)


def grown(boxes: Boxes, by_px: int) -> Boxes:
    """Boxes with a margin on all sides; they may reach out of the scene."""
    return np.asarray(boxes + np.array([-by_px, by_px, -by_px, by_px], dtype=np.int64))


def areas(boxes: Boxes) -> Sums:
    """Pixels in each box."""
    return np.asarray((boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2]), dtype=float)


def common(boxes: Boxes, other: Boxes) -> Boxes:
    """The part each box shares with another; empty boxes where they share none."""
    low, high = np.maximum(boxes, other), np.minimum(boxes, other)
    cut = np.stack([low[:, 0], high[:, 1], low[:, 2], high[:, 3]], axis=1)
    cut[:, 1::2] = np.maximum(cut[:, 1::2], cut[:, 0::2])
    cut[areas(cut) == 0] = 0
    return np.asarray(cut)


def running_sums(marked: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Marked pixels above and left of each corner: integer (H + 1, W + 1) (Crow 1984, summed-area tables)."""
    dtype = np.int32 if marked.size < 2**31 else np.int64
    sums = np.zeros((marked.shape[0] + 1, marked.shape[1] + 1), dtype)
    np.cumsum(marked, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def held(sums: npt.NDArray[Any], boxes: Boxes) -> Sums:
    """Marked pixels in each box, all inside the scene."""
    r0, r1, c0, c1 = boxes.T
    return np.asarray(sums[r1, c1].astype(float) - sums[r0, c1] - sums[r1, c0] + sums[r0, c0])


@dataclass(frozen=True)
class Ground:
    """What any rectangle of a scene holds.

    Args:
        shape: (H, W) of the scene.
        mine: running sums of the known mine pixels.
        known: running sums of the known pixels.
        mines: bounding boxes of the largest labelled patches.
    """

    shape: tuple[int, int]
    mine: npt.NDArray[Any]
    known: npt.NDArray[Any]
    mines: Boxes

    @classmethod
    def of(cls, mask: Mask) -> Ground:
        """Sum up a mask: uint8 (H, W), 0, 1 or 255."""
        patches, count = scipy.ndimage.label(mask == MINE, np.ones((3, 3)))
        largest = np.argsort(np.bincount(patches.ravel(), minlength=count + 1)[1:], kind="stable")[::-1]
        found = scipy.ndimage.find_objects(patches)
        around = [(found[i][0].start, found[i][0].stop, found[i][1].start, found[i][1].stop) for i in largest]
        mines = np.array(around[:MOST_PATCHES], dtype=np.int64).reshape(-1, 4)
        height, width = mask.shape
        return cls((height, width), running_sums(mask == MINE), running_sums(mask != IGNORE), mines)

    @property
    def mine_px(self) -> int:
        return int(self.mine[-1, -1])

    @property
    def known_px(self) -> int:
        return int(self.known[-1, -1])


def candidates(ground: Ground, share: float, tile_px: int, through_mines: bool) -> Boxes:
    """Rectangles that may become the block of a share.

    Args:
        ground: the scene.
        share: of the mine area and of the scene that the block should hold.
        tile_px: side of a training tile; a block is at least half as long.
        through_mines: add edges that cut the mines in parts of equal area.
    """
    total = ground.mine_px * np.arange(1, MINE_EDGES) / MINE_EDGES
    spans = []
    for length, along in zip(ground.shape, (ground.mine[:, -1], ground.mine[-1]), strict=True):
        step = max(tile_px // 4, -(-length // MOST_EDGES))
        edges = np.append(np.arange(0, length, step), length)
        edges = np.unique(np.append(edges, np.searchsorted(along, total)) if through_mines else edges)
        low, high = np.meshgrid(edges, edges, indexing="ij")
        long_enough = high - low >= min(tile_px // 2, length)
        spans.append(np.stack([low[long_enough], high[long_enough]], axis=1))
    i, j = np.meshgrid(np.arange(len(spans[0])), np.arange(len(spans[1])), indexing="ij")
    boxes: Boxes = np.concatenate([spans[0][i.ravel()], spans[1][j.ravel()]], axis=1)
    size = areas(boxes) / (ground.shape[0] * ground.shape[1])
    smallest = tile_px**2 / (ground.shape[0] * ground.shape[1])  # a small share of a small scene still has a block
    return boxes[(size > 0.2 * share) & (size < min(0.6, max(3 * share, smallest)))]


def without_tiles(boxes: Boxes, shape: tuple[int, int], gap_px: int, tile_px: int) -> Boxes:
    """The rectangle around each block that no training tile reaches, were it the only block."""
    around = grown(boxes, gap_px)
    for axis, length in enumerate(shape):
        low, high = around[:, 2 * axis], around[:, 2 * axis + 1]
        around[:, 2 * axis] = np.where(low >= tile_px, low, 0)
        around[:, 2 * axis + 1] = np.where(length - high >= tile_px, high, length)
    return around


def free_of(shape: tuple[int, int], obstacles: Sequence[Boxes]) -> list[Boxes]:
    """Rectangles that cover all ground free of obstacles, the largest ones among them.

    Args:
        shape: (H, W) of the scene.
        obstacles: k arrays of N boxes; case i has the i-th box of each.

    Returns:
        4 ** k arrays of N boxes; those of no or negative size are none.
    """
    free = [np.broadcast_to(np.array([0, shape[0], 0, shape[1]], dtype=np.int64), (len(obstacles[0]), 4))]
    for obstacle in obstacles:
        b0, b1, b2, b3 = obstacle.T
        slabs = []
        for r0, r1, c0, c1 in (f.T for f in free):
            slabs += [
                np.stack([r0, np.minimum(r1, b0), c0, c1], axis=1),
                np.stack([np.maximum(r0, b1), r1, c0, c1], axis=1),
                np.stack([r0, r1, c0, np.minimum(c1, b2)], axis=1),
                np.stack([r0, r1, np.maximum(c0, b3), c1], axis=1),
            ]
        free = slabs
    return free


def reached(ground: Ground, obstacles: Sequence[Boxes], tile_px: int) -> tuple[Sums, Sums]:
    """Known mine pixels and known pixels that training tiles clear of all obstacles reach, float64 (N,) each.

    The edges of all obstacles cut the scene in few cells; a cell is reached when a free rectangle
    with room for a tile covers it.
    """
    height, width = ground.shape
    rows = np.sort(np.stack([e for o in obstacles for e in o.T[:2]]).clip(0, height).T, axis=1)
    cols = np.sort(np.stack([e for o in obstacles for e in o.T[2:]]).clip(0, width).T, axis=1)
    rows = np.pad(rows, ((0, 0), (1, 1)), constant_values=((0, 0), (0, height)))
    cols = np.pad(cols, ((0, 0), (1, 1)), constant_values=((0, 0), (0, width)))
    covered = np.zeros((len(rows), rows.shape[1] - 1, cols.shape[1] - 1), dtype=bool)
    for r0, r1, c0, c1 in (f.T[:, :, None] for f in free_of(ground.shape, obstacles)):
        down = (rows[:, :-1] >= r0) & (rows[:, 1:] <= r1) & (r1 - r0 >= tile_px)
        across = (cols[:, :-1] >= c0) & (cols[:, 1:] <= c1) & (c1 - c0 >= tile_px)
        covered |= down[:, :, None] & across[:, None, :]
    corners = rows[:, :, None], cols[:, None, :]
    mine, known = (
        (np.diff(np.diff(sums[corners].astype(float), axis=1), axis=2) * covered).sum(axis=(1, 2))
        for sums in (ground.mine, ground.known)
    )
    return mine, known
