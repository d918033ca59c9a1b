"""What a report says of the data and the model it rests on."""

from __future__ import annotations

from typing import Any

import numpy as np

from minedetect.config import Settings
from minedetect.evidence import Comparison
from minedetect.findings import shown_ha
from minedetect.grid import crs_name, pixel_size_m
from minedetect.measure import zone_hectares
from minedetect.model import parts_of

UNITS = {"reflectance": "reflectance, 0 to 1", "uint8": "8-bit values, divided by 255"}


def facts(comparison: Comparison, settings: Settings) -> dict[str, Any]:
    """Data and model facts in words, kept in `summary.json` so that a report can be made again from it.

    Returns:
        `dates`: a mapping of name to words for each date; `ground` and `model`: such mappings.
    """
    scene_ha = float(zone_hectares(np.zeros(comparison.scene.mask.shape, np.uint8), comparison.grid, 1)[0])
    return {
        "dates": [_date(comparison, date, scene_ha) for date in (0, 1)],
        "ground": _ground(comparison, scene_ha),
        "model": {**_model(comparison, settings), **_scores(comparison)},
    }


def _date(comparison: Comparison, date: int, scene_ha: float) -> dict[str, str]:
    figures, reading = comparison.pair.figures, comparison.readings[date]
    seen_ha = figures[("first_ha", "second_ha")[date]]
    stored = f" (stored times {reading.scale:,.0f})" if reading.unit == "reflectance" and reading.scale != 1 else ""
    return {
        "Year": comparison.years[date],
        "Image file": comparison.rasters[date].path.name,
        "Taken on": figures["days"][date] or "not known",
        "Values": UNITS[reading.unit]
        + stored
        + (f", offset of {reading.offset:g} subtracted" if reading.offset else ""),
        "Seen": f"{shown_ha(seen_ha)}, {seen_ha / scene_ha:.1%} of the scene",
        "Not seen (clouds, outside the image)": _share(scene_ha - seen_ha, scene_ha),
    }


def _share(part_ha: float, whole_ha: float) -> str:
    return f"{shown_ha(max(part_ha, 0.0))}, {max(part_ha, 0.0) / whole_ha:.1%}"


def _ground(comparison: Comparison, scene_ha: float) -> dict[str, str]:
    grid, pair = comparison.grid, comparison.pair
    told = {check.name: check.message for check in pair.checks}
    rows, cols = grid.shape
    return {
        "Labels file": comparison.scene.labels.path.name,
        "Coordinate system": f"{grid.crs.proj.name}, {crs_name(grid)}" if grid.crs else crs_name(grid),
        "Size": f"{rows:,} rows x {cols:,} columns of {pixel_size_m(grid):.2f} m pixels, {shown_ha(scene_ha)}",
        "Seen on both dates": f"{_share(pair.figures['common_ha'], scene_ha)}; only this ground is compared",
        "Labelled mines": told.get("labels_observed", "no labels"),
        "Seasons": told["season"],
        "Shift between the images": told["shift"],
        "Drift of the bands (how much brighter or darker ground looks that did not change)": told["drift"],
    }


def _model(comparison: Comparison, settings: Settings) -> dict[str, str]:
    detector = comparison.detector
    threshold = settings.threshold or detector.calibration.threshold
    whose = "set for this run" if settings.threshold else "chosen on validation ground and kept in the model"
    how = "trained in this run" if comparison.validation else "trained before, applied here"
    networks = len(parts_of(detector.net))
    kind = "U-Net" if networks == 1 else f"mean of {networks} U-Nets"
    return {
        "Network": f"{kind}, width {detector.width}, {how}",
        "Bands it reads": ", ".join(detector.contract.names),
        "Pixel size it learned at": f"{detector.contract.pixel_m:.2f} m",
        "Threshold": f"a pixel is called mine from a probability of {threshold:.2f} on ({whose})",
        "Smallest patch": f"{settings.min_patch_ha:g} ha; smaller ones are left out",
    }


def _scores(comparison: Comparison) -> dict[str, str]:
    """Scores of the model this run trained; none of one that was trained elsewhere."""
    if comparison.validation is None:
        return {}
    scores = comparison.validation.content
    about = {
        "IoU of mines on validation ground": _score(scores["iou"]),
        "Dice of mines on validation ground": _score(scores["dice"]),
        "IoU of the best rule on a single index there": f"{_score(scores['baseline_iou'])} ({scores['baseline']})",
        "Validation blocks and labelled mines in them": f"{scores['blocks']} and {scores['mines']}",
        "What validation chose": ", ".join(scores["chosen_on_validation"]),
    }
    if "test" in scores:
        about["IoU of mines on test ground, which chose nothing"] = _score(scores["test"]["iou"])
    return about


def _score(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
