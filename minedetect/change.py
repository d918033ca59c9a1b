"""Two class rasters on one grid: what is new, what is gone, and a ledger that adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

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


def kinds_of(change: Change) -> Mask:
    """The kind of each changed pixel: uint8 (H, W), 0 none, 1 firm, IGNORE without data.

    Every changed pixel counts as firm as long as no sieve, shift or probability speaks against it.
    """
    kind = np.where(change == UNCHANGED, NO_CHANGE, FIRM).astype(np.uint8)
    kind[change == CHANGE_NODATA] = IGNORE
    return kind


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
    outlines: Sequence[Outline], zones: npt.NDArray[np.int32], before: Mask, after: Mask, grid: GeoBox
) -> list[dict[str, Any]]:
    """A row for each labelled mine and one for everything outside the labels.

    Args:
        outlines: the labelled mines.
        zones: int32 (H, W), number of the outline over each pixel, 0 outside all.
        before: uint8 (H, W), classes of the first date.
        after: classes of the second.
        grid: where they lie.

    Returns:
        Rows with name, status and hectares: labelled, then, now, gained, lost, unobserved.
    """
    count = len(outlines) + 1
    both = (before != IGNORE) & (after != IGNORE)

    def hectares_where(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        return zone_hectares(np.where(chosen, zones, -1), grid, count)

    was, now = both & (before == MINE), both & (after == MINE)
    columns = {
        "labelled_ha": hectares_where(np.ones_like(both)),
        "before_ha": hectares_where(was),
        "after_ha": hectares_where(now),
        "gained_ha": hectares_where(now & ~was),
        "lost_ha": hectares_where(was & ~now),
        "unobserved_ha": hectares_where(~both),
    }
    names = [("outside the labels", "")] + [(o.title, o.status) for o in outlines]
    rows = [
        {"mine": name, "status": status, **{k: float(v[zone]) for k, v in columns.items()}}
        for zone, (name, status) in enumerate(names)
    ]
    rows[0]["labelled_ha"] = 0.0
    return [*rows[1:], rows[0]]
