"""Prediction end to end against the bare forward pass of the same network, and against a plain loop, in one run.

    python benchmarks/predict.py [ROWS COLS [WIDTH]] [--run RUN_FOLDER]

The first figure holds reading, scaling, keeping bands, sieving and writing; the bare pass, before and after it, only
the same network on a window of the same size. The plain loop is what is often written: tiles of 256 px every 128 px,
one after another, float32, batch norm as trained, probabilities averaged; it is timed on some tiles and scaled to the
scene. With --run, both predict the first date of the built-in district in a finished run and are scored against its
truth. Ratios are what to compare between machines; absolute figures are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from minedetect.bands import BandContract, filled
from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.devices import peak_rss_mb, pick_device
from minedetect.evidence import count_classes
from minedetect.grid import Window, plan_windows, whole
from minedetect.model import Detector, Net, UNet, load, on_device
from minedetect.network import folded, network_of
from minedetect.pipeline import scene_reader
from minedetect.predict import Output, predict_scene, unwatched
from minedetect.presets import settings_from
from minedetect.raster import MINE, Float, open_raster, read_classes
from minedetect.sieve import classified, sieved
from minedetect.synthetic import BANDS, make_district
from minedetect.windows import plan

TILES_PX = (256, 128)


def machine() -> str:
    """What the figures hang on: processor, threads, which quick arithmetic it has."""
    about = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    facts = dict(line.split(":", 1) for line in about.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = facts.get("flags", "").split()
    quick = ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in ("avx512_bf16", "amx_bf16"))
    return f"{facts.get('model name', '?')}, {torch.get_num_threads()} threads, {quick}, torch {torch.__version__}"


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of processor time over all threads: the second bears it when others compute too."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:8.1f} s by the clock, {self.cpu_s:8.1f} s of processor"

    def times(self, factor: float) -> Took:
        return Took(self.wall_s * factor, self.cpu_s * factor)

    def over(self, other: Took) -> str:
        return f"{self.wall_s / other.wall_s:8.2f} by the clock, {self.cpu_s / other.cpu_s:8.2f} of processor"


def timed(work: Callable[[], object]) -> Took:
    """How long a piece of work takes."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def mean(parts: Sequence[Took]) -> Took:
    """Of several timings of one thing."""
    return Took(statistics.mean(p.wall_s for p in parts), statistics.mean(p.cpu_s for p in parts))


def bare_pass(net: Net, window: Window, bands: int) -> Took:
    """One forward pass of a window, nothing else done: batch norm folded, channels-last, in the device's precision."""
    weight = next(net.parameters())
    x = torch.rand((1, bands, window.height, window.width), device=weight.device, dtype=weight.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return timed(lambda: net(x).float().softmax(dim=1)[:, MINE].cpu())


def plain_loop(net: UNet, scaled: Float, tiles: Sequence[Window]) -> Float:
    """Average probability over tiles."""
    total, count = np.zeros(scaled.shape[1:], np.float32), np.zeros(scaled.shape[1:], np.float32)
    with torch.inference_mode():
        for tile in tiles:
            logits = net(torch.from_numpy(filled(scaled[:, tile.rows, tile.cols]))[None])
            total[tile.slices] += logits.softmax(dim=1)[0, MINE].numpy()
            count[tile.slices] += 1
    return np.asarray(total / np.maximum(count, 1))


def speed(shape: tuple[int, int], width: int, timed_tiles: int) -> None:
    """Print the table of one scene: bare pass, plain loop, prediction, bare pass, plain loop, in this order."""
    contract = BandContract(BANDS, "reflectance", (0.0,) * 5, (0.4,) * 5, 10.0)
    detector = Detector(UNet(len(BANDS), width).eval(), width, contract)
    settings = settings_from({"width": width}, gpu=False)
    device = pick_device(settings)
    how = plan(shape, settings.window_px, network_of(detector, device, eightfold=False))
    bare_net = on_device(folded(detector.net).to(torch.bfloat16 if device.bf16 else torch.float32), device.torch)
    fed = [how.computed(core) for core in how.cores()]
    fed_px, scene_px, tiles = sum(w.height * w.width for w in fed), shape[0] * shape[1], plan_windows(shape, *TILES_PX)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.tif"
        district = make_district(shape)
        write_cog(image, district.before, district.grid, CogProfile("float32", float("nan"), BANDS, {}))
        del district
        reader, _ = scene_reader(open_raster(image), detector, settings)
        corner = Window(0, 0, min(1024, shape[0]), min(1024, shape[1]))
        scaled = reader(corner)
        some = plan_windows((corner.height, corner.width), *TILES_PX)[:timed_tiles]
        output = Output(Path(folder) / "p.tif", Path(folder) / "q.tif", {})

        def others() -> tuple[Took, Took]:
            bare = bare_pass(bare_net, fed[0], len(BANDS)).times(fed_px / (fed[0].height * fed[0].width))
            return bare, timed(lambda: plain_loop(detector.net, scaled, some)).times(len(tiles) / len(some))

        bare_pass(bare_net, fed[0], len(BANDS))  # the first call prepares kernels
        before = others()
        found = timed(lambda: predict_scene(reader, settings, output, unwatched))
        bare, plain = (mean(both) for both in zip(before, others(), strict=True))
    share = scene_px / fed_px
    print(f"{machine()}, {device.precision}")
    print(
        f"scene {shape[0]} x {shape[1]} x {len(BANDS)}, width {width}; {len(fed)} windows, {fed_px / 1e6:.1f} Mpx fed"
    )
    print(f"end to end           {found}; {scene_px / 1e6 / found.wall_s:.2f} Mpx/s, peak {peak_rss_mb():.0f} MB")
    print(f"bare forward pass    {bare} for the pixels fed")
    print(f"plain loop           {plain}, scaled from {len(some)} of {len(tiles)} tiles, twice")
    print(f"ratio on pixels fed  {bare.over(found)}")
    print(f"ratio on scene       {bare.times(share).over(found)}")
    print(f"plain loop / ours    {plain.over(found)}")


def same_answer(run: Path) -> None:
    """Print the IoU of both ways on a district whose truth is known."""
    settings: Settings = settings_from({}, gpu=False)
    detector = load(run / "unet_mining_detector.pt")
    reader, _ = scene_reader(open_raster(run / "inputs" / "before_2016.tif"), detector, settings)
    truth = read_classes(open_raster(run / "inputs" / "truth_2016.tif"))
    with tempfile.TemporaryDirectory() as folder:
        ours = predict_scene(reader, settings, Output(Path(folder) / "p.tif", None, {}), unwatched)
    scaled = reader(whole(reader.raster.shape))
    raw = plain_loop(detector.net, scaled, plan_windows(reader.raster.shape, *TILES_PX))
    raw[np.isnan(scaled).any(axis=0)] = np.nan
    classes = classified(detector.calibration.probability(raw), detector.calibration.threshold)
    plain = sieved(classes, ours.grid, settings.min_patch_ha)
    print(f"IoU against the truth: {count_classes(ours.classes, truth).iou:.4f}; ", end="")
    print(f"plain loop {count_classes(plain, truth).iou:.4f}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("size", nargs="*", type=int, default=[])
    arguments.add_argument("--run", type=Path)
    arguments.add_argument("--tiles", type=int, default=12, help="tiles on which the plain loop is timed, twice")
    given = arguments.parse_args()
    rows, cols, channels = (*given.size, *(5567, 3230, 64)[len(given.size) :])
    speed((rows, cols), channels, given.tiles)
    if given.run:
        same_answer(given.run)
