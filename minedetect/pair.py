"""What is measured on the two dates of a pair before they are compared: ground, shift, drift, season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minedetect.alignment import Shift, clearest_shift, shift_of, shift_windows
from minedetect.bands import PIXEL_SIZE_TOLERANCE, REFLECTANCE_SCALE, Reading
from minedetect.config import GateSettings
from minedetect.errors import BandMismatch
from minedetect.findings import Check
from minedetect.grid import Window, pixel_size_m, require_same_grid, row_bands
from minedetect.measure import zone_hectares
from minedetect.radiometry import Drift, Radiometry, clipped, compare_radiometry
from minedetect.raster import MINE, Float, Mask, Raster, require_shape, valid
from minedetect.season import Acquired, Season, season_of

SAME_IMAGE = "same_image"
SHARP_BANDS = ("B4", "B3", "B2", "B8")
SAMPLE_PX = 250_000
SAMPLE_ROWS_PX = 256
SHIFT_WARNING_PX = 0.3
LEAST_HIDDEN_HA = 0.05
LONE_SHARE = 0.05
SAME_SIZE = 0.01
FIRST, SECOND, LABELLED = 1, 2, 4


@dataclass(frozen=True)
class Source:
    """One date's image and how it is read."""

    raster: Raster
    reading: Reading

    def read(self, window: Window, positions: Sequence[int] | None = None) -> Float:
        """Pixels of one window: float32 (C, H, W); `positions` picks among the bands that are read."""
        if positions is None:
            return self.reading.read(self.raster, window)
        return self.reading.only(positions).read(self.raster, window)


@dataclass(frozen=True)
class PairSubject:
    """Two dates that are to be compared.

    Args:
        first: whose grid both are read on.
        second: read on the first one's grid.
        names: of the bands that are read, in order.
        mask: uint8 (H, W), the first date's labels on the grid, or None.
        days: when each image was taken, or None where that is not known.
        second_pixel_m: pixel size of the second image as stored in metres, where it is warped; else None.
    """

    first: Source
    second: Source
    names: tuple[str, ...]
    mask: Mask | None = None
    days: tuple[Acquired | None, Acquired | None] = (None, None)
    second_pixel_m: float | None = None


@dataclass(frozen=True)
class PairQuality:
    """What was found, in words and figures.

    Args:
        checks: the findings.
        figures: the same for JSON.
        shift: of the second date against the first.
        radiometry: drift and matching, or why there is none.
    """

    checks: tuple[Check, ...]
    figures: dict[str, Any]
    shift: Shift
    radiometry: Radiometry

    @property
    def shift_px(self) -> float | None:
        """Length of the shift in pixels; None where it is not certain."""
        return self.shift.length_px if self.shift.certain else None

    @property
    def drift(self) -> dict[str, float]:
        """Drift on invariant pixels by band, as a share of the band's span; empty where it is not known."""
        drift = self.radiometry.drift
        return {} if drift is None else dict(zip(drift.names, drift.share, strict=True))


@dataclass(frozen=True)
class _Ground:
    """What one pass over both images leaves behind.

    Args:
        zones: uint8 (H, W), FIRST, SECOND and LABELLED added up where they hold.
        first: float32 (C, N), pixels on a lattice that both dates observed.
        second: the same pixels on the second date.
    """

    zones: Mask
    first: Float
    second: Float


def measure_pair(subject: PairSubject, limits: GateSettings) -> PairQuality:
    """Measure everything that can bend a comparison of two dates.

    Reads both images once in bands of rows, and at most 64 windows of them for the shift, so that memory
    stays bounded whatever the scene's size.

    Args:
        subject: the pair.
        limits: beyond which a finding is a warning.

    Raises:
        GridMismatch: the dates, or the labels, do not lie on one grid.
        BandMismatch: the dates hold different units.
        BadInput: pixels cannot be decoded.
    """
    ground, pixel_m = _survey(subject), pixel_size_m(subject.first.raster.grid)
    area_ha = zone_hectares(ground.zones, subject.first.raster.grid, 8)
    shift, radiometry = _shift(subject), _radiometry(ground, subject.names)
    season = season_of(*subject.days)
    checks = (
        _ground_check(area_ha),
        *_same_check(ground),
        *([] if subject.mask is None else [_label_check(area_ha)]),
        _shift_check(shift, pixel_m, limits),
        _drift_check(radiometry, subject, limits),
        Check("season", "warning" if season.doubtful else "ok", season.sentence),
        *([] if subject.second_pixel_m is None else [_pixel_check(subject.second_pixel_m, pixel_m)]),
    )
    return PairQuality(checks, _figures(subject, area_ha, shift, radiometry, season), shift, radiometry)


