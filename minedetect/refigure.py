"""The figures of a finished run once more, from its own rasters and tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ConfigDict, ValidationError

from minedetect.change import KINDS, NEW, Change, difference, ledger
from minedetect.errors import MinedetectError, RunError
from minedetect.grid import require_same_grid
from minedetect.intake import admit, open_image
from minedetect.manifest import LARGEST_BYTES, Manifest, told_of
from minedetect.measure import hectares
from minedetect.plausible import Gate
from minedetect.raster import CHANGE_NODATA, IGNORE, MINE, Mask, Raster, class_values, onto_first, read_classes
from minedetect.report import Summary, areas_csv
from minedetect.runs import AREAS, CHANGE_KIND, CHANGE_MAP, SUMMARY, Run, prediction_name, require_date_labels
from minedetect.tiff import Limits

FIGURES = ("hectares", "hectares_observed", "new_ha", "gone_ha", "unchanged_ha", "net_ha", "change_ha")
OF_CHANGE_ALONE = ("new_ha", "gone_ha", "net_ha", "change_ha")
"""What the change rasters give without those of the dates."""
TOLERANCE_HA = 0.011
"""Figures are rounded to 0.01 ha."""
NAMING_COLUMNS = 3
"""The cells of `areas.csv` that say what a row is of; figures follow."""
RELATIVE_TOLERANCE = 1e-6
"""Other versions of PROJ measure pixels that differ by less."""


class MineRow(BaseModel):
    """A row of the table per mine."""

    model_config = ConfigDict(extra="allow")

    mine: str
    status: str
    labelled_ha: float
    before_ha: float
    after_ha: float
    gained_ha: float
    lost_ha: float
    unobserved_ha: float


class Range(BaseModel):
    """A sensitivity range; how it came about is not computed anew."""

    low: float
    high: float


class Ranges(BaseModel):
    """The sensitivity range of each headline figure."""

    hectares: dict[str, Range]
    new_ha: Range
    gone_ha: Range
    net_ha: Range


class Told(BaseModel):
    """The figures that a summary tells."""

    years: tuple[str, str]
    hectares: dict[str, float]
    hectares_observed: dict[str, float]
    new_ha: float
    gone_ha: float
    unchanged_ha: float
    net_ha: float
    change_ha: dict[str, dict[str, float]]
    per_mine: list[MineRow]
    provenance: dict[str, Any]
    sensitivity: Ranges


def figure_faults(run: Run, manifest: Manifest, limits: Limits) -> list[str]:
    """What a run's rasters and tables do not give as its summary tells it: a sentence each.

    Args:
        run: perhaps somebody else's.
        manifest: of the run.
        limits: the largest raster to read.
    """
    if manifest.request.get("command") == "train" and SUMMARY not in manifest.artifacts:
        return []
    try:
        told = _told(run)
        computed, faults = recomputed(run, manifest, told.years, limits)
        return [
            *_origin_faults(told, manifest),
            *faults,
            *_differences(SUMMARY, "its rasters give", told.model_dump(), computed),
            *_sum_faults(told),
            *_table_faults(run, told),
        ]
    except MinedetectError as error:
        return [f"The figures could not be computed anew: {error}"]


def _told(run: Run) -> Told:
    try:
        told = Told.model_validate(run.read_json(_own_text(run, SUMMARY).name))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RunError(f"{SUMMARY} is not what minedetect writes: {where!a}.") from error
    require_date_labels(told.years)
    if set(told.hectares) != set(told.years) or set(told.change_ha) != {"new", "gone"}:
        raise RunError(f"{SUMMARY} is not what minedetect writes: its dates or kinds of change are others.")
    return told


def _own(run: Run, name: str) -> Path:
    """A file of the run folder itself: somebody else's folder may hold links to anywhere."""
    path = run.path(name)
    if path.is_symlink() or not path.is_file():
        raise RunError(f"{name} is missing, or is only a link.")
    return path


def _own_text(run: Run, name: str) -> Path:
    path = _own(run, name)
    if path.stat().st_size > LARGEST_BYTES:
        raise RunError(f"{name} is far larger than what minedetect writes.")
    return path


def _origin_faults(told: Told, manifest: Manifest) -> Iterator[str]:
    if told.provenance != told_of(manifest, manifest.model_sha256):
        yield f"{SUMMARY} names other inputs, another model or other settings than the manifest."


def recomputed(
    run: Run, manifest: Manifest, years: tuple[str, str], limits: Limits
) -> tuple[dict[str, Any], list[str]]:
    """Hectares from the change rasters, and from those of both dates where they are still there.

    Returns:
        Figures as `summary.json` has them, and sentences on rasters that contradict each other.

    Raises:
        MinedetectError: a raster cannot be read, lies elsewhere, or holds other values than it may.
    """
    predictions = [prediction_name(year) for year in years]
    admit([_own(run, name) for name in (CHANGE_MAP, CHANGE_KIND, *(n for n in predictions if run.has(n)))], limits)
    raster = open_image(_own(run, CHANGE_MAP), limits)
    grid, change = raster.grid, _classes(raster, (0, 1, -1, IGNORE)).astype(np.int16)
    change = np.where(change == IGNORE, CHANGE_NODATA, change).astype(np.int8)
    kind = _classes(open_image(_own(run, CHANGE_KIND), limits), (*range(len(KINDS) + 1), IGNORE), grid)
    dates = _dates(run, manifest, years, grid, limits)
    before = dates[0] if dates else np.zeros(change.shape, np.uint8)
    observed = (hectares(dates[0], grid, MINE), hectares(dates[1], grid, MINE)) if dates else (0.0, 0.0)
    found = ledger(before, change, kind.astype(np.uint8), grid)
    figures = Summary(run.name, years, found, observed, Gate("unknown", ()), "").to_json()
    told = list(_contradictions(change, kind, dates))
    return {key: figures[key] for key in (FIGURES if dates else OF_CHANGE_ALONE)}, told


