"""Prediction end to end against the bare forward pass of the same network, in one run.

    python benchmarks/predict.py [ROWS COLS [WIDTH]]

Reading, scaling, blending, sieving and writing are in the first figure and not in the second. The
ratio is what to compare between machines; the absolute figures are noisy.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minedetect.bands import BandContract
from minedetect.cog import CogProfile, write_cog
from minedetect.model import Detector, UNet, pick_device
from minedetect.pipeline import scene_reader
from minedetect.predict import Output, network_of, plan, predict_scene
from minedetect.presets import settings_from
from minedetect.raster import open_raster
from minedetect.synthetic import BANDS, make_district


def bare_mpx_per_s(detector: Detector, window_px: int, windows: int) -> float:
    """Megapixels fed to the network a second, nothing else done."""
    network = network_of(detector, pick_device(settings_from({}, gpu=False)), eightfold=False)
    pixels = np.random.default_rng(0).random((1, len(BANDS), window_px, window_px), dtype=np.float32)
    network(pixels)
    started = time.perf_counter()
    for _ in range(windows):
        network(pixels)
    return windows * window_px**2 / 1e6 / (time.perf_counter() - started)


def quiet(_done: int, _total: int) -> None:
    """Watch nothing."""


def main(rows: int = 2048, cols: int = 1536, width: int = 16) -> None:
    """Print one table."""
    contract = BandContract(BANDS, "reflectance", (0.0,) * 5, (0.4,) * 5, 10.0)
    detector = Detector(UNet(len(BANDS), width).eval(), width, contract)
    settings = settings_from({"width": width}, gpu=False)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.tif"
        district = make_district((rows, cols))
        write_cog(image, district.before, district.grid, CogProfile("float32", float("nan"), BANDS, {}))
        reader, _ = scene_reader(open_raster(image), detector, settings)
        output = Output(Path(folder) / "p.tif", Path(folder) / "q.tif", {})
        before = bare_mpx_per_s(detector, settings.window_px, 16)
        found = predict_scene(reader, settings, output, quiet)
        bare = (before + bare_mpx_per_s(detector, settings.window_px, 16)) / 2
    how = plan((rows, cols), settings.window_px, settings.window_overlap)
    fed_px = len(how.rows) * len(how.cols) * how.tile[0] * how.tile[1]
    print(f"scene {rows} x {cols} x {len(BANDS)}, width {width}, {pick_device(settings).name}")
    print(f"end to end          {found.mpx_per_s:8.2f} Mpx/s of scene, peak {found.peak_rss_mb:.0f} MB")
    print(f"bare forward pass   {bare:8.2f} Mpx/s fed")
    print(f"ratio on scene      {found.mpx_per_s / bare:8.2f}")
    print(f"ratio on pixels fed {found.mpx_per_s / bare * fed_px / (rows * cols):8.2f}")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
