"""Prediction of a scene: read ahead, computed in windows, written behind; taken up again where it was killed."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from odc.geo.geobox import GeoBox

from minedetect.bands import Reading
from minedetect.cog import CogProfile, Write, cog_writer, write_cog
from minedetect.config import InferenceSettings
from minedetect.devices import Device, is_out_of_memory, peak_rss_mb, pick_device
from minedetect.errors import BadInput, DeviceError
from minedetect.files import forget_killed, sha256_once
from minedetect.grid import Window, shape_of
from minedetect.measure import hectares
from minedetect.model import Detector
from minedetect.network import network_of
from minedetect.raster import IGNORE, MINE, Float, Mask, Raster
from minedetect.runs import Progress
from minedetect.sieve import classified, sieved
from minedetect.stored import digest_of
from minedetect.threads import behind
from minedetect.unfinished import Unfinished
from minedetect.windows import Network, ReadWindow, in_bands, plan

logger = logging.getLogger("minedetect")

PROBABILITY_DECIMALS = 4
"""Stored probabilities are rounded to this, and classes follow from the stored values."""
LEAST_WINDOW_PX = 64
"""Where memory is too small for such a window, nothing can be computed."""


def unwatched(_done: int, _total: int) -> None:
    """For callers who do not watch."""


@dataclass(frozen=True)
class Watch:
    """What happens while bands are computed, and where that begins.

    Args:
        progress: told the rows done.
        tell: given sentences on what had to be done otherwise than asked.
        first_row: rows above it are known already.
    """

    progress: Progress = unwatched
    tell: Callable[[str], None] = logger.info
    first_row: int = 0


def within_memory(
    read: ReadWindow, network: Network, shape: tuple[int, int], window_px: int, watch: Watch
) -> Generator[tuple[Window, Float]]:
    """Bands of a scene as `in_bands` gives them, in smaller windows from where memory runs out.

    Raises:
        DeviceError: memory runs out however small the windows.
    """
    row = watch.first_row
    while row < shape[0]:
        how = plan(shape, window_px, network)
        try:
            with closing(in_bands(read, network, how, watch.progress, row)) as bands:
                for window, found in bands:
                    yield window, found
                    row = window.row_end
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            too_large_px = max(how.core)
            if too_large_px <= LEAST_WINDOW_PX:
                raise DeviceError(
                    f"Memory ran out with windows of {too_large_px} px, the smallest there are. "
                    "Close other programs, or predict on another device (--device cpu)."
                ) from error
            window_px = too_large_px // 2
            watch.tell(f"Memory ran out with windows of {too_large_px} px: from row {row} on they were {window_px} px.")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def raw_probability(
    read: ReadWindow,
    shape: tuple[int, int],
    detector: Detector,
    settings: InferenceSettings,
    watch: Watch | None = None,
) -> Generator[tuple[Window, Float]]:
    """Network probability of a scene or of one block, before calibration, in full-width bands from top to bottom."""
    network = network_of(detector, pick_device(settings), settings.eightfold)
    return within_memory(read, network, shape, settings.window_px, watch or Watch())


@dataclass(frozen=True)
class SceneReader:
    """Scaled pixels of one image, as a model wants them.

    Args:
        raster: the image, perhaps seen on another grid.
        reading: which bands, in which unit.
        detector: whose contract scales them.
    """

    raster: Raster
    reading: Reading
    detector: Detector

    def __call__(self, window: Window) -> Float:
        return self.detector.contract.scale(self.reading.read(self.raster, window))


@dataclass(frozen=True)
class Prediction:
    """One predicted date.

    Args:
        classes: uint8 (H, W): 0, 1, IGNORE where unobserved; sieved.
        grid: where it lies.
        mine_ha: hectares of mine.
        seconds: wall time.
        mpx_per_s: scene megapixels a second.
        peak_rss_mb: the process's peak memory in MB so far.
        notes: sentences on what had to be done otherwise than asked.
    """

    classes: Mask
    grid: GeoBox
    mine_ha: float
    seconds: float
    mpx_per_s: float
    peak_rss_mb: float
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, float]:
        """What `predict --json` prints."""
        return {
            "mine_ha": round(self.mine_ha, 2),
            "seconds": round(self.seconds, 2),
            "mpx_per_s": round(self.mpx_per_s, 3),
            "peak_rss_mb": round(self.peak_rss_mb),
        }


@dataclass(frozen=True)
class Output:
    """Where a prediction goes.

    Args:
        prediction: the class raster.
        probability: the probability raster, or None.
        tags: metadata both carry.
    """

    prediction: Path
    probability: Path | None
    tags: Mapping[str, str]


def identity_of(reader: SceneReader, device: Device, settings: InferenceSettings) -> str:
    """SHA-256 of all that raw probabilities follow from: image, how it is read, model, windows, precision, versions."""
    raster, reading, detector = reader.raster, reader.reading, reader.detector
    content = {
        "image": sha256_once(raster.path),
        "grid": [str(raster.grid.crs), list(raster.grid.transform), list(raster.shape)],
        "raster": [raster.data_bands, raster.nodata, raster.warp_to is not None, raster.nearest, raster.flipped],
        "reading": [reading.positions, reading.unit, reading.scale, reading.offset, reading.matching],
        "model": [digest_of(detector.net.state_dict()), detector.net.coarsen, detector.contract.to_json()],
        "calibration": detector.calibration.to_json(),
        "settings": [settings.window_px, settings.eightfold, PROBABILITY_DECIMALS],
        "device": [device.name, device.precision, torch.__version__],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def predict_scene(reader: SceneReader, settings: InferenceSettings, output: Output, progress: Progress) -> Prediction:
    """Predict an image and write its class raster, and its probability raster where asked.

    Bands of rows are kept beside the output as they are finished: where an earlier attempt at the same was stopped or
    killed, this one goes on from them, to the same pixels.

    Args:
        reader: the image as the model wants it.
        settings: windows, threshold, sieve, device.
        output: the files.
        progress: told the rows done.

    Raises:
        BandMismatch: the image does not satisfy the contract.
        BadInput: the image cannot be read, or a file not written.
        DeviceError: there is no such device, or too little memory for the smallest window.
    """
    started = time.perf_counter()
    grid, notes = reader.raster.grid, list[str]()
    threshold = settings.threshold or reader.detector.calibration.threshold
    unfinished = Unfinished(output.prediction, identity_of(reader, pick_device(settings), settings), shape_of(grid))
    unfinished.begin()

    def tell(sentence: str) -> None:
        logger.info(sentence)
        notes.append(sentence)

    with _probability_writer(output, grid) as write:
        _compute(reader, settings, unfinished, write, Watch(progress, tell))
    classes = sieved(_classes_of(unfinished, threshold), grid, settings.min_patch_ha)
    write_cog(output.prediction, classes, grid, CogProfile("uint8", IGNORE, ("mine",), output.tags))
    unfinished.forget()
    seconds = time.perf_counter() - started
    return Prediction(
        classes=classes,
        grid=grid,
        mine_ha=hectares(classes, grid, MINE),
        seconds=seconds,
        mpx_per_s=classes.size / 1e6 / seconds,
        peak_rss_mb=peak_rss_mb(),
        notes=tuple(notes),
    )


@contextmanager
def _probability_writer(output: Output, grid: GeoBox) -> Iterator[Write]:
    """What writes the probability raster; it does nothing where none is asked for."""
    if output.probability is None:
        yield lambda _pixels, _window: None
        return
    forget_killed(output.probability)
    floating = CogProfile("float32", math.nan, ("mine_probability",), output.tags, rounded=True)
    with cog_writer(output.probability, grid, floating) as write:
        yield write


def _compute(
    reader: SceneReader,
    settings: InferenceSettings,
    unfinished: Unfinished,
    write: Write,
    watch: Watch,
) -> None:
    """Keep and write the calibrated probability of every band in order; what was kept before is only written."""
    calibration, (rows, _) = reader.detector.calibration, unfinished.shape

    def keep_and_write(raw: Float, window: Window) -> None:
        probability = np.round(calibration.probability(raw), PROBABILITY_DECIMALS)
        unfinished.keep(window, probability)
        write(probability, window)

    with behind(lambda work, pixels, window: work(pixels, window)) as hand_over:
        for window, probability in unfinished.bands():
            hand_over(write, probability, window)
            watch.progress(window.row_end, rows)
            watch = replace(watch, first_row=window.row_end)
        with closing(raw_probability(reader, unfinished.shape, reader.detector, settings, watch)) as bands:
            for window, raw in bands:
                hand_over(keep_and_write, raw, window)


def _classes_of(unfinished: Unfinished, threshold: float) -> Mask:
    """Classes of all bands; made when the network's memory is free again, so that they add nothing to the peak.

    Raises:
        BadInput: the bands are not all there any more.
    """
    classes, done = np.full(unfinished.shape, IGNORE, np.uint8), 0
    for window, probability in unfinished.bands():
        classes[window.slices] = classified(probability, threshold)
        done = window.row_end
    if done < unfinished.shape[0]:
        raise BadInput(
            "WRITE",
            f"Of {unfinished.shape[0]} rows predicted for {unfinished.output}, only {done} are still on disk: perhaps "
            "another command writes the same file. Give each its own, then try again.",
        )
    return classes
