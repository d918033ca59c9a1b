"""The files of a comparison: mines of each date, the change map, its kinds and its polygons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from minedetect.change import (
    DOUBTFUL,
    GONE,
    KINDS,
    NEW,
    NO_CHANGE,
    SIEVED,
    Change,
    Ledger,
    difference,
    kinds_of,
    ledger,
    ring_width_px,
)
from minedetect.cog import CogProfile, write_cog
from minedetect.grid import row_bands
from minedetect.manifest import tags
from minedetect.patches import Patches, mean_of, patches_of, write_features
from minedetect.predict import PROBABILITY_DECIMALS
from minedetect.raster import CHANGE_NODATA, IGNORE, MINE, Float, Mask, Raster, read
from minedetect.runs import CHANGE_KIND, CHANGE_MAP, CHANGE_POLYGONS, Run, mines_name
from minedetect.sieve import classified


@dataclass(frozen=True)
class Grounds:
    """What tells kinds of change apart.

    Args:
        min_probability_change: least difference of the calibrated probabilities of firm change.
        shift_px: between the dates; None where it is not known.
        probabilities: rasters of both dates on the grid of the classes, or None.
        thresholds: over which each date's pixels are mine, or None where nobody knows.
    """

    min_probability_change: float
    shift_px: float | None = None
    probabilities: tuple[Raster, Raster] | None = None
    thresholds: tuple[float, float] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how kinds were told apart, and on what could not be told."""
        width = f"{ring_width_px(self.shift_px)} px"
        shift = "the shift between them is not known" if self.shift_px is None else f"shift {self.shift_px:.2f} px"
        ring = f"Ring is change up to {width} thick around mines that stand on both dates ({shift})."
        if self.probabilities is None:
            missing = "There are no probability rasters, so no change could be called doubtful or sieved"
            return (ring, f"{missing}: firm is all that is no ring.")
        doubtful = (
            f"Doubtful is change whose calibrated probability differs by less than {self.min_probability_change:g} "
            "between the dates."
        )
        if self.thresholds is None:
            return (ring, doubtful, "The threshold of the classes is not known, so no change could be called sieved.")
        return (ring, doubtful, "Sieved is change that only comes from leaving out small patches.")


def doubts(change: Change, grounds: Grounds) -> Mask | None:
    """Where the probabilities speak against a change.

    Args:
        change: int8 (H, W), from `change.difference`.
        grounds: the probability rasters and limits.

    Returns:
        uint8 (H, W): SIEVED where the unsieved classes do not change so, DOUBTFUL where the probabilities differ too
        little or are not known, else NO_CHANGE; None without probability rasters.
    """
    if grounds.probabilities is None:
        return None
    found = np.full(change.shape, NO_CHANGE, np.uint8)
    bands = row_bands(grounds.probabilities[0].shape)
    for band, before, after in zip(bands, *map(_blocks, grounds.probabilities), strict=True):
        told = change[band.rows]
        moved = np.round((after - before) * told, PROBABILITY_DECIMALS)  # towards the change that is told
        against = np.where(moved >= np.float32(grounds.min_probability_change), NO_CHANGE, DOUBTFUL).astype(np.uint8)
        if grounds.thresholds is not None:
            unsieved = difference(*map(classified, (before, after), grounds.thresholds))
            against[(unsieved != told) & (unsieved != CHANGE_NODATA)] = SIEVED
        changed = (told == NEW) | (told == GONE)
        found[band.rows][changed] = against[changed]
    return found


def _blocks(raster: Raster) -> Iterator[Float]:
    return (read(raster, band)[0] for band in row_bands(raster.shape))


def write_mines(run: Run, year: str, classes: Mask, grid: GeoBox, probability: Raster | None) -> None:
    """Write `mines_YEAR.geojson`: each patch with its hectares and, where known, mean probability."""
    patches = patches_of(classes == MINE, grid)
    means = _means(probability, patches)
    write_features(
        run.path(mines_name(year)),
        (
            (outline, {"id": i, "date": year, "hectares": _ha(patches, i), "mean_probability": means[i - 1]})
            for i, outline in patches.outlines()
        ),
        run.name,
    )


@dataclass(frozen=True)
class Written:
    """The change of two dates, as it was written.

    Args:
        change: int8 (H, W), from `difference`.
        kind: uint8 (H, W), from `kinds_of`.
        ledger: their hectares.
    """

    change: Change
    kind: Mask
    ledger: Ledger


def write_change(
    run: Run, years: tuple[str, str], classes: tuple[Mask, Mask], grid: GeoBox, grounds: Grounds
) -> Written:
    """Write `change_map.tif`, `change_kind.tif` and `change.geojson`, and add up the ledger."""
    change = difference(*classes)
    kind = kinds_of(change, classes[0], ring_width_px(grounds.shift_px), doubts(change, grounds))
    named = {**tags(run, "before", "after"), "dates": " ".join(years)}
    write_cog(run.path(CHANGE_MAP), change, grid, CogProfile("int8", CHANGE_NODATA, ("change",), named))
    write_cog(run.path(CHANGE_KIND), kind, grid, CogProfile("uint8", IGNORE, ("change_kind",), named))
    write_features(run.path(CHANGE_POLYGONS), _change_features(change, kind, grid, grounds), run.name)
    return Written(change, kind, ledger(classes[0], change, kind, grid))


def _change_features(
    change: Change, kind: Mask, grid: GeoBox, grounds: Grounds
) -> Iterator[tuple[BaseGeometry, dict[str, Any]]]:
    """Each patch of one side and kind, with hectares and both dates' mean probability where known."""
    coded = np.where(change == GONE, kind + np.uint8(len(KINDS)), kind)  # 1 to 4 new, 5 to 8 gone
    coded[(change != NEW) & (change != GONE)] = 0
    patches = patches_of(coded, grid)
    before, after = (_means(raster, patches) for raster in grounds.probabilities or (None, None))
    for i, outline in patches.outlines():
        side, number = divmod(int(patches.values[i - 1]) - 1, len(KINDS))
        yield (
            outline,
            {
                "id": i,
                "change": ("new", "gone")[side],
                "kind": KINDS[number],
                "hectares": _ha(patches, i),
                "mean_probability_before": before[i - 1],
                "mean_probability_after": after[i - 1],
            },
        )


def _means(probability: Raster | None, patches: Patches) -> list[float | None]:
    return [None] * len(patches.values) if probability is None else mean_of(_blocks(probability), patches)


def _ha(patches: Patches, number: int) -> float:
    return round(float(patches.hectares[number - 1]), 4)
