"""How good is a model: on validation blocks, where it also gets its threshold, and on labelled scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from odc.geo.geobox import GeoBox

from minedetect import calibrate
from minedetect.bands import sample_pixels
from minedetect.calibrate import Calibration, Cuts, Tenths
from minedetect.config import InferenceSettings, Settings
from minedetect.files import sha256_once
from minedetect.findings import listed
from minedetect.grid import Window, crop, row_bands, whole
from minedetect.intake import open_image
from minedetect.measure import IndexBaseline, PixelArea, best_single_index
from minedetect.model import Detector, taught_sha256, together
from minedetect.places import ground_clusters
from minedetect.predict import raw_probability
from minedetect.prepare import Prepared
from minedetect.raster import MINE, Float, Mask
from minedetect.runs import Progress
from minedetect.scenes import Scene, SceneFiles, admit_scenes, load_scene, require_unblocked
from minedetect.scorecard import Evidence, Ground, choice_note, content_of
from minedetect.shared_labels import completed
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

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Where there is both a label and a probability: bool (H, W)."""
        return (self.labels <= MINE) & ~np.isnan(self.raw)

    @property
    def grid(self) -> GeoBox:
        return crop(self.scene.raster.grid, self.window)


def block_of(scene: Scene, window: Window, detector: Detector, settings: InferenceSettings) -> Block:
    """Run the network over one block as if there were nothing around it."""
    shape = (window.height, window.width)
    raw = np.full(shape, np.nan, np.float32)

    def read(part: Window) -> Float:
        return scene.read(part.shifted(window.row, window.col))

    def scaled(part: Window) -> Float:
        return detector.contract.scale(read(part))

    for part, found in raw_probability(scaled, shape, detector, settings):
        raw[part.slices] = found
    labels = scene.known[window.slices]

    def with_labels(part: Window) -> Float:
        return np.concatenate([read(part), labels[part.slices][None].astype(np.float32)])

    sample = sample_pixels(with_labels, labels <= MINE, seed=0, most=MOST_BASELINE_PX)
    if not sample.size:
        sample = np.zeros((len(detector.contract.names) + 1, 0), np.float32)
    return Block(raw, labels, sample[:-1], sample[-1] == MINE, scene, window)


