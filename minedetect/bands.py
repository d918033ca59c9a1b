"""What a model asks of an image: bands by name, one unit, one scaling, one pixel size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minedetect.band_names import name_bands, own_names, stand_ins
from minedetect.errors import BandMismatch
from minedetect.grid import Window, pixel_size_m, row_bands
from minedetect.raster import Float, Raster, read, thinned

Unit = Literal["reflectance", "uint8"]

REFLECTANCE_SCALE = 10_000.0
LOW_PERCENT, HIGH_PERCENT = 0.1, 99.9
PIXEL_SIZE_TOLERANCE = 0.2
SCALED_MIN, SCALED_MAX = -1.0, 2.0
"""Scaled values beyond these are sensor faults; bounding them keeps one pixel from ruling a window."""
SAMPLES_PER_SCENE = 1_000_000
SAMPLE_SIDE_PX = 600
DRIFT_MARGIN = 0.25
"""Share of the scaling's span beyond its limits that random gains in training still cover."""


@dataclass(frozen=True)
class Reading:
    """How an image's samples become the model's input: which bands, in which unit.

    Args:
        positions: band positions (from 0) in the file, in the order wanted.
        unit: what the values mean after `offset` and `scale`.
        scale: divisor of the stored value.
        offset: subtracted from the stored value first.
        notes: sentences that say what was assumed or changed.
        matching: gain and bias of each band that bring it to another date's brightness; () for none.
    """

    positions: tuple[int, ...]
    unit: Unit
    scale: float
    offset: float
    notes: tuple[str, ...] = ()
    matching: tuple[tuple[float, float], ...] = ()

    def read(self, raster: Raster, window: Window) -> Float:
        """Pixels of one window: float32 (C, H, W) in `unit`, NaN where unobserved."""
        return self.converted(read(raster, window, self.positions))

    def sample(self, raster: Raster, most_px: int, bands: Sequence[int] | None = None) -> Float:
        """Every n-th row and column, no side above `most_px`: float32 (C, h, w) in `unit`, as `read`.

        Args:
            raster: the image.
            most_px: longest side of what is returned.
            bands: which of the bands that are read; None for all.
        """
        chosen = self if bands is None else self.only(bands)
        return chosen.converted(thinned(raster, chosen.positions, most_px))

    def only(self, bands: Sequence[int]) -> Reading:
        """The same for some of its bands, given by their place in what it reads."""
        matching = tuple(self.matching[b] for b in bands) if self.matching else ()
        return replace(self, positions=tuple(self.positions[b] for b in bands), matching=matching)

    def converted(self, stored: Float) -> Float:
        """Stored values (C, H, W) of the bands that are read, in `unit`."""
        values: Float = (stored - np.float32(self.offset)) / np.float32(self.scale)
        if self.matching:
            gain, bias = np.asarray(self.matching, np.float32).T
            values = values * gain[:, None, None] + bias[:, None, None]
        return values


