"""Windowed inference: every pixel predicted, windows blended, memory bounded by a row of windows."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio.features
import torch
from odc.geo.geobox import GeoBox

from minedetect.bands import Reading, filled
from minedetect.cog import CogProfile, cog_writer, write_cog
from minedetect.config import InferenceSettings
from minedetect.grid import Window, shape_of, starts, whole
from minedetect.measure import M2_PER_HA, PixelArea, hectares
from minedetect.model import FACTOR_PX, Detector, Device, on_device, pick_device
from minedetect.raster import IGNORE, MINE, Float, Mask, Raster, valid
from minedetect.runs import Progress
from minedetect.tiles import turn, turn_back

ReadBand = Callable[[Window], Float]
"""Scaled pixels float32 (C, H, W) of a full-width band of the scene; NaN where unobserved."""
Network = Callable[[Float], Float]
"""Probability of mine float32 (N, H, W) of scaled pixels float32 (N, C, H, W)."""

PROBABILITY_DECIMALS = 4
"""Stored probabilities are rounded to this, and classes follow from the stored values."""


@dataclass(frozen=True)
class Plan:
    """How a scene is covered: windows on the scene grown by a reflected margin.

    Args:
        shape: (H, W) of the scene.
        tile: (height, width) of a window, multiples of 16.
        margin_px: reflected border on every side, so that no scene pixel lies at a window's very edge.
        rows: first row of each row of windows, on the grown scene.
        cols: first column likewise.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    margin_px: int
    rows: tuple[int, ...]
    cols: tuple[int, ...]


