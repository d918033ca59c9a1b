"""Two class rasters on one grid: what is new, what is gone, and a ledger that adds up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox
from scipy import ndimage

from minedetect.errors import GridMismatch
from minedetect.labels import Outline
from minedetect.measure import zone_hectares
from minedetect.raster import CHANGE_NODATA, IGNORE, MINE, Mask

GONE, UNCHANGED, NEW = -1, 0, 1
KINDS = ("firm", "doubtful", "ring", "sieved")
NO_CHANGE, FIRM, DOUBTFUL, RING, SIEVED = range(5)

Change = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Ledger:
    """Hectares of change on the ground both dates show.

    Args:
        before_ha: mine on the first date.
        after_ha: mine on the second date.
        unchanged_ha: mine on both.
        new: hectares by kind, of ground that became mine.
        gone: hectares by kind, of ground that is no longer mine.
    """

    before_ha: float
    after_ha: float
    unchanged_ha: float
    new: dict[str, float]
    gone: dict[str, float]

    @property
    def net_ha(self) -> float:
        """All new minus all gone; equals after minus before."""
        return sum(self.new.values()) - sum(self.gone.values())


def difference(before: Mask, after: Mask) -> Change:
    """Change map of two class rasters.

    Args:
        before: uint8 (H, W), 0, 1 or IGNORE.
        after: the same on the same grid.

    Returns:
        int8 (H, W): -1 gone, 0 unchanged, 1 new, -128 where either date has no data.

    Raises:
        GridMismatch: the shapes differ.
    """
    if before.shape != after.shape:
        raise GridMismatch(f"Class rasters of {before.shape} and {after.shape} px cannot be compared.")
    both = (before != IGNORE) & (after != IGNORE)
    change = np.full(before.shape, CHANGE_NODATA, np.int8)
    change[both] = after[both].astype(np.int8) - before[both].astype(np.int8)
    return change


def ring_width_px(shift_px: float | None) -> int:
    """Thickness up to which change at the rim of a standing mine says nothing: the shift and a pixel, rounded up.

    Args:
        shift_px: measured shift between the dates; None, where it is not known, counts as 0.
    """
    return math.ceil((shift_px or 0.0) + 1)


def kinds_of(change: Change, before: Mask, ring_px: int, doubts: Mask | None = None) -> Mask:
    """The kind of each changed pixel, the first of these that holds.

    1. sieved: the unsieved classes agree, or change the other way, so the change comes from the sieve alone;
    2. ring: within `ring_px` of ground that is mine on both dates, in a patch of new or gone ground that is
       nowhere thicker, so that growth beyond the shift stays firm altogether;
    3. doubtful: the two calibrated probabilities do not differ enough;
    4. firm: the rest.

    Args:
        change: int8 (H, W), from `difference`.
        before: uint8 (H, W), classes of the first date.
        ring_px: from `ring_width_px`.
        doubts: uint8 (H, W), SIEVED or DOUBTFUL where probabilities say so, else NO_CHANGE; None: there are none.

    Returns:
        uint8 (H, W): NO_CHANGE, FIRM, DOUBTFUL, RING or SIEVED; IGNORE without data.
    """
    kind = np.full(change.shape, FIRM, np.uint8)
    kind[change == UNCHANGED] = NO_CHANGE
    kind[change == CHANGE_NODATA] = IGNORE
    if doubts is not None:
        doubted = (kind == FIRM) & (doubts != NO_CHANGE)
        kind[doubted] = doubts[doubted]
    standing = ((change == UNCHANGED) & (before == MINE)).view(np.uint8)
    rim = ndimage.maximum_filter(standing, 2 * ring_px + 1, mode="constant").view(np.bool_)
    for side in (NEW, GONE):
        chosen = (change == side) & (kind != SIEVED)
        kind[rim & _nowhere_thicker(chosen, ring_px)] = RING
    return kind


def _nowhere_thicker(chosen: npt.NDArray[np.bool_], most_px: int) -> npt.NDArray[np.bool_]:
    """Pixels of the 8-connected patches that hold no square of `most_px` + 1 pixels: bool (H, W).

    Opening by that square leaves nothing of them (Serra 1982). What a shift of up to `most_px` in rows and
    columns adds to a mine of any shape holds no such square: the square and itself shifted share a pixel, which
    would be mine and not mine.
    """
    patches = np.empty(chosen.shape, np.int32)
    count = ndimage.label(chosen, structure=np.ones((3, 3)), output=patches)
    squares = ndimage.minimum_filter(chosen.view(np.uint8), most_px + 1, mode="constant").view(np.bool_)
    thin = np.ones(count + 1, np.bool_)
    thin[patches[squares]] = False
    thin[0] = False
    return thin[patches]


def ledger(before: Mask, change: Change, kind: Mask, grid: GeoBox) -> Ledger:
    """Add up the change in hectares, each pixel once.

    Args:
        before: uint8 (H, W), classes of the first date.
        change: int8 (H, W), from `difference`.
        kind: uint8 (H, W), from `kinds_of`.
        grid: where they lie.

    Raises:
        GridMismatch: an array is not of the grid's shape.
    """
    width = len(KINDS) + 1
    zones = np.full(change.shape, -1, np.int16)
    new, gone = change == NEW, change == GONE
    zones[new] = kind[new]
    zones[gone] = width + kind[gone]
    stable = (change == UNCHANGED) & (before == MINE)
    zones[stable] = 2 * width
    area = zone_hectares(zones, grid, 2 * width + 1)
    new_ha = {k: float(area[i]) for i, k in enumerate(KINDS, start=1)}
    gone_ha = {k: float(area[width + i]) for i, k in enumerate(KINDS, start=1)}
    unchanged = float(area[2 * width])
    return Ledger(unchanged + sum(gone_ha.values()), unchanged + sum(new_ha.values()), unchanged, new_ha, gone_ha)


def per_mine(
    mines: Sequence[tuple[str, str]], zones: npt.NDArray[np.int32], before: Mask, after: Mask, grid: GeoBox
) -> list[dict[str, Any]]:
    """A row for each labelled mine and one for everything outside the labels.

    Each pixel counts in one row, so the rows add up to the scene; what lies outside it counts in none.

    Args:
        mines: name and status of the labelled mines.
        zones: int32 (H, W), number from 1 of the mine over each pixel, 0 outside all.
        before: uint8 (H, W), classes of the first date.
        after: classes of the second.
        grid: where they lie.

    Returns:
        Rows with name, status and hectares: labelled, then, now, gained, lost, unobserved.
    """
    count = len(mines) + 1
    both = (before != IGNORE) & (after != IGNORE)

    def hectares_where(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        return zone_hectares(np.where(chosen, zones, np.int32(-1)), grid, count)

    was, now = both & (before == MINE), both & (after == MINE)
    columns = {
        "labelled_ha": zone_hectares(zones, grid, count),
        "before_ha": hectares_where(was),
        "after_ha": hectares_where(now),
        "gained_ha": hectares_where(now & ~was),
        "lost_ha": hectares_where(was & ~now),
        "unobserved_ha": hectares_where(~both),
    }
    names = [("outside the labels", ""), *mines]
    rows = [
        {"mine": name, "status": status, **{k: float(v[zone]) for k, v in columns.items()}}
        for zone, (name, status) in enumerate(names)
    ]
    rows[0]["labelled_ha"] = 0.0
    return [*rows[1:], rows[0]]


def told_apart(outlines: Sequence[Outline]) -> list[tuple[str, str]]:
    """Name and status of each outline; where a name is used twice, with the outline's number in the file."""
    titles = Counter(o.title for o in outlines)
    return [(o.title if titles[o.title] == 1 else f"{o.title} (outline {o.index})", o.status) for o in outlines]
