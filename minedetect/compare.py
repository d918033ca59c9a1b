"""Two predicted dates to a judged answer: change rasters, ledger, verdict, pictures, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from minedetect.change import GONE, KINDS, NEW, Change, Ledger, difference, kinds_of, ledger, per_mine
from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.errors import BadInput
from minedetect.evidence import Comparison, evidence_of, scores_against_labels
from minedetect.figures import ResultPicture, Rgb, Stretch, draw_results, shown_bands, thinned
from minedetect.grid import row_bands
from minedetect.intake import admit
from minedetect.journal import Journal
from minedetect.labels import outline_zones
from minedetect.measure import hectares
from minedetect.patches import feature_collection, patches_of
from minedetect.plausible import Gate, judge
from minedetect.raster import (
    CHANGE_NODATA,
    IGNORE,
    MINE,
    Mask,
    Raster,
    class_values,
    onto_first,
    open_raster,
    read,
    read_classes,
)
from minedetect.report import Summary, write_report, write_summary
from minedetect.runs import (
    CHANGE_KIND,
    CHANGE_MAP,
    CHANGE_POLYGONS,
    RESULTS_PICTURE,
    Run,
    mines_name,
    probability_name,
    write_text,
)
from minedetect.scenes import Scene

PREVIEW_PX = 900
ALL_FIRM = "All change counts as firm: kinds of change are not told apart in this version."


def compare(journal: Journal, comparison: Comparison, settings: Settings) -> dict[str, Any]:
    """Write change, polygons, summary, picture and report of a run; returns `summary.json`."""
    run, (before, after) = journal.run, comparison.classes
    with journal.step("change"):
        for year, classes in zip(comparison.years, comparison.classes, strict=True):
            write_mines(run, year, classes, comparison.grid, open_raster(run.path(probability_name(year))))
        change, found = write_change(run, comparison.years, (before, after), comparison.grid)
        zones = label_zones(comparison.scene)
        rows = per_mine(comparison.scene.labels.outlines, zones, before, after, comparison.grid)
        gate = judge(evidence_of(comparison, found), settings)
    with journal.step("report"):
        summary = Summary(
            run_id=run.name,
            years=comparison.years,
            ledger=found,
            observed_ha=(comparison.predictions[0].mine_ha, comparison.predictions[1].mine_ha),
            gate=gate,
            mine_definition=settings.mine_definition,
            notes=(*comparison.notes, ALL_FIRM),
            per_mine=tuple(rows),
            extra=scores_against_labels(comparison),
        )
        content = write_summary(run, summary)
        draw_results(run.path(RESULTS_PICTURE), picture_of(comparison, change, found, gate), comparison.grid)
        write_report(run, facts(comparison, settings), trained=comparison.validation is not None)
    return content


def label_zones(scene: Scene) -> npt.NDArray[np.int32]:
    """Number of the outline over each pixel; all zero when the labels are a mask raster."""
    if scene.labels.is_mask:
        return np.zeros(scene.mask.shape, np.int32)
    return outline_zones(scene.labels, scene.raster.grid)


def write_mines(run: Run, year: str, classes: Mask, grid: GeoBox, probability: Raster | None) -> None:
    """Write `mines_YEAR.geojson`: each patch with its hectares and, where known, mean probability."""
    patches = patches_of(classes == MINE, grid)
    means = mean_probability(probability, patches.zones, len(patches.hectares))
    properties = [
        {"id": i, "date": year, "hectares": round(float(ha), 3), "mean_probability": mean}
        for i, (ha, mean) in enumerate(zip(patches.hectares, means, strict=True), start=1)
    ]
    write_text(run.path(mines_name(year)), json.dumps(feature_collection(patches.geometries, properties)) + "\n")


def mean_probability(probability: Raster | None, zones: npt.NDArray[np.int32], patch_count: int) -> list[float | None]:
    """Mean probability of each numbered patch; None where there is no probability raster."""
    if probability is None:
        return [None] * patch_count
    total, pixels = np.zeros(patch_count + 1), np.zeros(patch_count + 1)
    for band in row_bands(zones.shape):
        values = read(probability, band)[0]
        known = ~np.isnan(values)
        total += np.bincount(zones[band.rows][known], values[known], patch_count + 1)
        pixels += np.bincount(zones[band.rows][known], minlength=patch_count + 1)
    return [round(float(t / max(n, 1)), 4) for t, n in zip(total[1:], pixels[1:], strict=True)]


def write_change(run: Run, years: tuple[str, str], classes: tuple[Mask, Mask], grid: GeoBox) -> tuple[Change, Ledger]:
    """Write `change_map.tif`, `change_kind.tif` and `change.geojson`, and add up the ledger."""
    change = difference(*classes)
    kind = kinds_of(change)
    tags = {"run_id": run.name, "dates": " ".join(years)}
    write_cog(run.path(CHANGE_MAP), change, grid, CogProfile("int8", CHANGE_NODATA, ("change",), tags))
    write_cog(run.path(CHANGE_KIND), kind, grid, CogProfile("uint8", IGNORE, ("change_kind",), tags))
    geometries: list[BaseGeometry] = []
    properties: list[dict[str, Any]] = []
    for value, name in ((NEW, "new"), (GONE, "gone")):
        for number, kind_name in enumerate(KINDS, start=1):
            patches = patches_of((change == value) & (kind == number), grid)
            geometries += patches.geometries
            properties += [
                {"change": name, "kind": kind_name, "hectares": round(float(h), 3)} for h in patches.hectares
            ]
    write_text(run.path(CHANGE_POLYGONS), json.dumps(feature_collection(geometries, properties)) + "\n")
    return change, ledger(classes[0], change, kind, grid)


def picture_of(comparison: Comparison, change: Change, found: Ledger, gate: Gate) -> ResultPicture:
    """Thin everything alike, and stretch both dates by the first one's limits."""
    first, second = (_colours(comparison, date, PREVIEW_PX) for date in (0, 1))
    stretch = Stretch.of(first)
    rgb: tuple[Rgb, Rgb] = (stretch(first), stretch(second))
    return ResultPicture(
        years=comparison.years,
        rgb=rgb,
        classes=(thinned(comparison.classes[0], PREVIEW_PX), thinned(comparison.classes[1], PREVIEW_PX)),
        labels=thinned(comparison.scene.mask, PREVIEW_PX),
        change=thinned(change, PREVIEW_PX),
        hectares=(found.before_ha, found.after_ha),
        new_ha=found.new["firm"],
        gone_ha=found.gone["firm"],
        verdict=gate.verdict,
    )


