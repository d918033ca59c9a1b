"""How far each hectare figure moves when threshold, border or matching are a little otherwise: ranges, no intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from scipy import ndimage

from minedetect.change import DOUBTFUL, NO_CHANGE, SIEVED, Change, Ledger, difference, kinds_of, ledger
from minedetect.grid import row_bands
from minedetect.raster import IGNORE, MINE, Mask, Raster, read
from minedetect.sieve import classified, sieved

LEAST_THRESHOLD, MOST_THRESHOLD = 0.01, 0.99
OTHER = 0

Kinds = Callable[[Change, Mask], Mask]
"""Kind of each changed pixel, uint8 (H, W), from the change map and the classes of the first date."""


@dataclass(frozen=True)
class Compared:
    """Two dates as they were compared.

    Args:
        classes: uint8 (H, W) of each date: 0, 1 or IGNORE; sieved.
        grid: where they lie.
        kinds: how change is told apart.
        found: the ledger of these classes.
    """

    classes: tuple[Mask, Mask]
    grid: GeoBox
    kinds: Kinds
    found: Ledger

    def with_classes(self, before: Mask, after: Mask) -> Ledger:
        """The ledger of other classes of the same ground."""
        change = difference(before, after)
        return ledger(before, change, self.kinds(change, before), self.grid)


def kinds_near(change: Change, kind: Mask, ring_px: int) -> Kinds:
    """How maps near a published one are told apart: its doubts hold wherever a pixel changes as it did there.

    Args:
        change: int8 (H, W), as published.
        kind: uint8 (H, W), likewise.
        ring_px: from `ring_width_px`.
    """
    doubts = np.where((kind == SIEVED) | (kind == DOUBTFUL), kind, np.uint8(NO_CHANGE))

    def kinds(moved: Change, before: Mask) -> Mask:
        return kinds_of(moved, before, ring_px, np.where(moved == change, doubts, np.uint8(NO_CHANGE)))

    return kinds


@dataclass(frozen=True)
class Cut:
    """How probabilities became classes.

    Args:
        threshold: from which a calibrated probability is mine.
        step: how far it is moved down and up.
        min_patch_ha: smallest patch kept.
    """

    threshold: float
    step: float
    min_patch_ha: float

    @property
    def moved(self) -> tuple[float, float]:
        """The lower and the higher threshold, kept within 0.01 to 0.99 unless the threshold itself lies outside."""
        low, high = max(self.threshold - self.step, LEAST_THRESHOLD), min(self.threshold + self.step, MOST_THRESHOLD)
        return min(low, self.threshold), max(high, self.threshold)


def by_threshold(compared: Compared, probabilities: tuple[Raster, Raster], cut: Cut) -> list[Ledger]:
    """The ledgers with the threshold moved down and up, alike on both dates: a model has one.

    Args:
        compared: the dates.
        probabilities: calibrated, as stored, NaN where unobserved; on the same grid.
        cut: how they became classes.
    """
    (low_0, high_0), (low_1, high_1) = (_recut(raster, compared.grid, cut) for raster in probabilities)
    return [compared.with_classes(low_0, low_1), compared.with_classes(high_0, high_1)]


def _recut(probability: Raster, grid: GeoBox, cut: Cut) -> tuple[Mask, Mask]:
    """The classes of one date at the lower and at the higher threshold."""
    low, high = (np.full(probability.shape, IGNORE, np.uint8) for _ in cut.moved)
    for band in row_bands(probability.shape):
        values = read(probability, band)[0]
        for classes, threshold in zip((low, high), cut.moved, strict=True):
            classes[band.slices] = classified(values, threshold)
    return sieved(low, grid, cut.min_patch_ha), sieved(high, grid, cut.min_patch_ha)


def by_border(compared: Compared) -> list[Ledger]:
    """The ledgers with every mine wider or narrower by one pixel, on one date and then on the other.

    One border drawn otherwise is change that is not there. Both drawn otherwise in the same way change less: what
    is new then lies within what is new with the second date wider, or the first narrower, alone, and so on. Both in
    opposition would lay the borders two pixels apart, and are left out.
    """
    before, after = compared.classes
    pairs = [pair for moved in (wider, narrower) for pair in ((moved(before), after), (before, moved(after)))]
    return [compared.with_classes(*pair) for pair in pairs]


def wider(classes: Mask) -> Mask:
    """Mines grown by one pixel in all eight directions; unobserved pixels stay so."""
    return _spread(classes, MINE, OTHER)


def narrower(classes: Mask) -> Mask:
    """Mines shrunk by one pixel from observed ground that is none; what lies under clouds is no border."""
    return _spread(classes, OTHER, MINE)


def _spread(classes: Mask, which: int, into: int) -> Mask:
    near = ndimage.maximum_filter(classes == which, size=3, mode="constant")
    return np.where(near & (classes == into), np.uint8(which), classes)


def by_matching(compared: Compared, unmatched: Mask) -> list[Ledger]:
    """The ledger with the second date as predicted without radiometric matching, uint8 (H, W)."""
    return [compared.with_classes(compared.classes[0], unmatched)]


def ranges(years: tuple[str, str], found: Ledger, parts: Mapping[str, Sequence[Ledger]]) -> dict[str, Any]:
    """What `sensitivity` in `summary.json` holds: the range of every hectare figure, and what each part gives.

    Each part spans the figure itself and what it becomes under that part. The whole range is the envelope
    of the parts: they are choices, not independent errors, so nothing is added up and no probability is claimed.

    Args:
        years: labels of the dates.
        found: the ledger that is published.
        parts: the ledgers under each kind of choice.
    """

    def of(figure: Callable[[Ledger], float]) -> dict[str, Any]:
        spans = {part: _span([figure(one) for one in (found, *moved)]) for part, moved in parts.items()}
        low, high = _span([end for span in spans.values() for end in span])
        return {"low": low, "high": high, "parts": spans}

    first, second = years
    return {
        "hectares": {first: of(lambda one: one.before_ha), second: of(lambda one: one.after_ha)},
        "new_ha": of(lambda one: one.new["firm"]),
        "gone_ha": of(lambda one: one.gone["firm"]),
        "net_ha": of(lambda one: one.net_ha),
    }


def _span(values: Sequence[float]) -> list[float]:
    return [round(min(values), 2), round(max(values), 2)]