def reading_of(raster: Raster, names: Sequence[str], wanted: Sequence[str], offset: float = 0.0) -> Reading:
    """Plan how to read `wanted` bands of an image whose bands are called `names`.

    Integer reflectance (times 10000) and float reflectance are told apart by the stored type
    and the size of the values, and both become reflectance from 0 to about 1.

    Raises:
        BandMismatch: bands are missing; the message lists them.
    """
    missing = [n for n in wanted if n not in names]
    if missing:
        raise BandMismatch(
            f"{raster.path.name} lacks {', '.join(missing)}: it has {', '.join(names)}, "
            f"and {', '.join(wanted)} are needed. Use an image with these bands."
        )
    positions = tuple(names.index(n) for n in wanted)
    notes = list(raster.notes)
    own = own_names(raster)
    if all(own) and own != tuple(names) and tuple(names) != stand_ins(len(own)):
        notes.append(f"Bands named {', '.join(own)} in {raster.path.name} were read as {', '.join(names)}, as asked.")
    if positions != tuple(range(len(names))):
        notes.append(f"Bands {', '.join(wanted)} were picked by name from {', '.join(names)} of {raster.path.name}.")
    if raster.dtype == "uint8" and offset:
        raise BandMismatch(
            f"{raster.path.name} holds 8-bit values; --reflectance-offset is for reflectance times 10000."
        )
    if raster.dtype == "uint8":
        return Reading(positions, "uint8", 255.0, 0.0, (*notes, f"{raster.path.name}: 8-bit values, divided by 255."))
    values = thinned(raster, positions, SAMPLE_SIDE_PX)
    values = values[~np.isnan(values)]
    ground = values[values != 0]  # untagged fill says nothing about the unit
    integer = np.issubdtype(np.dtype(raster.dtype), np.integer)
    large = bool(ground.size) and float(np.median(ground)) > 2.0 + max(offset, 0.0)
    scale = REFLECTANCE_SCALE if integer or large else 1.0
    if scale != 1.0:
        notes.append(f"{raster.path.name}: values read as reflectance times 10000.")
    if scale == 1.0 and offset:
        raise BandMismatch(
            f"{raster.path.name} holds reflectance from 0 to 1; --reflectance-offset is for integer values."
        )
    if scale != 1.0 and not offset and values.size and values.min() >= 900:
        notes.append(
            f"{raster.path.name}: no value is below {values.min():.0f}. Products of baseline 04.00 and later carry "
            "an offset of 1000: if this is one, set --reflectance-offset 1000, "
            "or --reflectance-offset-after 1000 where it is the second date."
        )
    return Reading(positions, "reflectance", scale, offset, tuple(notes))


@dataclass(frozen=True)
class BandContract:
    """Bands, unit, scaling and pixel size a model learned with; stored in the model, never refitted.

    Args:
        names: canonical band names in order.
        unit: what values mean before scaling.
        low: per band, the value that becomes 0.
        high: per band, the value that becomes 1.
        pixel_m: ground size of a training pixel in metres.
    """

    names: tuple[str, ...]
    unit: Unit
    low: tuple[float, ...]
    high: tuple[float, ...]
    pixel_m: float

    def scale(self, pixels: Float) -> Float:
        """Scale pixels with the training's own limits.

        Args:
            pixels: float32 (C, H, W) in `unit`, NaN where unobserved.

        Returns:
            float32 (C, H, W), mostly 0 to 1, NaN kept.
        """
        low = np.asarray(self.low, np.float32)[:, None, None]
        span = np.asarray(self.high, np.float32)[:, None, None] - low
        scaled: Float = np.clip((pixels - low) / span, SCALED_MIN, SCALED_MAX)
        return scaled

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> BandContract:
        """The contract in a model file.

        Raises:
            ValueError: no image could be scaled by it.
            KeyError, TypeError: something is missing.
        """
        low, high = (tuple(float(v) for v in content[side]) for side in ("low", "high"))
        names, pixel_m = tuple(str(n) for n in content["names"]), float(content["pixel_m"])
        if len(set(names)) != len(names) or not len(names) == len(low) == len(high):
            raise ValueError("bands and limits do not fit together")
        if content["unit"] not in ("reflectance", "uint8") or not 0 < pixel_m < np.inf:
            raise ValueError("unknown unit or pixel size")
        if not all(np.isfinite([a, b]).all() and a < b for a, b in zip(low, high, strict=True)):
            raise ValueError("limits are no numbers, or not in order")
        return cls(names, content["unit"], low, high, pixel_m)

    def reading(self, raster: Raster, given_names: str = "", offset: float = 0.0) -> Reading:
        """Plan how this contract reads an image.

        Raises:
            BandMismatch: bands are missing, or the image holds another unit.
        """
        reading = reading_of(raster, name_bands(raster, given_names), self.names, offset)
        if reading.unit != self.unit:
            raise BandMismatch(f"{raster.path.name} holds {reading.unit} values; the model learned {self.unit}.")
        return reading

    def at_pixel_size(self, raster: Raster, resample: bool) -> tuple[Raster, tuple[str, ...]]:
        """The image at a pixel size this model can read, and what was done about it.

        Raises:
            BandMismatch: more than 20 % off the training's, and resampling was not asked for.
        """
        size_m = pixel_size_m(raster.grid)
        if abs(size_m / self.pixel_m - 1) <= PIXEL_SIZE_TOLERANCE:
            return raster, ()
        if not resample:
            raise BandMismatch(
                f"{raster.path.name} has {size_m:.1f} m pixels; the model learned at {self.pixel_m:.1f} m. "
                "Use an image of that resolution, or add --resample."
            )
        grid = raster.grid.zoom_out(self.pixel_m / size_m)
        return raster.onto(grid), (
            f"{raster.path.name} was resampled from {size_m:.1f} m to {self.pixel_m:.1f} m pixels.",
        )


