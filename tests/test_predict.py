import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from invented_nets import plain_detector, trained_like
from odc.geo.geobox import GeoBox

from minedetect.calibrate import Calibration
from minedetect.cog import CogProfile, cog_writer
from minedetect.config import Settings
from minedetect.devices import Device
from minedetect.errors import BadInput, Cancelled, DeviceError
from minedetect.grid import Window, row_bands
from minedetect.model import Detector, UNet, save
from minedetect.network import network_of
from minedetect.pipeline import scene_reader
from minedetect.predict import Output, Prediction, SceneReader, Watch, predict_scene, unwatched, within_memory
from minedetect.raster import IGNORE, Float, open_raster
from minedetect.runs import Progress, Run

ROWS, COLS = 300, 80
GRID = GeoBox.from_bbox((500_000, 0, 500_800, 3000), crs="EPSG:32735", shape=(ROWS, COLS))
BANDS = ("B2", "B3")
SETTINGS = Settings(window_px=64, device="cpu", precision="float32", min_patch_ha=0.2)
CHILD = Path(__file__).with_name("predict_child.py")


def pixels(seed: int = 0) -> Float:
    random = np.random.default_rng(seed)
    coarse = random.random((2, 38, 10), dtype=np.float32).repeat(8, 1).repeat(8, 2)[:, :ROWS]
    image: Float = coarse * (0.7 + 0.3 * random.random((2, ROWS, COLS), dtype=np.float32))
    image[:, 20:30, 5:30] = np.nan
    return image