def _colours(comparison: Comparison, date: int, most_px: int) -> npt.NDArray[np.float32]:
    """Red, green and blue of one date in the model's unit, thinned: float32 (3, h, w)."""
    reading = comparison.readings[date]
    shown = shown_bands(comparison.detector.contract.names)
    return reading.sample(comparison.rasters[date], most_px, shown)


def facts(comparison: Comparison, settings: Settings) -> dict[str, Any]:
    """Model and data facts for the report."""
    contract, calibration = comparison.detector.contract, comparison.detector.calibration
    about: dict[str, Any] = {
        "First image": comparison.rasters[0].path.name,
        "Second image": comparison.rasters[1].path.name,
        "Labels": comparison.scene.labels.path.name,
        "Bands": ", ".join(contract.names),
        "Pixel size learned at": f"{contract.pixel_m:.2f} m",
        "Network": f"U-Net, width {comparison.detector.width}",
        "Threshold on calibrated probability": f"{settings.threshold or calibration.threshold:.2f}",
    }
    pair = comparison.pair
    about["Shift between the dates"] = "not certain" if pair.shift_px is None else f"{pair.shift_px:.2f} px"
    about["Drift of the bands on invariant ground, share of their span"] = (
        ", ".join(f"{band} {share:+.0%}" for band, share in pair.drift.items()) or "could not be measured"
    )
    if comparison.validation is not None:
        scores = comparison.validation.content
        about |= {
            "IoU of mines on validation ground": scores["iou"],
            "Dice of mines on validation ground": scores["dice"],
            "IoU of the best single-index threshold there": f"{scores['baseline_iou']} ({scores['baseline']})",
            "Validation blocks and labelled mines in them": f"{scores['blocks']} and {scores['mines']}",
            "What validation chose": ", ".join(scores["chosen_on_validation"]),
        }
        if "test" in scores:
            about["IoU of mines on test ground, which chose nothing"] = scores["test"]["iou"]
    return about


def compare_classes(
    journal: Journal, before: Path, after: Path, years: tuple[str, str], probabilities: tuple[Path, Path] | None
) -> dict[str, Any]:
    """Compare two class rasters made elsewhere: change, ledger and summary, verdict unknown.

    Raises:
        BadInput: a raster holds other values than 0, 1 and 255, or they do not overlap.
    """
    run = journal.run
    with journal.step("change"):
        admit([before, after, *(probabilities or ())])
        first = open_raster(before)
        second, note = onto_first(first, open_raster(after), nearest=True)
        classes = _class_raster(first), _class_raster(second)
        run.forget_results((before, after, *(probabilities or ())))
        for year, one, path in zip(years, classes, probabilities or (None, None), strict=True):
            raster = open_raster(path).onto(first.grid) if path else None
            write_mines(run, year, one, first.grid, raster)
        _, found = write_change(run, years, classes, first.grid)
    with journal.step("report"):
        gate = Gate("unknown", ("There are no labels to compare these rasters with.",))
        observed = hectares(classes[0], first.grid, MINE), hectares(classes[1], first.grid, MINE)
        definition = "As in the class rasters that were given."
        return write_summary(run, Summary(run.name, years, found, observed, gate, definition, (note, ALL_FIRM)))


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
