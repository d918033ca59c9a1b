"""How good is a model: on validation blocks, where it also gets its threshold, and on labelled scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minedetect import calibrate
from minedetect.bands import sample_pixels
from minedetect.calibrate import Calibration
from minedetect.config import InferenceSettings, Settings
from minedetect.grid import Window, crop, whole
from minedetect.intake import open_image
from minedetect.measure import Counts, IndexBaseline, best_single_index, block_interval, count, zone_hectares
from minedetect.model import Detector, pick_device
from minedetect.plausible import Ratio
from minedetect.predict import raw_probability
from minedetect.prepare import Prepared
from minedetect.raster import MINE, Float, Mask
from minedetect.runs import Progress, sha256_of
from minedetect.scenes import Scene, SceneFiles, admit_scenes, load_scene, require_unblocked
from minedetect.tiff import Limits

MOST_BASELINE_PX = 2_000_000


@dataclass(frozen=True)
class Block:
    """Scored ground: one validation block, or one whole scene.

    Args:
        raw: float32 (H, W), network probability before calibration, NaN where unobserved.
        labels: uint8 (H, W), 0, 1, or IGNORE.
        sample: float32 (C, N), some known pixels, for the baselines.
        sample_mine: bool (N,), which of them are labelled mine.
        scene: which it belongs to.
        window: where it lies in its scene.
    """

    raw: Float
    labels: Mask
    sample: Float
    sample_mine: npt.NDArray[np.bool_]
    scene: Scene
    window: Window


def block_of(scene: Scene, window: Window, detector: Detector, settings: InferenceSettings) -> Block:
    """Run the network over one block as if there were nothing around it."""
    shape = (window.height, window.width)
    raw = np.full(shape, np.nan, np.float32)

    def read(part: Window) -> Float:
        return scene.read(part.shifted(window.row, window.col))

    def scaled(part: Window) -> Float:
        return detector.contract.scale(read(part))

    for part, found in raw_probability(scaled, shape, detector, pick_device(settings), settings):
        raw[part.slices] = found
    labels = scene.known[window.slices]

    def with_labels(part: Window) -> Float:
        return np.concatenate([read(part), labels[part.slices][None].astype(np.float32)])

    sample = sample_pixels(with_labels, labels <= MINE, seed=0, most=MOST_BASELINE_PX)
    return Block(raw, labels, sample[:-1], sample[-1] == MINE, scene, window)


def validation_blocks(prepared: Prepared, detector: Detector, settings: InferenceSettings) -> list[Block]:
    """All validation blocks with their network probabilities."""
    return [
        block_of(scene, window, detector, settings)
        for scene, part in zip(prepared.scenes, prepared.split.scenes, strict=True)
        for window in part.validation
    ]


def test_blocks(prepared: Prepared, detector: Detector, settings: InferenceSettings) -> list[Block]:
    """All blocks that chose nothing, with their network probabilities; none where no test part was kept."""
    return [
        block_of(scene, window, detector, settings)
        for scene, part in zip(prepared.scenes, prepared.split.scenes, strict=True)
        for window in part.test
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
    probability, mine, samples = [], [], []
    for block in blocks:
        calibrated = calibration.probability(block.raw)
        predicted = calibrated >= np.float32(threshold)
        counts.append(count(predicted, block.labels))
        known = block.labels <= MINE
        area = _hectares(block, (predicted & known, (block.labels == MINE)))
        predicted_ha, labelled_ha = predicted_ha + area[0], labelled_ha + area[1]
        probability.append(calibrated[known])
        mine.append(block.labels[known] == MINE)
        samples.append((block.sample, block.sample_mine))
    pooled = sum(counts, Counts())
    p, m = np.concatenate(probability), np.concatenate(mine)
    baseline = _baseline(samples, names)
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


def _baseline(samples: Sequence[tuple[Float, npt.NDArray[np.bool_]]], names: Sequence[str]) -> IndexBaseline:
    pixels = np.concatenate([p for p, m in samples if m.size], axis=1)
    mine = np.concatenate([m for _, m in samples if m.size])
    step = max(1, -(-mine.size // MOST_BASELINE_PX))
    return best_single_index(pixels[:, ::step], mine[::step], names)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def evaluate_model(
    detector: Detector, files: Sequence[SceneFiles], settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Score a model on labelled scenes, pooled over all their known pixels.

    Returns:
        What `evaluate --json` prints.
    """
    names = detector.contract.names
    admit_scenes(files, settings)
    blocks = []
    for number, one in enumerate(files, start=1):
        raster, _ = detector.contract.at_pixel_size(open_image(one.image, Limits.of(settings)), settings.resample)
        detector.contract.reading(raster, settings.bands, settings.reflectance_offset)
        scene = load_scene(one, settings, names, raster)
        require_unblocked(scene)
        blocks.append(block_of(scene, whole(scene.raster.shape), detector, settings))
        progress(number, len(files))
    threshold = settings.threshold or detector.calibration.threshold
    taught = set(detector.provenance.get("scenes", {}).values())
    seen = [one.name for one in files if sha256_of(one.image) in taught]
    return {**assess(blocks, detector.calibration, threshold, names).content, "seen_in_training": seen}