def detector(seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return plain_detector(trained_like(UNet(2, 4)), Calibration(1.2, -0.3, 0.4, fitted=True))


def write_image(path: Path, image: Float) -> Path:
    grid = GeoBox((image.shape[1], image.shape[2]), GRID.transform, GRID.crs)
    with cog_writer(path, grid, CogProfile("float32", np.nan, BANDS, {})) as write:
        for band in row_bands((image.shape[1], image.shape[2])):
            write(image[:, band.rows], band)
    return path


@dataclass(frozen=True)
class Reads(SceneReader):
    """A reader that remembers what was read."""

    windows: list[Window] = field(default_factory=list)

    def __call__(self, window: Window) -> Float:
        self.windows.append(window)
        return super().__call__(window)


@dataclass(frozen=True)
class Place:
    """A folder with an image and a model in memory, and what is predicted there."""

    folder: Path
    settings: Settings = SETTINGS
    detector: Detector = field(default_factory=detector)

    @property
    def output(self) -> Output:
        return Output(self.folder / "p.tif", self.folder / "q.tif", {"date": "2016"})

    def reader(self) -> Reads:
        plain, _ = scene_reader(open_raster(self.folder / "image.tif"), self.detector, self.settings)
        return Reads(plain.raster, plain.reading, plain.detector)

    def predict(self, progress: Progress = unwatched) -> tuple[Prediction, Reads]:
        reader = self.reader()
        return predict_scene(reader, self.settings, self.output, progress), reader

    def rasters(self) -> tuple[bytes, bytes]:
        """Pixels of both files."""
        return tuple(rasterio.open(path).read().tobytes() for path in (self.folder / "p.tif", self.folder / "q.tif"))

    def hidden(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(".*"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    write_image(tmp_path / "image.tif", pixels())
    return Place(tmp_path)


@pytest.fixture
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    write_image(folder / "image.tif", pixels())
    whole = Place(folder)
    whole.predict()
    return whole.rasters()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def stop_at(row: int) -> Progress:
    def progress(done: int, _total: int) -> None:
        if done >= row:
            raise Cancelled

    return progress


def test_files_hold_what_was_predicted_and_nothing_else_is_left(place: Place) -> None:
    found, _ = place.predict()
    with rasterio.open(place.output.prediction) as classes, rasterio.open(place.folder / "q.tif") as probability:
        assert np.array_equal(classes.read(1), found.classes)
        values = probability.read(1)
    missing = np.isnan(pixels()).any(axis=0)
    assert np.array_equal(found.classes == IGNORE, missing)
    assert np.array_equal(np.isnan(values), missing)
    assert 0 < (found.classes == 1).mean() < 1
    assert set(found.to_json()) == {"mine_ha", "seconds", "mpx_per_s", "peak_rss_mb"}
    assert place.hidden() == []


@pytest.mark.parametrize("row", [100, 200, ROWS])
def test_a_stopped_prediction_goes_on_to_the_same_pixels(
    place: Place, uninterrupted: tuple[bytes, bytes], row: int
) -> None:
    with pytest.raises(Cancelled):
        place.predict(stop_at(row))
    assert not place.output.prediction.exists()
    assert not (place.folder / "q.tif").exists()
    told = list[int]()
    _, reader = place.predict(lambda done, _total: told.append(done))
    assert place.rasters() == uninterrupted
    assert place.hidden() == []
    first_read = min((w.row for w in reader.windows), default=ROWS)
    assert first_read >= row - 64 - 96 - 1, "finished bands are not computed again"
    assert told == sorted(told)
    assert told[-1] == ROWS


def kept_by(place: Place) -> int:
    return len(list(place.folder.glob(".p.tif.*.part/*.npy")))


@pytest.mark.parametrize("what", ["model", "image", "calibration", "windows", "eightfold", "reading"])
def test_nothing_is_taken_over_from_another_prediction(place: Place, what: str) -> None:
    with pytest.raises(Cancelled):
        place.predict(stop_at(200))
    assert kept_by(place) >= 2
    other = place
    if what == "model":
        other = replace(place, detector=detector(seed=1))
    elif what == "image":
        write_image(place.folder / "image.tif", pixels(seed=1))
    elif what == "calibration":
        other = replace(place, detector=place.detector.calibrated(Calibration(1.1, 0, 0.5, fitted=True), {}))
    elif what == "reading":
        swapped = replace(place.detector.contract, high=(0.9, 0.9))
        other = replace(place, detector=replace(place.detector, contract=swapped))
    else:
        change = {"windows": {"window_px": 96}, "eightfold": {"eightfold": True}}[what]
        other = replace(place, settings=SETTINGS.model_copy(update=change))
    _, reader = other.predict()
    after_leftovers = other.rasters()
    assert min(w.row for w in reader.windows) == 0
    assert place.hidden() == []
    other.predict()
    assert other.rasters() == after_leftovers


def test_threshold_and_sieve_may_change_in_between(place: Place) -> None:
    with pytest.raises(Cancelled):
        place.predict(stop_at(200))
    later = replace(place, settings=SETTINGS.model_copy(update={"threshold": 0.7, "min_patch_ha": 0.0}))
    found, reader = later.predict()
    assert min(w.row for w in reader.windows) > 0
    fresh, _ = later.predict()
    assert np.array_equal(found.classes, fresh.classes)


def test_a_damaged_band_is_computed_again(place: Place, uninterrupted: tuple[bytes, bytes]) -> None:
    with pytest.raises(Cancelled):
        place.predict(stop_at(ROWS))
    bands = sorted(place.folder.glob(".p.tif.*.part/*.npy"))
    content = bands[1].read_bytes()
    bands[1].write_bytes(content[: len(content) // 2])
    place.predict()
    assert place.rasters() == uninterrupted


def killed(place: Place, row: int) -> None:
    save(place.detector, place.folder / "m.pt")
    paths = [str(place.folder / name) for name in ("image.tif", "m.pt", "p.tif", "q.tif")]
    child = subprocess.run([sys.executable, str(CHILD), *paths, "64", str(row)], capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()


@pytest.mark.slow
def test_a_killed_prediction_leaves_no_half_file_and_goes_on(place: Place, uninterrupted: tuple[bytes, bytes]) -> None:
    killed(place, ROWS)
    assert not place.output.prediction.exists()
    assert not (place.folder / "q.tif").exists()
    assert kept_by(place) >= 2
    assert any(name.endswith(".staging.tif") for name in place.hidden())
    _, reader = place.predict()
    assert min(w.row for w in reader.windows) > 0
    assert place.rasters() == uninterrupted
    assert place.hidden() == []


def test_a_run_sweeps_what_a_killed_writer_staged(tmp_path: Path) -> None:
    left = [".q.4194999.0123abcd.staging.tif", ".q.4194999.0123abcd.tif"]
    for name in left:
        (tmp_path / name).touch()
    Run(tmp_path).sweep()
    assert list(tmp_path.iterdir()) == []


def test_a_band_that_cannot_be_kept_is_told_in_words(place: Place) -> None:
    def block(done: int, _total: int) -> None:
        for folder in place.folder.glob(".p.tif.*.part"):
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            folder.touch()

    with pytest.raises(BadInput, match="could not be written"):
        place.predict(block)
    assert not place.output.prediction.exists()


Limited = Callable[[Float, Window], Float]


def limited(probability: Limited, most_px: int, error: Exception) -> Limited:
    """As a machine whose memory ends at windows of some size."""

    def run(pixels: Float, core: Window) -> Float:
        if max(pixels.shape[1:]) > most_px:
            raise error
        return probability(pixels, core)

    return run


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_where_memory_runs_out_windows_become_smaller_and_pixels_stay(error: Exception) -> None:
    image = np.nan_to_num(pixels(), nan=0.3)
    network = network_of(detector(), Device("cpu", bf16=False, name="test"), eightfold=False)
    small, told = replace(network, probability=limited(network.probability, 320, error)), list[str]()

    def predicted(by: object) -> Float:
        bands = within_memory(lambda w: image[:, w.rows, w.cols], by, (ROWS, COLS), 256, Watch(tell=told.append))
        return np.concatenate([found for _, found in bands])

    in_small = predicted(small)
    assert told == ["Memory ran out with windows of 256 px: from row 0 on they were 128 px."]
    assert np.abs(in_small - predicted(network)).max() < 1e-3


def test_memory_that_runs_out_later_keeps_the_bands_before() -> None:
    image, calls, seen, told = np.nan_to_num(pixels(), nan=0.3), list[int](), list[Window](), list[str]()
    network = network_of(detector(), Device("cpu", bf16=False, name="test"), eightfold=False)

    def fails_once(pixels: Float, core: Window) -> Float:
        calls.append(pixels.shape[1])
        if len(calls) == 3:
            raise MemoryError
        return network.probability(pixels, core)

    later = replace(network, probability=fails_once)
    bands = within_memory(lambda w: image[:, w.rows, w.cols], later, (ROWS, COLS), 80, Watch(tell=told.append))
    found = np.concatenate([seen.append(window) or values for window, values in bands])
    assert [w.row for w in seen] == [0, 80, 160, 208, 256]
    assert told == ["Memory ran out with windows of 80 px: from row 160 on they were 40 px."]
    assert found.shape == (ROWS, COLS)
    assert not np.isnan(found).any()


def test_too_little_memory_for_any_window_is_told_in_words() -> None:
    image = np.nan_to_num(pixels(), nan=0.3)
    network = network_of(detector(), Device("cpu", bf16=False, name="test"), eightfold=False)
    none = replace(network, probability=limited(network.probability, 0, MemoryError()))
    with pytest.raises(DeviceError, match="Close other programs"):
        list(within_memory(lambda w: image[:, w.rows, w.cols], none, (ROWS, COLS), 512, Watch()))


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    image = np.nan_to_num(pixels(), nan=0.3)
    network = network_of(detector(), Device("cpu", bf16=False, name="test"), eightfold=False)
    broken = replace(network, probability=limited(network.probability, 0, RuntimeError("shape mismatch")))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(within_memory(lambda w: image[:, w.rows, w.cols], broken, (ROWS, COLS), 512, Watch()))


def test_bands_that_vanish_are_not_taken_for_nodata(place: Place) -> None:
    def vandal(done: int, _total: int) -> None:
        if done == ROWS:
            next(place.folder.glob(".p.tif.*.part/00000000.npy")).unlink()

    with pytest.raises(BadInput, match="only 0 are still on disk"):
        place.predict(vandal)
    assert not place.output.prediction.exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height_of_the_scene(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save(plain_detector(trained_like(UNet(2, 8))), tmp_path / "m.pt")
    paths = [str(tmp_path / name) for name in ("image.tif", "m.pt", "p.tif", "q.tif")]
    environment = {**os.environ, "GDAL_CACHEMAX": "8"}  # else the small scene would not fill it

    def peak_mb(rows: int) -> float:
        image = np.random.default_rng(0).random((2, rows // 16, 64), dtype=np.float32)
        write_image(tmp_path / "image.tif", image.repeat(16, 1).repeat(16, 2))
        line = [sys.executable, str(CHILD), *paths, "512"]
        told = subprocess.run(line, capture_output=True, check=True, env=environment).stdout
        return float(json.loads(told)["peak_rss_mb"])

    most, high = 1.05 * min(peak_mb(1024) for _ in range(2)), list[float]()
    while len(high) < 6 and min(high, default=np.inf) > most:  # threads meet now and then at the peak
        high.append(peak_mb(4 * 1024))
    assert min(high) <= most, (most, high)