def plan(shape: tuple[int, int], window_px: int, overlap: float) -> Plan:
    """Cover an (H, W) scene, last row and column included, whatever its size."""
    margin = int(window_px * overlap) // 2
    grown = [n + 2 * margin for n in shape]
    height, width = (min(window_px, -(-n // FACTOR_PX) * FACTOR_PX) for n in grown)
    rows, cols = (starts(max(n, t), t, max(1, t - 2 * margin)) for n, t in zip(grown, (height, width), strict=True))
    return Plan(shape, (height, width), margin, tuple(rows), tuple(cols))


def taper(size_px: int) -> Float:
    """Blending weight along one axis: raised cosine, float32 (size_px,), nowhere zero."""
    phase = (np.arange(size_px) + 0.5) / size_px
    return np.asarray(np.sin(np.pi * phase) ** 2 + 1e-3, dtype=np.float32)


def blend(read: ReadBand, network: Network, how: Plan, batch: int = 1) -> Iterator[tuple[Window, Float]]:
    """Probability of mine of a whole scene, band by band from top to bottom.

    Overlapping windows are averaged with a positive taper; an identity network gives back its
    input for any size, window and overlap. Windows without any observation are not computed.

    Args:
        read: gives scaled pixels of a band of the scene.
        network: gives probabilities.
        how: the plan.
        batch: windows per call of the network.

    Yields:
        Full-width bands and their probability, float32 (H, W), NaN where a band is unobserved.
    """
    height, width = how.tile
    weight = taper(height)[:, None] * taper(width)[None, :]
    total = np.zeros((height, how.cols[-1] + width), np.float32)
    weights = np.zeros_like(total)
    for row, following in pairwise([*how.rows, how.rows[-1] + height]):
        pixels = _grown_band(read, how, row)
        unobserved = ~valid(pixels)
        cols = [col for col in how.cols if not unobserved[:, col : col + width].all()]
        for at in range(0, len(cols), batch):
            group = cols[at : at + batch]
            found = network(np.stack([filled(pixels[:, :, col : col + width]) for col in group]))
            for col, probability in zip(group, found, strict=True):
                total[:, col : col + width] += probability * weight
                weights[:, col : col + width] += weight
        finished = Window(row - how.margin_px, -how.margin_px, following - row, total.shape[1])
        on_scene = finished.intersection(whole(how.shape))
        if on_scene is not None:
            here = on_scene.shifted(how.margin_px - row, how.margin_px).slices
            blended = np.asarray(total[here] / np.maximum(weights[here], np.float32(1e-12)), np.float32)
            blended[unobserved[here]] = np.nan
            yield on_scene, blended
        total, weights = (_scrolled(a, following - row) for a in (total, weights))


def _grown_band(read: ReadBand, how: Plan, row: int) -> Float:
    """One row of windows on the grown scene, (C, height, grown width), reflected beyond the scene."""
    wanted = Window(row - how.margin_px, -how.margin_px, how.tile[0], how.cols[-1] + how.tile[1])
    seen = wanted.intersection(Window(0, 0, *how.shape))
    if seen is None:
        raise ValueError(f"row {row} of the plan lies outside the scene")
    pad = (
        (0, 0),
        (seen.row - wanted.row, wanted.row_end - seen.row_end),
        (seen.col - wanted.col, wanted.col_end - seen.col_end),
    )
    return np.pad(read(seen), pad, mode="reflect")


def _scrolled(rows: Float, by_px: int) -> Float:
    moved = np.zeros_like(rows)
    moved[: rows.shape[0] - by_px] = rows[by_px:]
    return moved


def network_of(detector: Detector, device: Device, eightfold: bool) -> Network:
    """The detector as a function of numpy arrays: raw probability of mine, not yet calibrated."""
    net = on_device(detector.net, device).eval()

    def probability(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
            logits = net(x.contiguous(memory_format=torch.channels_last))
        mine: torch.Tensor = logits.float().softmax(dim=1)[:, MINE]
        return mine

    def network(pixels: Float) -> Float:
        with torch.inference_mode():
            x = torch.from_numpy(pixels).to(device.torch)
            turns = range(8) if eightfold else range(1)
            found = torch.stack([turn_back(probability(turn(x, t)), t) for t in turns]).mean(dim=0)
            result: Float = found.cpu().numpy()
            return result

    return network


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


def raw_probability(
    read: ReadBand, shape: tuple[int, int], detector: Detector, device: Device, settings: InferenceSettings
) -> Iterator[tuple[Window, Float]]:
    """Blended network probability of a scene or of one block, before calibration."""
    how = plan(shape, settings.window_px, settings.window_overlap)
    batch = 8 if device.kind == "cuda" else 1
    yield from blend(read, network_of(detector, device, settings.eightfold), how, batch)


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
    """

    classes: Mask
    grid: GeoBox
    mine_ha: float
    seconds: float
    mpx_per_s: float
    peak_rss_mb: float

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


def predict_scene(reader: SceneReader, settings: InferenceSettings, output: Output, progress: Progress) -> Prediction:
    """Predict an image and write its class raster, and its probability raster where asked.

    Args:
        reader: the image as the model wants it.
        settings: windows, threshold, sieve, device.
        output: the files.
        progress: told the rows done.

    Raises:
        BandMismatch: the image does not satisfy the contract.
        BadInput: the image cannot be read, or a file not written.
    """
    started = time.perf_counter()
    grid, detector = reader.raster.grid, reader.detector
    device = pick_device(settings)
    threshold = settings.threshold or detector.calibration.threshold
    classes = np.full(shape_of(grid), IGNORE, np.uint8)
    floating = CogProfile("float32", math.nan, ("mine_probability",), output.tags)
    with ExitStack() as stack:
        write = stack.enter_context(cog_writer(output.probability, grid, floating)) if output.probability else None
        for window, raw in raw_probability(reader, shape_of(grid), detector, device, settings):
            probability = np.round(detector.calibration.probability(raw), PROBABILITY_DECIMALS)
            if write is not None:
                write(probability, window)
            classes[window.slices] = classified(probability, threshold)
            progress(window.row_end, grid.shape[0])
    classes = sieved(classes, grid, settings.min_patch_ha)
    write_cog(output.prediction, classes, grid, CogProfile("uint8", IGNORE, ("mine",), output.tags))
    seconds = time.perf_counter() - started
    return Prediction(
        classes=classes,
        grid=grid,
        mine_ha=hectares(classes, grid, MINE),
        seconds=seconds,
        mpx_per_s=classes.size / 1e6 / seconds,
        peak_rss_mb=peak_rss_mb(),
    )


def classified(probability: Float, threshold: float) -> Mask:
    """0 or 1 by a threshold, IGNORE where the probability is NaN: uint8, same shape."""
    return np.where(np.isnan(probability), IGNORE, probability >= np.float32(threshold)).astype(np.uint8)


def sieved(classes: Mask, grid: GeoBox, min_patch_ha: float) -> Mask:
    """Merge patches below a size into what surrounds them (8-connected); nodata is left alone.

    Args:
        classes: uint8 (H, W), 0, 1 or IGNORE.
        grid: where it lies.
        min_patch_ha: smallest patch kept; 0 keeps all.
    """
    centre = Window(grid.shape[0] // 2, grid.shape[1] // 2, 1, 1)
    pixel_ha = float(PixelArea(grid).m2(centre)[0, 0]) / M2_PER_HA
    smallest_px = math.ceil(min_patch_ha / pixel_ha - 1e-9)
    observed = classes != IGNORE
    if smallest_px < 2 or not observed.any():
        return classes
    kept: Mask = rasterio.features.sieve(classes, smallest_px, mask=observed, connectivity=8)
    kept[~observed] = IGNORE
    return kept


def peak_rss_mb() -> float:
    """Peak memory of this process so far, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