def _survey(subject: PairSubject) -> _Ground:
    """One pass over both images: who observed what, and a lattice of samples."""
    first, second = subject.first, subject.second
    require_same_grid(first.raster.grid, second.raster.grid, "The two dates")
    if first.reading.unit != second.reading.unit:
        raise BandMismatch(
            f"{first.raster.path.name} holds {first.reading.unit} values, {second.raster.path.name} "
            f"{second.reading.unit}. Compare two images of one kind."
        )
    shape = first.raster.shape
    zones = np.zeros(shape, np.uint8)
    if subject.mask is not None:
        require_shape(subject.mask, first.raster.grid)
        zones[subject.mask == MINE] = LABELLED
    step = max(1, int(np.ceil(np.sqrt(shape[0] * shape[1] / SAMPLE_PX))))
    samples: list[tuple[Float, Float]] = []
    for band in row_bands(shape, SAMPLE_ROWS_PX):
        a, b = first.read(band), second.read(band)
        seen_a, seen_b = valid(a), valid(b)
        zones[band.slices] += FIRST * seen_a.astype(np.uint8) + SECOND * seen_b.astype(np.uint8)
        lattice = slice(-band.row % step, None, step), slice(None, None, step)
        both = (seen_a & seen_b)[lattice]
        samples.append((a[:, *lattice][:, both], b[:, *lattice][:, both]))
    pooled = [np.concatenate(parts, axis=1) for parts in zip(*samples, strict=True)]
    return _Ground(zones, pooled[0], pooled[1])


def _radiometry(ground: _Ground, names: Sequence[str]) -> Radiometry:
    kept = ~(clipped(ground.first) | clipped(ground.second))
    return compare_radiometry(ground.first[:, kept], ground.second[:, kept], names)


def _shift(subject: PairSubject) -> Shift:
    """The shift from blocks spread over the scene, each by the band that shows it most clearly."""
    sharp = [subject.names.index(n) for n in SHARP_BANDS if n in subject.names]
    positions = sharp or list(range(min(len(subject.names), len(SHARP_BANDS))))
    return shift_of(
        [
            clearest_shift(subject.first.read(window, positions), subject.second.read(window, positions))
            for window in shift_windows(subject.first.raster.shape)
        ]
    )


def _sum(area_ha: npt.NDArray[np.float64], flags: int) -> float:
    """Hectares of the zones in which all of these flags hold."""
    return float(sum(ha for zone, ha in enumerate(area_ha) if zone & flags == flags))


def _ground_check(area_ha: npt.NDArray[np.float64]) -> Check:
    first, second, both = _sum(area_ha, FIRST), _sum(area_ha, SECOND), _sum(area_ha, FIRST | SECOND)
    seen = f"{first:,.1f} ha were observed on the first date, {second:,.1f} ha on the second, {both:,.1f} ha on both."
    if both == 0:
        return Check("common_ground", "blocking", f"{seen} Without common ground nothing can be compared.")
    lone = [(date - both) / (first + second - both) for date in (first, second)]
    if max(lone) <= LONE_SHARE:
        return Check("common_ground", "ok", f"{seen} Only common ground is compared.")
    told = f"{lone[0]:.1%} of the ground was seen on the first date only and {lone[1]:.1%} on the second only"
    return Check("common_ground", "warning", f"{seen} {told}: clouds, or another footprint? The rest is compared.")


def _same_check(ground: _Ground) -> list[Check]:
    pixels = ground.first.shape[1]
    if not pixels or not np.array_equal(ground.first, ground.second):
        return []
    told = f"Both dates hold the same values on all {pixels:,} pixels looked at: it is one image given twice"
    return [Check(SAME_IMAGE, "warning", f"{told}, in which nothing can have changed. Give the other date's.")]


