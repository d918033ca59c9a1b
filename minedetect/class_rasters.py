"""Comparing two class rasters that were made elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from minedetect.change import Ledger, ring_width_px
from minedetect.config import Settings
from minedetect.errors import BadInput
from minedetect.grid import row_bands
from minedetect.intake import admit
from minedetect.journal import Journal
from minedetect.manifest import begin, changed_inputs, look_at, provenance, seal
from minedetect.map_layers import write_outlines
from minedetect.measure import hectares
from minedetect.plausible import Gate
from minedetect.products import Grounds, write_change, write_mines
from minedetect.raster import IGNORE, MINE, Mask, Raster, class_values, onto_first, open_raster, read, read_classes
from minedetect.report import Summary, write_summary
from minedetect.sensitivity import Compared, by_border, kinds_near, ranges
from minedetect.tiff import Limits, opened

THRESHOLD_TAG = "threshold"
"""What `predict` writes into the header of a class raster."""


@dataclass(frozen=True)
class ClassPair:
    """Two class rasters made elsewhere.

    Args:
        before: class raster of the first date (0, 1, 255).
        after: of the second.
        years: labels of the dates.
        probabilities: probability rasters of both dates, or None.
        shift_px: between the dates, as somebody measured it, or None.
    """

    before: Path
    after: Path
    years: tuple[str, str]
    probabilities: tuple[Path, Path] | None = None
    shift_px: float | None = None

    @property
    def inputs(self) -> dict[str, Path]:
        """What is read, by role."""
        more = zip(("probability_before", "probability_after"), self.probabilities or (), strict=False)
        return {"before": self.before, "after": self.after, **dict(more)}

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self.inputs.values())


def compare_classes(journal: Journal, pair: ClassPair, settings: Settings) -> dict[str, Any]:
    """Compare two class rasters made elsewhere: change, ledger and summary, verdict unknown.

    Raises:
        BadInput: a raster holds other values than 0, 1 and 255, a probability is none, or they do not overlap.
    """
    run, years = journal.run, pair.years
    with journal.step("change"):
        admit(pair.paths, Limits.of(settings))
        read_now = look_at(pair.inputs)
        first = open_raster(pair.before)
        second, note = onto_first(first, open_raster(pair.after), nearest=True)
        classes = _class_raster(first), _class_raster(second)
        grounds = _grounds_of_classes(pair, first.grid, settings)
        run.forget_results(pair.paths)
        begin(run, {"command": "change", "years": list(years)}, settings.model_dump(mode="json"), read_now)
        for year, one, raster in zip(years, classes, grounds.probabilities or (None, None), strict=True):
            write_mines(run, year, one, first.grid, raster)
        written = write_change(run, years, classes, first.grid, grounds)
        write_outlines(run, years)
        found = written.ledger
    with journal.step("report"):
        gate = Gate("unknown", ("There are no labels to compare these rasters with.",))
        observed = hectares(classes[0], first.grid, MINE), hectares(classes[1], first.grid, MINE)
        definition = "As in the class rasters that were given."
        notes = (note, *changed_inputs(run), *grounds.notes, *_unseen(years, observed, found))
        kinds = kinds_near(written.change, written.kind, ring_width_px(pair.shift_px))
        border = {"border": by_border(Compared(classes, first.grid, kinds, found))}
        summary = Summary(
            run.name,
            years,
            found,
            observed,
            gate,
            definition,
            notes,
            extra={"sensitivity": ranges(years, found, border), "provenance": provenance(run)},
        )
        content = write_summary(run, summary)
    seal(run)
    return content


def _unseen(years: tuple[str, str], observed_ha: tuple[float, float], found: Ledger) -> list[str]:
    """What lies where the other date has no data."""
    each = zip(years, years[::-1], observed_ha, (found.before_ha, found.after_ha), strict=True)
    return [
        f"{seen - common:,.1f} ha of mine of {year} lie where {other} has no data: they count for nothing."
        for year, other, seen, common in each
        if seen - common > 0.05
    ]


def _grounds_of_classes(pair: ClassPair, grid: GeoBox, settings: Settings) -> Grounds:
    if pair.probabilities is None:
        return Grounds(settings.min_probability_change, pair.shift_px)
    first, second = (_probability_raster(path, grid) for path in pair.probabilities)
    one, other = (settings.threshold or threshold_in(path) for path in (pair.before, pair.after))
    thresholds = (one, other) if one and other else None
    return Grounds(settings.min_probability_change, pair.shift_px, (first, second), thresholds)


def _probability_raster(path: Path, grid: GeoBox) -> Raster:
    """Brought onto the grid as the classes are, by nearest neighbour, so that they still follow from it."""
    raster = open_raster(path).onto(grid, nearest=True)
    for band in row_bands(raster.shape):
        values = read(raster, band, [0])
        wrong = values[(values < 0) | (values > 1)]
        if wrong.size:
            raise BadInput(
                "PROBABILITY", f"{path.name} holds the value {wrong[0]:g}; probabilities lie from 0 to 1. Rescale it."
            )
    return raster


def threshold_in(path: Path) -> float | None:
    """The threshold that `predict` wrote into a class raster's header; None where there is none.

    Raises:
        BadInput: what stands there is no threshold.
    """
    with opened(path) as dataset:
        given = dataset.tags().get(THRESHOLD_TAG)
    if given is None:
        return None
    try:
        threshold = float(given)
    except ValueError:
        threshold = math.nan
    if not 0 < threshold < 1:
        raise BadInput(
            "THRESHOLD", f"{path.name} names the threshold {given!r}, which is no probability. Give --threshold."
        )
    return threshold


def _class_raster(raster: Raster) -> Mask:
    if raster.nodata == 0:
        raise BadInput(
            "NO_BACKGROUND",
            f"{raster.path.name} tags 0, its background, as nodata: nothing could be compared. Remove that tag.",
        )
    classes = read_classes(raster)
    found = class_values(classes)
    if not set(found) <= {0, MINE, IGNORE}:
        raise BadInput(
            "CLASSES", f"{raster.path.name} holds the values {found[:12]}; a class raster holds 0, 1 and 255."
        )
    return classes.astype(np.uint8)
