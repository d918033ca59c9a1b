"""Checks on an image's values, tallied in one pass over row bands: fill, saturation, clouds, odd values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minedetect.findings import Check, listed
from minedetect.raster import Float

ZERO_SHARE = {"reflectance": 1e-4, "uint8": 1e-3}
"""No ground reflects exactly nothing in every band; an 8-bit picture may round deep shadow to it."""
PARTLY_SHARE = 0.001
TOP_VALUES = 64
SATURATED_SHARE = 1e-4
PILE_FACTOR = 30
"""Real tails thin out towards the maximum; only a limit piles many times its neighbours on one value."""
PILE_FACTOR_AT_FULL = 5
"""At the largest storable value less is proof enough: nothing can lie above it."""
CLOUD_REFLECTANCE = 0.3
CLOUD_FLATNESS = 1.25
"""Clouds are white. Bright tailings and bare soil redden: their red band is mostly over 1.25 times their blue."""
CLOUD_SHARE = 0.005
NEGATIVE_SHARE = 0.001
MOST_REFLECTANCE = 1.6
"""Sunlit cloud and snow reach 1.2 or so, tilted slopes somewhat more; ground does not go beyond."""
HIGH_SHARE = 0.001
VISIBLE = ("B2", "B3", "B4")


@dataclass
class _Band:
    """Counts of one band so far.

    Args:
        observed: finite values.
        low: the smallest.
        top: the largest `TOP_VALUES` distinct values, ascending.
        counts: how often each of them occurs.
        negative: values below zero that are no fill.
        high: values above `MOST_REFLECTANCE`.
    """

    observed: int = 0
    low: float = np.inf
    top: Float = field(default_factory=lambda: np.zeros(0, np.float32))
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    negative: int = 0
    high: int = 0

    def add(self, values: Float, fill: npt.NDArray[np.bool_]) -> None:
        """Count float32 (N,), all finite, with bool (N,) where every band holds a stored zero."""
        if not values.size:
            return
        self.observed += values.size
        self.low = min(self.low, float(values.min()))
        self.negative += int(np.count_nonzero((values < 0) & ~fill))
        self.high += int(np.count_nonzero(values > MOST_REFLECTANCE))
        top, counts = _largest(values, self.top)
        # A value among the largest of all is among the largest of every part, so no count is ever lost.
        merged, where = np.unique(np.concatenate([self.top, top]), return_inverse=True)
        total = np.bincount(where, np.concatenate([self.counts, counts]), len(merged)).astype(np.int64)
        self.top, self.counts = merged[-TOP_VALUES:], total[-TOP_VALUES:]

    @property
    def high_end(self) -> float:
        return float(self.top[-1]) if len(self.top) else -np.inf

    @property
    def at_most(self) -> int:
        """Values that are exactly the maximum."""
        return int(self.counts[-1]) if len(self.counts) else 0

    def saturated(self, full: float | None) -> bool:
        """Whether values pile up at the maximum as only a limit makes them."""
        if len(self.counts) < 2 or self.at_most <= SATURATED_SHARE * self.observed:
            return False
        at_full = full is not None and self.high_end >= np.float32(full)
        beside = float(np.median(self.counts[:-1]))
        return self.at_most > (PILE_FACTOR_AT_FULL if at_full else PILE_FACTOR) * beside


def _largest(values: Float, known: Float) -> tuple[Float, npt.NDArray[np.int64]]:
    """The largest distinct values and their counts, those that cannot matter beside `known` left out."""
    if len(known) == TOP_VALUES:
        values = values[values >= known[0]]
    elif values.size > 100 * TOP_VALUES:  # sorting all is slow: try the upper hundredth first
        upper = values[values >= np.partition(values, -values.size // 100)[-values.size // 100]]
        found: tuple[Float, npt.NDArray[np.int64]] = np.unique(upper, return_counts=True)
        if len(found[0]) >= TOP_VALUES:
            return found[0][-TOP_VALUES:], found[1][-TOP_VALUES:]
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[-TOP_VALUES:], counts[-TOP_VALUES:]


class ValueTally:
    """What an image's values look like, from one pass in row bands of any height.

    Args:
        names: C band names.
        unit: reflectance, or uint8 (8-bit values divided by 255, whose meaning nobody knows).
        zero: what a stored zero becomes in the unit, for all bands or for each.
        full: the largest storable value in the unit, or None where the type has no such limit.
    """

    def __init__(
        self,
        names: Sequence[str],
        unit: Literal["reflectance", "uint8"],
        zero: float | Sequence[float] = 0.0,
        full: float | None = None,
    ) -> None:
        self.names = tuple(names)
        self.unit = unit
        self._zero = np.broadcast_to(np.asarray(zero, np.float32), len(names))
        self._full = full
        self._visible = _visible(self.names) if unit == "reflectance" else ()
        self._bands = [_Band() for _ in names]
        self._pixels = self._unobserved = self._partly = self._fill = self._white = 0

    def add(self, pixels: Float) -> None:
        """Count some rows.

        Args:
            pixels: float32 (C, h, w) in the unit, NaN where unobserved.

        Raises:
            ValueError: another number of bands.
        """
        if len(pixels) != len(self.names):
            raise ValueError(f"{len(pixels)} bands for {len(self.names)} names")
        finite = np.isfinite(pixels)
        whole, seen = finite.all(axis=0), finite.any(axis=0)
        fill = (pixels == self._zero[:, None, None]).all(axis=0)
        self._pixels += whole.size
        self._unobserved += int(np.count_nonzero(~whole))
        self._partly += int(np.count_nonzero(seen & ~whole))
        self._fill += int(np.count_nonzero(fill))
        for band, plane, known in zip(self._bands, pixels, finite, strict=True):
            band.add(plane[known], fill[known])
        if self._visible:
            self._white += _white(pixels[list(self._visible)])

    def checks(self) -> list[Check]:
        """Every check that applies."""
        found = [self._check_fill(), self._check_partly(), self._check_constant(), self._check_saturation()]
        if self.unit == "reflectance":
            found += [self._check_negative(), self._check_high()]
        if self._visible:
            found.append(self._check_clouds())
        return found

    def figures(self) -> dict[str, Any]:
        """What was counted, fit for JSON; shares from 0 to 1, of all pixels or of a band's observed ones."""
        return {
            "unit": self.unit,
            "pixels": self._pixels,
            "unobserved_share": _share(self._unobserved, self._pixels),
            "partly_observed_share": _share(self._partly, self._pixels),
            "zero_fill_share": _share(self._fill, self._pixels),
            "white_share": _share(self._white, self._pixels - self._unobserved) if self._visible else None,
            "bands": {name: _band_json(band) for name, band in zip(self.names, self._bands, strict=True)},
        }

    def _check_fill(self) -> Check:
        share = _share(self._fill, self._pixels)
        if share <= ZERO_SHARE[self.unit]:
            return Check("zero_fill", "ok", f"{share:.3%} of the pixels are zero in every band.")
        return Check(
            "zero_fill",
            "warning",
            f"{share:.2%} of the pixels are exactly zero in every band and not marked as missing, so they count as "
            "dark ground. If they are fill, tag them: gdal_edit.py -a_nodata 0 IMAGE.",
        )

    def _check_partly(self) -> Check:
        share = _share(self._partly, self._pixels)
        if share <= PARTLY_SHARE:
            return Check("partly_observed", "ok", f"{share:.3%} of the pixels lack some of their bands.")
        most = max(self._bands, key=lambda b: b.observed).observed
        short = [name for name, band in zip(self.names, self._bands, strict=True) if band.observed < most]
        return Check(
            "partly_observed",
            "warning",
            f"{share:.2%} of the pixels lack some of their bands and count as unobserved: {listed(short)} "
            "show less ground than the others. Export all bands to one footprint.",
        )

    def _check_constant(self) -> Check:
        same = [n for n, b in zip(self.names, self._bands, strict=True) if b.observed > 1 and b.low == b.high_end]
        if not same:
            return Check("constant", "ok", "Every band varies.")
        return Check(
            "constant",
            "warning",
            f"One value throughout: {listed(same)}. Nothing can be learned from that; export the band again, "
            "or the image without it; where the file names its bands, --bands may leave it out.",
        )

    def _check_saturation(self) -> Check:
        clipped = [
            f"{name} at {band.high_end:.4g} ({_share(band.at_most, band.observed):.2%})"
            for name, band in zip(self.names, self._bands, strict=True)
            if band.saturated(self._full)
        ]
        if not clipped:
            return Check("saturation", "ok", "No band piles up at its largest value.")
        return Check(
            "saturation",
            "warning",
            f"Values are cut off at the top: {listed(clipped)}. There, bright ground, clouds and tailings look alike; "
            "use an image of another day or without a stretch if that lies on mines.",
        )

    def _check_negative(self) -> Check:
        below = [
            f"{name} ({_share(band.negative, band.observed):.2%}, down to {band.low:.3f})"
            for name, band in zip(self.names, self._bands, strict=True)
            if band.negative > NEGATIVE_SHARE * band.observed
        ]
        if not below:
            return Check("negative", "ok", "Next to no reflectance is below zero.")
        return Check(
            "negative",
            "warning",
            f"Reflectance below zero: {listed(below)}. A few come with atmospheric correction over water and shadow; "
            "many mean a wrong --reflectance-offset, or a nodata value that is not tagged.",
        )

    def _check_high(self) -> Check:
        above = [
            f"{name} ({_share(band.high, band.observed):.2%}, up to {band.high_end:.4g})"
            for name, band in zip(self.names, self._bands, strict=True)
            if band.high > HIGH_SHARE * band.observed
        ]
        if not above:
            return Check("high", "ok", f"Next to no reflectance is above {MOST_REFLECTANCE}.")
        return Check(
            "high",
            "warning",
            f"Reflectance above {MOST_REFLECTANCE}, which no ground has: {listed(above)}. They are no "
            "reflectance (temperature, radiance, another scale), or missing pixels are not tagged; check the export.",
        )

    def _check_clouds(self) -> Check:
        share = _share(self._white, self._pixels - self._unobserved)
        if share <= CLOUD_SHARE:
            return Check("clouds", "ok", f"{share:.2%} of the image is as bright and white as cloud.")
        return Check(
            "clouds",
            "warning",
            f"{share:.2%} of the image is as bright and white as cloud. Look whether these are clouds; if so, mark "
            "them as missing or take another day: a cloud over a mine would count as a mine that is gone.",
        )


def _visible(names: Sequence[str]) -> tuple[int, ...]:
    """Positions of blue, green and red: by name, or the first three where no band has a Sentinel-2 name."""
    if set(VISIBLE) <= set(names):
        return tuple(names.index(n) for n in VISIBLE)
    if len(names) < 3 or any(re.fullmatch(r"B\d+A?", n) for n in names):
        return ()
    return 0, 1, 2


def _white(visible: Float) -> int:
    """Pixels of float32 (3, h, w) that are bright and of one brightness in all three; NaN is neither."""
    darkest = visible.min(axis=0)
    return int(np.count_nonzero((darkest > CLOUD_REFLECTANCE) & (visible.max(axis=0) < CLOUD_FLATNESS * darkest)))


def _share(part: int, of: int) -> float:
    return part / of if of else 0.0


def _band_json(band: _Band) -> dict[str, Any]:
    return {
        "observed": band.observed,
        "min": band.low if band.observed else None,
        "max": band.high_end if band.observed else None,
        "at_max_share": _share(band.at_most, band.observed),
        "negative_share": _share(band.negative, band.observed),
        "high_share": _share(band.high, band.observed),
    }
