"""How good is a model: on validation blocks, where it also gets its threshold, and on labelled scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minedetect import calibrate
from minedetect.calibrate import Calibration
from minedetect.config import InferenceSettings, Settings
from minedetect.grid import Window, crop, whole
from minedetect.measure import Counts, IndexBaseline, best_single_index, block_interval, count, zone_hectares
from minedetect.model import Detector, pick_device
from minedetect.plausible import Ratio
from minedetect.predict import raw_probability
from minedetect.prepare import Prepared, Scene, SceneFiles, load_scene, observed_mask, require_unblocked
from minedetect.raster import MINE, Float, Mask, open_raster
from minedetect.runs import Progress, sha256_of

MOST_BASELINE_PX = 2_000_000


@dataclass(frozen=True)
class Block:
    """Scored ground: one validation block, or one whole scene.

    Args:
        raw: float32 (H, W), network probability before calibration, NaN where unobserved.
        labels: uint8 (H, W), 0, 1, or IGNORE.
        pixels: float32 (C, H, W), for the baselines.
        scene: which it belongs to.
        window: where it lies in its scene.
    """

    raw: Float
    labels: Mask
    pixels: Float
    scene: Scene
    window: Window


def block_of(scene: Scene, window: Window, detector: Detector, settings: InferenceSettings) -> Block:
    """Run the network over one block as if there were nothing around it."""
    pixels = scene.pixels[:, window.rows, window.cols]
    scaled = detector.contract.scale(pixels)
    shape = (window.height, window.width)
    raw = np.full(shape, np.nan, np.float32)
    device = pick_device(settings)
    for part, found in raw_probability(lambda w: scaled[:, w.rows, w.cols], shape, detector, device, settings):
        raw[part.slices] = found
    return Block(raw, observed_mask(scene)[window.slices], pixels, scene, window)


def validation_blocks(prepared: Prepared, detector: Detector, settings: InferenceSettings) -> list[Block]:
    """All validation blocks with their network probabilities."""
    return [
        block_of(scene, window, detector, settings)
        for scene, part in zip(prepared.scenes, prepared.split.scenes, strict=True)
        for window in part.validation
    ]


def fit_calibration(blocks: Sequence[Block]) -> Calibration:
    """Platt scaling and threshold on all known pixels of the blocks."""
    known = [b.labels <= MINE for b in blocks]
    raw = np.concatenate([b.raw[k] for b, k in zip(blocks, known, strict=True)])
    return calibrate.fit(raw, np.concatenate([b.labels[k] for b, k in zip(blocks, known, strict=True)]))


@dataclass(frozen=True)
class Assessment:
    """Scores of a calibrated model on blocks.

    Args:
        content: what `evaluation.json` holds.
        ratio: predicted against labelled hectares.
    """

    content: dict[str, Any]
    ratio: Ratio


def assess(blocks: Iterable[Block], calibration: Calibration, threshold: float, names: Sequence[str]) -> Assessment:
    """Score blocks at a threshold, and what simple rules reach on the same pixels.

    Args:
        blocks: scored ground.
        calibration: turns raw into calibrated probability.
        threshold: from which a pixel is mine.
        names: band names of the blocks' pixels.
    """
    counts: list[Counts] = []
    predicted_ha = labelled_ha = 0.0
    probability, mine, sampled = [], [], []
    for block in blocks:
        calibrated = calibration.probability(block.raw)
        predicted = calibrated >= np.float32(threshold)
        counts.append(count(predicted, block.labels))
        known = block.labels <= MINE
        area = _hectares(block, (predicted & known, (block.labels == MINE)))
        predicted_ha, labelled_ha = predicted_ha + area[0], labelled_ha + area[1]
        probability.append(calibrated[known])
        mine.append(block.labels[known] == MINE)
        sampled.append(block.pixels[:, known])
    pooled = sum(counts, Counts())
    p, m = np.concatenate(probability), np.concatenate(mine)
    baseline = _baseline(np.concatenate(sampled, axis=1), m, names)
    interval = block_interval(counts, seed=0)
    content = {
        "iou": _rounded(pooled.iou),
        "dice": _rounded(pooled.dice),
        "precision": _rounded(pooled.precision),
        "recall": _rounded(pooled.recall),
        "baseline_iou": _rounded(baseline.iou),
        "baseline": f"{baseline.name} {'>=' if baseline.above else '<='} {baseline.threshold:.4g}",
        "all_background_iou": 0.0,
        "all_mine_iou": _rounded(float(m.mean())),
        "ci95": None if interval is None else [_rounded(interval[0]), _rounded(interval[1])],
        "threshold": round(threshold, 4),
        "pixels": pooled.pixels,
        "blocks": len(counts),
        "blocks_with_mines": sum(c.tp + c.fn > 0 for c in counts),
        "predicted_ha": round(predicted_ha, 2),
        "labelled_ha": round(labelled_ha, 2),
        "calibration": calibration.to_json(),
        "reliability": calibrate.reliability(p, m),
    }
    return Assessment(content, Ratio(predicted_ha, labelled_ha))


def _hectares(block: Block, chosen: Sequence[npt.NDArray[np.bool_]]) -> list[float]:
    grid = crop(block.scene.raster.grid, block.window)
    return [float(zone_hectares(c.astype(np.uint8), grid, 2)[1]) for c in chosen]


def _baseline(pixels: Float, mine: npt.NDArray[np.bool_], names: Sequence[str]) -> IndexBaseline:
    step = max(1, -(-mine.size // MOST_BASELINE_PX))
    return best_single_index(pixels[:, ::step], mine[::step], names)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def evaluate_model(
    detector: Detector, files: Sequence[SceneFiles], settings: Settings, mine_classes: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """Score a model on labelled scenes, pooled over all their known pixels.

    Returns:
        What `evaluate --json` prints.
    """
    names = detector.contract.names
    blocks = []
    for number, one in enumerate(files, start=1):
        raster, _ = detector.contract.at_pixel_size(open_raster(one.image), settings.resample)
        detector.contract.reading(raster, settings.bands, settings.reflectance_offset)
        scene = load_scene(one, names, settings, mine_classes, raster)
        require_unblocked(scene)
        blocks.append(block_of(scene, whole(scene.raster.shape), detector, settings))
        progress(number, len(files))
    threshold = settings.threshold or detector.calibration.threshold
    taught = set(detector.provenance.get("scenes", {}).values())
    seen = [one.name for one in files if sha256_of(one.image) in taught]
    return {**assess(blocks, detector.calibration, threshold, names).content, "seen_in_training": seen}