def _contradictions(change: Change, kind: Any, dates: tuple[Mask, Mask] | None) -> Iterator[str]:
    if wrong := int(((kind % IGNORE > 0) != (np.abs(change) == NEW)).sum()):
        yield f"{CHANGE_KIND} gives kinds to other pixels than {CHANGE_MAP} calls changed: {wrong:,} px."
    if dates and (wrong := int((difference(*dates) != change).sum())):
        yield f"{CHANGE_MAP} is not the difference of both dates' classes on {wrong:,} px."


def _dates(
    run: Run, manifest: Manifest, years: tuple[str, str], grid: GeoBox, limits: Limits
) -> tuple[Mask, Mask] | None:
    """Classes of both dates: of the run itself, or those that `change` was given, where they are what they were."""
    given = [manifest.inputs[role] for role in ("before", "after") if role in manifest.inputs]
    if manifest.request.get("command") != "change":
        first, second = (open_image(_own(run, prediction_name(year)), limits) for year in years)
    elif len(given) == 2 and all(one.is_same(run.root) for one in given):
        first, second = (open_image(one.place(run.root), limits) for one in given)
        second, _ = onto_first(first, second, nearest=True)
    else:
        return None
    before, after = (_classes(one, (0, MINE, IGNORE), grid).astype(np.uint8) for one in (first, second))
    return before, after


def _classes(raster: Raster, allowed: Collection[int], grid: GeoBox | None = None) -> Any:
    if grid is not None:
        require_same_grid(grid, raster.grid, f"{CHANGE_MAP} and {raster.path.name}")
    classes = read_classes(raster)
    if other := set(class_values(classes)) - set(allowed):
        raise RunError(f"{raster.path.name} holds the values {sorted(other)[:12]}, which it cannot hold.")
    return classes


def _flat(content: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, float]]:
    for key, value in content.items():
        full = f"{name} {key}".strip()
        if isinstance(value, Mapping):
            yield from _flat(value, full)
        else:
            yield full, value


def _differences(where: str, source: str, told: Mapping[str, Any], computed: Mapping[str, Any]) -> Iterator[str]:
    theirs = dict(_flat({key: told[key] for key in computed}))
    ours = dict(_flat(computed))
    for key in {**ours, **theirs}:
        mine, other = ours.get(key), theirs.get(key)
        if mine is None or other is None or not near(mine, other):
            yield f"{where} says {key}: {_ha(other)}; {source} {_ha(mine)}."


def near(a_ha: float, b_ha: float, more: int = 1) -> bool:
    """Whether two figures agree within the rounding of `more` of them; NaN agrees with nothing."""
    return abs(a_ha - b_ha) <= more * TOLERANCE_HA + RELATIVE_TOLERANCE * abs(b_ha)


def _ha(value: float | None) -> str:
    return "nothing" if value is None else f"{value:,.2f} ha"


def _sum_faults(told: Told) -> Iterator[str]:
    """Rows of the table per mine cover the ground that both dates show: they add up to the headline."""
    if not told.per_mine:
        return
    wanted = {
        "before_ha": told.hectares[told.years[0]],
        "after_ha": told.hectares[told.years[1]],
        "gained_ha": sum(told.change_ha["new"].values()),
        "lost_ha": sum(told.change_ha["gone"].values()),
    }
    for key, whole in wanted.items():
        total = sum(float(getattr(row, key)) for row in told.per_mine)
        if not near(total, whole, len(told.per_mine) + len(KINDS)):
            yield f"{SUMMARY}: {key} of all mines adds up to {_ha(total)}, not to {_ha(whole)}."


def _table_faults(run: Run, told: Told) -> Iterator[str]:
    try:
        written = _rows(_own_text(run, AREAS).read_text(encoding="utf-8"))
    except (UnicodeError, csv.Error) as error:
        raise RunError(f"{AREAS} is damaged.") from error
    for key, value in _rows(areas_csv(told.model_dump())).items():
        if written.get(key) != value:
            said = f"{AREAS} says {' '.join(filter(None, key[:-1]))}: {written.get(key, 'nothing')}"
            yield f"{said}; {SUMMARY} says {value}."


def _rows(table: str) -> dict[tuple[str, ...], str]:
    """Hectares and their range by the cells that say of what; several mines of one name and status are numbered."""
    rows: dict[tuple[str, ...], str] = {}
    for cells in csv.reader(io.StringIO(table)):
        key = tuple(cells[:NAMING_COLUMNS])
        number = next(n for n in count(1) if (*key, str(n)) not in rows)
        if cells:
            rows[(*key, str(number))] = " ".join(filter(None, cells[NAMING_COLUMNS:]))
    return rows
