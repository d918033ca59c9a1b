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
from minedetect.bands import Reading, value_drift
from minedetect.change import Ledger
from minedetect.measure import Counts, count, hectares
from minedetect.model import Detector
from minedetect.pair import PairQuality
from minedetect.plausible import Evidence, Ratio
from minedetect.predict import Prediction
from minedetect.raster import IGNORE, MINE, Mask, Raster, open_raster, read_classes
from minedetect.scenes import Scene

RIM_PX = 8


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
    known = (scene.mask != IGNORE) & (before != IGNORE)
    labelled_ha = hectares(labelled, grid, 1)
    hidden = labelled & ((before == IGNORE) | (after == IGNORE))
    contract = comparison.detector.contract
    matching = comparison.extra.get("matching")
    drift = {
        year: max(value_drift(contract, reading, raster).values())
        for year, reading, raster in zip(comparison.years, comparison.readings, comparison.rasters, strict=True)
    }
    return Evidence(
        validation=comparison.validation.ratio if comparison.validation else None,
        labelled_date=Ratio(hectares((before == MINE) & known, grid, 1), hectares(labelled & known, grid, 1)),
        mine_share={y: mine_share(c) for y, c in zip(comparison.years, comparison.classes, strict=True)},
        rim_share={y: rim_share(c) for y, c in zip(comparison.years, comparison.classes, strict=True)},
        before_ha=found.before_ha,
        after_ha=found.after_ha,
        drift=drift,
        shift_px=comparison.pair.shift_px,
        band_drift={} if matching else comparison.pair.drift,
        matching_ha=(matching["with_ha"], matching["without_ha"]) if matching else None,
        unobserved_share=hectares(hidden, grid, 1) / labelled_ha if labelled_ha else 0.0,
    )


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