def validation_blocks(prepared: Prepared, detectors: Sequence[Detector], settings: InferenceSettings) -> list[Block]:
    """All validation blocks with the probabilities of the network of their fold, which did not learn there."""
    return [
        block_of(scene, window, detector, settings)
        for fold, detector in zip(prepared.split.folds, detectors, strict=True)
        for scene, part in zip(prepared.scenes, fold.scenes, strict=True)
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
    """Platt scaling and threshold on all known pixels of the blocks, each place of them a piece of ground."""
    known = [b.known for b in blocks]
    raw = np.concatenate([b.raw[k] for b, k in zip(blocks, known, strict=True)])
    labels = np.concatenate([b.labels[k] for b, k in zip(blocks, known, strict=True)])
    together = ground_clusters([b.grid for b in blocks])
    place_of = {block: place for place, members in enumerate(together) for block in members}
    places = [np.full(int(k.sum()), place_of[number], np.int64) for number, k in enumerate(known)]
    return calibrate.fit(raw, labels, np.concatenate(places))


@dataclass(frozen=True)
class Assessment:
    """Scores of a calibrated model on blocks.

    Args:
        content: what `evaluation.json` holds.
    """

    content: dict[str, Any]


def assess(blocks: Iterable[Block], calibration: Calibration, threshold: float, names: Sequence[str]) -> Assessment:
    """Score blocks at a threshold, and what simple rules reach on the same pixels.

    Args:
        blocks: scored ground, at least one; each is counted and let go, so that they may be made one by one.
        calibration: turns raw into calibrated probability.
        threshold: from which a pixel is mine.
        names: band names of the blocks' pixels.
    """
    counted: list[Ground] = []
    grids: list[GeoBox] = []
    samples: list[_Sample] = []
    for block in blocks:
        counted.append(_counted(block, calibration, Cuts.edges_with(threshold)))
        grids.append(block.grid)
        samples = _thinned([*samples, _Sample(block.sample, block.sample_mine, int(block.known.sum()))])
    evidence = Evidence(counted, ground_clusters(grids), _baseline(samples, names))
    return Assessment(content_of(evidence, threshold, calibration))


def _counted(block: Block, calibration: Calibration, edges: npt.NDArray[np.float32]) -> Ground:
    """Count a block in bands of rows, so that memory stays bounded."""
    area, known = PixelArea(block.grid), block.known
    total: tuple[Cuts, Tenths, Tenths] | None = None
    for band in row_bands((known.shape[0], known.shape[1])):
        here = known[band.slices]
        raw, mine = block.raw[band.slices][here], block.labels[band.slices][here] == MINE
        calibrated = calibration.probability(raw)
        cuts = Cuts.of(calibrated, mine, area.m2(band)[here], edges)
        before, after = Tenths.of(raw, mine), Tenths.of(calibrated, mine)
        total = (total[0] + cuts, total[1] + before, total[2] + after) if total else (cuts, before, after)
    if total is None:
        raise ValueError("a block has no rows")
    mines = scipy.ndimage.label(block.labels == MINE, np.ones((3, 3)))[1]
    return Ground(*total, mines=int(mines))


@dataclass(frozen=True)
class _Sample:
    """Some known pixels of one block, float32 (C, N), which are mine, bool (N,), and of how many they were drawn."""

    pixels: Float
    mine: npt.NDArray[np.bool_]
    of: int


def _thinned(samples: list[_Sample]) -> list[_Sample]:
    """Every second pixel while there are more than memory should hold, of large samples first."""
    while sum(s.mine.size for s in samples) > MOST_BASELINE_PX:
        largest = max(s.mine.size for s in samples)
        samples = [
            _Sample(s.pixels[:, ::2].copy(), s.mine[::2].copy(), s.of) if 2 * s.mine.size > largest else s
            for s in samples
        ]
    return samples


def _baseline(samples: Sequence[_Sample], names: Sequence[str]) -> IndexBaseline:
    """The best single index over all blocks, each pixel standing for as many as its block's sample leaves out."""
    drawn = [s for s in samples if s.mine.size]
    if not drawn:
        return IndexBaseline("none", 0.0, True, 0.0)
    weights = np.concatenate([np.full(s.mine.size, s.of / s.mine.size) for s in drawn])
    pixels = np.concatenate([s.pixels for s in drawn], axis=1)
    return best_single_index(pixels, np.concatenate([s.mine for s in drawn]), names, weights)


def assess_training(
    prepared: Prepared, detectors: Sequence[Detector], settings: InferenceSettings
) -> tuple[Calibration, Assessment]:
    """Calibrate on the validation blocks, score there and on the test part, and say which score to quote.

    Args:
        prepared: scenes and split that the network was trained on.
        detectors: the network of the chosen epoch of each fold, not yet calibrated.
        settings: windows, device, and a threshold where the user sets one.

    Returns:
        The calibration, and the assessment on validation ground with that on test ground within.
    """
    names, blocks = prepared.contract.names, validation_blocks(prepared, detectors, settings)
    calibration = fit_calibration(blocks)
    threshold = settings.threshold or calibration.threshold
    evaluation = assess(blocks, calibration, threshold, names)
    tested = test_blocks(prepared, together(detectors), settings)
    if tested:
        evaluation.content["test"] = assess(tested, calibration, threshold, names).content
    chosen = ["epoch", "calibration", *(() if settings.threshold else ("threshold",))]
    evaluation.content["chosen_on_validation"] = chosen
    evaluation.content["note"] = choice_note(chosen, evaluation.content.get("test")) + _folds_note(len(detectors))
    return calibration, evaluation


def _folds_note(count: int) -> str:
    if count == 1:
        return ""
    return (
        f" Each place was judged by the one of {count} networks that did not learn there; the model averages all, and "
        "its probabilities are calibrated by those single judgements."
    )


def evaluate_model(
    detector: Detector, files: Sequence[SceneFiles], settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Score a model on labelled scenes, pooled over all their known pixels.

    Returns:
        What `evaluate --json` prints.
    """
    names = detector.contract.names
    admit_scenes(files, settings)

    def loaded(one: SceneFiles) -> Scene:
        raster, _ = detector.contract.at_pixel_size(open_image(one.image, Limits.of(settings)), settings.resample)
        detector.contract.reading(raster, settings.bands, settings.reflectance_offset)
        scene = load_scene(one, settings, names, raster)
        require_unblocked(scene)
        return scene

    scenes, doubts = completed([loaded(one) for one in files], settings.share_labels)

    def scored() -> Iterator[Block]:
        for number, scene in enumerate(scenes, start=1):
            yield block_of(scene, whole(scene.raster.shape), detector, settings)
            progress(number, len(scenes))

    threshold = settings.threshold or detector.calibration.threshold
    content = assess(scored(), detector.calibration, threshold, names).content
    content["warnings"].extend(doubts)
    taught = taught_sha256(detector)
    seen = [one.name for one in files if sha256_once(one.image) in taught]
    return {**content, "seen_in_training": seen, "note": _seen_note(seen)}


def _seen_note(seen: Sequence[str]) -> str:
    if seen:
        return f"{listed(seen)} helped to make this model, in training or validation: this score flatters it."
    return (
        "None of these image files helped to make this model. Where they show other ground than its training did, "
        "this is a score to quote."
    )