def _label_check(area_ha: npt.NDArray[np.float64]) -> Check:
    labelled = _sum(area_ha, LABELLED)
    hidden = [labelled - _sum(area_ha, LABELLED | date) for date in (FIRST, SECOND)]
    if max(hidden) < LEAST_HIDDEN_HA:
        return Check("labels_observed", "ok", f"All {labelled:,.1f} ha labelled mine were observed on both dates.")
    told = [
        f"{ha:,.1f} ha ({ha / labelled:.1%}) of labelled mine were not observed on the {which} date"
        for ha, which in zip(hidden, ("first", "second"), strict=True)
        if ha >= LEAST_HIDDEN_HA
    ]
    return Check("labels_observed", "warning", f"{'; '.join(told)}. They count neither as mine nor as gone there.")


def _shift_check(shift: Shift, pixel_m: float, limits: GateSettings) -> Check:
    seen = shift.sentence(pixel_m)
    if not shift.certain:
        return Check("shift", "warning", seen)
    if shift.length_px <= SHIFT_WARNING_PX:
        return Check("shift", "ok", seen)
    if shift.length_px <= limits.review_shift_px:
        return Check("shift", "warning", f"{seen} Add --correct-shift to move it back.")
    much = "So much makes rings of false change around every mine: add --correct-shift, or register the images."
    return Check("shift", "warning", f"{seen} {much}")


def _drift_check(radiometry: Radiometry, subject: PairSubject, limits: GateSettings) -> Check:
    drift = radiometry.drift
    if drift is None:
        return Check(
            "drift",
            "warning",
            f"The drift between the dates could not be measured: {radiometry.reason}. "
            "Check that both images show one place, in the same bands and the same unit.",
        )
    far = [n for n, share in zip(drift.names, drift.share, strict=True) if abs(share) > limits.review_drift]
    if not far:
        return Check("drift", "ok", drift.sentence)
    advice = _offset_advice(drift, subject) or (
        "Add --match-radiometry, or use images of one season and one product."
        if radiometry.matching
        else f"They cannot be matched ({radiometry.reason}): use images of one season and one product."
    )
    told = f"{', '.join(far)} drifted by more than {limits.review_drift:.0%}."
    return Check("drift", "warning", f"{drift.sentence} {told} {advice}")


def _offset_advice(drift: Drift, subject: PairSubject) -> str:
    """What to do when one date carries the offset of newer products; "" when neither seems to."""
    sign = drift.offset_sign if subject.first.reading.unit == "reflectance" else 0
    if sign == 0:
        return ""
    which, flag, source = "first", "--reflectance-offset", subject.first
    if sign > 0:
        which, flag, source = "second", "--reflectance-offset-after", subject.second
    mend = f"set {flag} 1000" if source.reading.scale == REFLECTANCE_SCALE else "subtract 0.1 from that image"
    return (
        f"All bands of the {which} date are brighter by about 0.1, as products of Sentinel-2 baseline 04.00 and "
        f"later are: {mend} if it is one; else add --match-radiometry."
    )


def _pixel_check(stored_m: float, size_m: float) -> Check:
    if abs(stored_m / size_m - 1) < SAME_SIZE:
        return Check("pixel_size", "ok", f"Both dates have {size_m:.1f} m pixels.")
    seen = f"The second date has {stored_m:.1f} m pixels and was warped to the first one's {size_m:.1f} m."
    if abs(stored_m / size_m - 1) <= PIXEL_SIZE_TOLERANCE:
        return Check("pixel_size", "ok", seen)
    return Check("pixel_size", "warning", f"{seen} Edges and small mines look different then; prefer one sensor.")


def _figures(
    subject: PairSubject, area_ha: npt.NDArray[np.float64], shift: Shift, radiometry: Radiometry, season: Season
) -> dict[str, Any]:
    labelled = None if subject.mask is None else _sum(area_ha, LABELLED)
    return {
        "first_ha": round(_sum(area_ha, FIRST), 2),
        "second_ha": round(_sum(area_ha, SECOND), 2),
        "common_ha": round(_sum(area_ha, FIRST | SECOND), 2),
        "labelled_ha": labelled and round(labelled, 2),
        "labelled_unobserved_ha": None
        if labelled is None
        else [round(labelled - _sum(area_ha, LABELLED | date), 2) for date in (FIRST, SECOND)],
        "shift": shift.to_json(pixel_size_m(subject.first.raster.grid)),
        **radiometry.to_json(),
        "days": [day and day.day.isoformat() for day in subject.days],
        "season_gap_days": season.gap_days,
        "second_pixel_m": subject.second_pixel_m and round(subject.second_pixel_m, 3),
    }
