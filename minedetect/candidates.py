"""Which of many rectangles makes the best block: near its share, whole mines, little training ground lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from minedetect.grid import Window
from minedetect.rectangles import (
    Boxes,
    Ground,
    Sums,
    areas,
    boxes_of,
    common,
    grown,
    held,
    reached,
    window_of,
    without_tiles,
)

LOST_MINE_LIMIT, LOST_AREA_LIMIT = 0.05, 0.05
"""A gap is as wide as it can be without costing, for each block, more than these shares of the scene."""
CUT_COST, LONELY_COST = 0.15, 0.3
"""What a cut mine, and a block of a single mine where there are enough, weigh against an unmet share."""
ENOUGH_MINES = 4
MOST_JUDGED = 1024
"""Rectangles whose tiles are counted exactly beside a block that is already chosen, the most hopeful first."""
PLACES_A_SIDE = 3
"""Test blocks are tried in each cell of a lattice so fine, so that one of them leaves room for validation."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of one block.

    Args:
        share: of the mine area and of the known ground that it should hold.
        gap_px: kept from other blocks and from training tiles.
        tile_px: side of a training tile.
        taken: the blocks already chosen.
    """

    share: float
    gap_px: int
    tile_px: int
    taken: tuple[Window, ...] = ()


@dataclass(frozen=True)
class Found:
    """A rectangle chosen, what it costs, and whether its gap costs little."""

    window: Window
    cost: float
    cheap: bool


def _mines_in(boxes: Boxes, mines: Boxes) -> tuple[Sums, Sums]:
    """How many mines each box cuts, and of how many it holds more than half of the height and width.

    Judged by bounding boxes. Boxes share few spans of rows and of columns, so mines are counted for each
    pair of spans, by a product of matrices.
    """
    touched: list[npt.NDArray[np.float32]] = []
    whole: list[npt.NDArray[np.float32]] = []
    half: list[npt.NDArray[np.float32]] = []
    places = []
    for low, high in ((0, 1), (2, 3)):
        spans, place = np.unique(boxes[:, low] << 32 | boxes[:, high], return_inverse=True)
        inside = np.minimum(spans[:, None] & 0xFFFFFFFF, mines[:, high]) - np.maximum(
            spans[:, None] >> 32, mines[:, low]
        )
        length = mines[:, high] - mines[:, low]
        places.append(place)
        for counted, chosen in ((touched, inside > 0), (whole, inside == length), (half, 2 * inside > length)):
            counted.append(chosen.astype(np.float32))
    touches, holds, mostly = ((rows @ cols.T)[places[0], places[1]] for rows, cols in (touched, whole, half))
    return np.asarray(touches - holds, dtype=float), np.asarray(mostly, dtype=float)


@dataclass(frozen=True)
class Pool:
    """Candidate rectangles of one part, with what does not depend on gap and other blocks.

    Args:
        ground: the scene.
        boxes: int64 (N, 4).
        mine: float64 (N,), known mine pixels of each.
        known: float64 (N,), known pixels of each.
        shape_cost: float64 (N,), for cut and for single mines.
    """

    ground: Ground
    boxes: Boxes
    mine: Sums
    known: Sums
    shape_cost: Sums

    @classmethod
    def of(cls, ground: Ground, boxes: Boxes) -> Pool:
        """Sum up what the boxes hold."""
        cut, whole = _mines_in(boxes, ground.mines)
        lonely = (whole < 2) & (len(ground.mines) >= ENOUGH_MINES)
        shape_cost = CUT_COST * cut + LONELY_COST * lonely
        return cls(ground, boxes, held(ground.mine, boxes), held(ground.known, boxes), shape_cost)

    def __getitem__(self, chosen: npt.NDArray[np.integer]) -> Pool:
        arrays = (self.boxes, self.mine, self.known, self.shape_cost)
        return Pool(self.ground, *(a[chosen] for a in arrays))

    def judge(self, wanted: Wanted) -> tuple[Sums, npt.NDArray[np.bool_]]:
        """Cost of each box, infinite where it cannot be, and whether the gap costs little."""
        if not wanted.taken:
            unused = without_tiles(self.boxes, self.ground.shape, wanted.gap_px, wanted.tile_px)
            mine = self.ground.mine_px - held(self.ground.mine, unused)
            return self._costs(wanted, mine, self.ground.known_px - held(self.ground.known, unused))
        fixed = [np.broadcast_to(boxes_of([w]), self.boxes.shape) for w in wanted.taken]
        obstacles = [grown(b, wanted.gap_px) for b in (*fixed, self.boxes)]
        return self._costs(wanted, *reached(self.ground, obstacles, wanted.tile_px))

    def clear_of_taken(self, wanted: Wanted, alone: Sums) -> Pool:
        """The boxes clear of the taken blocks that would be best if those cost training no ground.

        Args:
            wanted: with the blocks already taken.
            alone: float64 (N,), cost of each box beside no other.
        """
        hopeful = np.isfinite(alone)
        for window in wanted.taken:
            hopeful &= areas(common(self.boxes, grown(boxes_of([window]), wanted.gap_px))) == 0
        left = np.flatnonzero(hopeful)
        return self[left[np.argsort(alone[left], kind="stable")[:MOST_JUDGED]]]

    def _costs(self, wanted: Wanted, mine: Sums, known: Sums) -> tuple[Sums, npt.NDArray[np.bool_]]:
        """From the known mine pixels and known pixels that training still reaches."""
        total_mine, total_known = max(self.ground.mine_px, 1), max(self.ground.known_px, 1)
        taken = boxes_of(wanted.taken)
        judged_mine = self.mine + held(self.ground.mine, taken).sum()
        judged_known = self.known + held(self.ground.known, taken).sum()
        lost_mine, lost_area = 1 - (judged_mine + mine) / total_mine, 1 - (judged_known + known) / total_known
        cost = (
            np.abs(self.mine / total_mine - wanted.share) / wanted.share
            + 0.5 * np.abs(self.known / total_known - wanted.share) / wanted.share
            + 3 * lost_mine
            + lost_area
            + self.shape_cost
        )
        possible = (self.mine > 0) & (self.known > self.mine) & (mine > 0) & (known > mine)
        blocks = 1 + len(taken)
        cheap = (lost_mine <= blocks * LOST_MINE_LIMIT) & (lost_area <= blocks * LOST_AREA_LIMIT)
        return np.where(possible, cost, np.inf), possible & cheap

    def best(self, wanted: Wanted) -> Found | None:
        """The box of least cost; None when none is possible."""
        if not wanted.taken:
            return self._least(wanted)
        return self.best_beside([wanted])[0]

    def best_beside(self, each: Sequence[Wanted]) -> list[Found | None]:
        """The box of least cost beside each of several choices of taken blocks, all of one gap and share."""
        if not each:
            return []
        alone, _ = self.judge(replace(each[0], taken=()))
        return [self.clear_of_taken(wanted, alone)._least(wanted) for wanted in each]

    def _least(self, wanted: Wanted) -> Found | None:
        if not len(self.boxes):
            return None
        cost, cheap = self.judge(wanted)
        best = int(np.argmin(cost))
        return Found(window_of(self.boxes[best]), float(cost[best]), bool(cheap[best])) if cost[best] < np.inf else None

    def here_and_there(self, wanted: Wanted) -> list[Found]:
        """The best box of each part of the scene, the best of all first."""
        cost, cheap = self.judge(wanted)
        rows, cols = (
            (self.boxes[:, 2 * a] + self.boxes[:, 2 * a + 1]) * PLACES_A_SIDE // (2 * n + 1)
            for a, n in enumerate(self.ground.shape)
        )
        cells = rows * PLACES_A_SIDE + cols
        found = []
        for cell in np.unique(cells):
            inside = np.flatnonzero(cells == cell)
            best = inside[np.argmin(cost[inside])]
            if cost[best] < np.inf:
                found.append(Found(window_of(self.boxes[best]), float(cost[best]), bool(cheap[best])))
        return sorted(found, key=lambda one: (one.cost, one.window))