def filled(scaled: Float) -> Float:
    """A window fit for the network: unobserved pixels take the mean of the observed ones.

    A constant such as zero would draw a hard dark edge that looks like ground.

    Args:
        scaled: float32 (C, H, W), NaN where unobserved.

    Returns:
        float32 (C, H, W) without NaN; itself where nothing is missing, zeros where nothing was observed.
    """
    unobserved = np.isnan(scaled).any(axis=0)
    if not unobserved.any():
        return scaled
    whole: Float = scaled.copy()
    for band in whole:
        band[unobserved] = 0.0 if unobserved.all() else band.mean(where=~unobserved)
    return whole


def value_limits(samples: Sequence[Float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per band, the 0.1 and 99.9 percentiles over all training samples together.

    Args:
        samples: float32 (C, N) per scene, without NaN. Each scene counts by its number of samples.

    Returns:
        Low and high limit of each band; high is always above low.
    """
    pooled = np.concatenate(list(samples), axis=1)
    low, high = np.percentile(pooled, [LOW_PERCENT, HIGH_PERCENT], axis=1)
    high = np.maximum(high, low + np.maximum(1e-6, 1e-3 * np.abs(low)))  # a constant band must not divide by zero
    return tuple(low.astype(float)), tuple(high.astype(float))


def sample_pixels(
    read_band: Callable[[Window], Float], use: npt.NDArray[np.bool_], seed: int, most: int = SAMPLES_PER_SCENE
) -> Float:
    """Valid pixels of one scene inside some area, thinned at random to about `most`.

    Args:
        read_band: gives float32 (C, h, W) of a full-width band of rows, NaN where unobserved.
        use: bool (H, W), the area.
        seed: of the thinning.
        most: how many pixels are enough.

    Returns:
        float32 (C, N), without NaN.
    """
    rng, share = np.random.default_rng(seed), most / max(int(use.sum()), 1)
    found = []
    for band in row_bands((use.shape[0], use.shape[1])):
        kept = use[band.rows]
        if share < 1:
            kept = kept & (rng.random(kept.shape, np.float32) < share)
        if kept.any():
            pixels = read_band(band)[:, kept]
            found.append(pixels[:, ~np.isnan(pixels).any(axis=0)])
    return np.concatenate(found, axis=1) if found else np.zeros((0, 0), np.float32)


def value_drift(contract: BandContract, reading: Reading, raster: Raster) -> dict[str, float]:
    """Share of an image's values that training never saw, its random gains included, per band."""
    pixels = reading.sample(raster, SAMPLE_SIDE_PX).reshape(len(contract.names), -1)
    seen = pixels[:, ~np.isnan(pixels).any(axis=0)]
    low, high = np.asarray(contract.low)[:, None], np.asarray(contract.high)[:, None]
    margin = DRIFT_MARGIN * (high - low)
    far = (seen < low - margin) | (seen > high + margin)
    shares = far.mean(axis=1) if seen.size else np.zeros(len(contract.names))
    return {name: float(share) for name, share in zip(contract.names, shares, strict=True)}
