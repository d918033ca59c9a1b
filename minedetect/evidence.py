"""All that is known about two predicted dates, and what of it speaks for or against the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from minedetect.assess import Assessment
from minedetect.bands import Reading, sample_pixels, value_drift
from minedetect.change import Ledger
from minedetect.grid import Window
from minedetect.measure import Counts, best_single_index, count, hectares
from minedetect.model import Detector
from minedetect.pair import SAME_IMAGE, PairQuality
from minedetect.plausible import Agreement, Evidence
from minedetect.predict import Prediction
from minedetect.raster import IGNORE, MINE, Float, Mask, Raster, open_raster, read_classes
from minedetect.scenes import Scene

RIM_PX = 8
RULE_SAMPLE_PX = 50_000
"""Known pixels of a whole date from which the best single index is found."""


@dataclass(frozen=True)
class Truth:
    """Rasters of the true classes of both dates; nothing is ever trained or chosen on them."""

    before: Path
    after: Path


@dataclass(frozen=True)
class Comparison:
    """All that is known when both dates are predicted.

    Args:
        years: labels of the dates.
        scene: the labelled first date.
        rasters: both images, on one grid.
        readings: how each is read.
        predictions: both dates' classes.
        detector: the model.
        validation: its assessment on validation blocks, or None when it was trained elsewhere.
        pair: what was measured on the two dates as they are compared.
        mask_after: labels of the second date, or None.
        notes: sentences so far.
        truth: true classes, or None.
        extra: further facts for the summary.
    """

    years: tuple[str, str]
    scene: Scene
    rasters: tuple[Raster, Raster]
    readings: tuple[Reading, Reading]
    predictions: tuple[Prediction, Prediction]
    detector: Detector
    validation: Assessment | None
    pair: PairQuality
    mask_after: Mask | None
    notes: tuple[str, ...]
    truth: Truth | None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def grid(self) -> GeoBox:
        return self.predictions[0].grid

    @property
    def classes(self) -> tuple[Mask, Mask]:
        return self.predictions[0].classes, self.predictions[1].classes


def evidence_of(comparison: Comparison, found: Ledger) -> Evidence:
    """Gather what the plausibility gate looks at."""
    grid, scene, (before, after) = comparison.grid, comparison.scene, comparison.classes
    labelled = scene.mask == MINE
    labelled_ha = hectares(labelled, grid, 1)
    hidden = labelled & ((before == IGNORE) | (after == IGNORE))
    contract = comparison.detector.contract
    matching = comparison.extra.get("matching")
    drift = {
        year: max(value_drift(contract, reading, raster).values())
        for year, reading, raster in zip(comparison.years, comparison.readings, comparison.rasters, strict=True)
    }
    return Evidence(
        agreements=agreements_of(comparison),
        mine_share={y: mine_share(c) for y, c in zip(comparison.years, comparison.classes, strict=True)},
        rim_share={y: rim_share(c) for y, c in zip(comparison.years, comparison.classes, strict=True)},
        before_ha=found.before_ha,
        after_ha=found.after_ha,
        drift=drift,
        shift_px=comparison.pair.shift_px,
        band_drift={} if matching else comparison.pair.drift,
        matching_ha=(matching["with_ha"], matching["without_ha"]) if matching else None,
        unobserved_share=hectares(hidden, grid, 1) / labelled_ha if labelled_ha else 0.0,
        same_image=any(check.name == SAME_IMAGE for check in comparison.pair.checks),
    )


def agreements_of(comparison: Comparison) -> list[Agreement]:
    """How the predictions agree with labels: on validation and test ground, and on each whole date that has some."""
    scores = comparison.validation.content if comparison.validation else {}
    parts = {"on the validation blocks": scores, "on the test ground, which chose nothing": scores.get("test")}
    found = [Agreement.of_scores(where, part) for where, part in parts.items() if part]
    found.append(_on_whole_date(comparison, 0, comparison.scene.mask))
    if comparison.mask_after is not None:
        found.append(_on_whole_date(comparison, 1, comparison.mask_after))
    return found


def _on_whole_date(comparison: Comparison, date: int, labels: Mask) -> Agreement:
    """Agreement on all pixels of a date that are labelled and observed."""
    classes, grid = comparison.classes[date], comparison.grid
    known = (labels <= MINE) & (classes != IGNORE)
    counts = count_classes(classes, labels)
    return Agreement(
        where=f"on all labelled ground of {comparison.years[date]}",
        predicted_ha=hectares((classes == MINE) & known, grid, 1),
        labelled_ha=hectares((labels == MINE) & known, grid, 1),
        iou=None if np.isnan(counts.iou) else counts.iou,
        rule_iou=_rule_iou(comparison, date, np.where(known, labels, IGNORE)),
        guess_iou=(counts.tp + counts.fn) / max(counts.pixels, 1),
    )


def _rule_iou(comparison: Comparison, date: int, labels: Mask) -> float:
    """What the best threshold on a single index reaches on a sample of the known pixels of a date."""
    raster, reading = comparison.rasters[date], comparison.readings[date]

    def with_labels(part: Window) -> Float:
        return np.concatenate([reading.read(raster, part), labels[part.slices][None].astype(np.float32)])

    sample = sample_pixels(with_labels, labels != IGNORE, seed=0, most=RULE_SAMPLE_PX)
    if not sample.size:
        return 0.0
    return best_single_index(sample[:-1], sample[-1], comparison.detector.contract.names).iou


def mine_share(classes: Mask) -> float:
    """Share of observed pixels that are mine."""
    return float((classes == MINE).sum() / max(int((classes != IGNORE).sum()), 1))


def rim_share(classes: Mask) -> tuple[float, float]:
    """Share that is mine of the outermost pixels and of the ring just inside them."""
    depth = np.minimum.outer(*(np.minimum(np.arange(n), np.arange(n)[::-1]) for n in classes.shape))
    rings = (depth < RIM_PX), (depth >= RIM_PX) & (depth < 3 * RIM_PX)
    outer, inner = (mine_share(classes[ring]) for ring in rings)
    return outer, inner


def scores_against_labels(comparison: Comparison) -> dict[str, Any]:
    """Scores of the second date against its own labels, and of both against known truth, where given."""
    extra: dict[str, Any] = dict(comparison.extra)
    if comparison.mask_after is not None:
        extra["scores_after"] = _scores(count_classes(comparison.classes[1], comparison.mask_after))
    if comparison.truth is not None:
        extra["truth"] = {
            year: _against_truth(path, classes, comparison.grid)
            for year, path, classes in zip(
                comparison.years, (comparison.truth.before, comparison.truth.after), comparison.classes, strict=True
            )
        }
    return extra


def count_classes(classes: Mask, labels: npt.NDArray[Any]) -> Counts:
    """Counts of a class raster against labels, where both are known."""
    return count(classes == MINE, np.where(classes == IGNORE, IGNORE, labels))


def _scores(counts: Counts) -> dict[str, float | None]:
    values = {"iou": counts.iou, "dice": counts.dice, "precision": counts.precision, "recall": counts.recall}
    return {k: None if np.isnan(v) else round(v, 4) for k, v in values.items()}


def _against_truth(path: Path, classes: Mask, grid: GeoBox) -> dict[str, float | None]:
    true = read_classes(open_raster(path))
    return {**_scores(count_classes(classes, true)), "hectares": round(hectares(true, grid, MINE), 2)}
