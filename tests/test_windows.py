import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from invented_nets import plain_detector, trained_like

from minedetect.devices import Device
from minedetect.errors import Cancelled
from minedetect.grid import Window
from minedetect.model import UNet
from minedetect.network import network_of
from minedetect.predict import unwatched
from minedetect.raster import Float
from minedetect.runs import Progress
from minedetect.windows import Network, in_bands, plan

CPU = Device("cpu", bf16=False, name="test")


def first_band(pixels: Float, core: Window) -> Float:
    return pixels[(0, *core.slices)]


def reader(image: Float) -> Callable[[Window], Float]:
    def read(window: Window) -> Float:
        assert window.row >= 0
        assert window.col >= 0
        assert window.row_end <= image.shape[1]
        assert window.col_end <= image.shape[2]
        return image[:, window.rows, window.cols].copy()

    return read


def predicted(image: Float, network: Network, window_px: int, progress: Progress = unwatched) -> Float:
    shape = (image.shape[1], image.shape[2])
    out, row = np.full(shape, -9.0, np.float32), 0
    for window, found in in_bands(reader(image), network, plan(shape, window_px, network), progress):
        assert (window.row, window.col, window.width) == (row, 0, shape[1]), "bands come in order and at full width"
        out[window.slices], row = found, window.row_end
    assert row == shape[0]
    return out


def noise(seed: int, shape: tuple[int, ...]) -> Float:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    window_px=st.integers(1, 120),
    margin_px=st.sampled_from([0, 16, 96]),
    factor_px=st.sampled_from([1, 16, 48]),
)
def test_an_identity_network_gives_back_its_input(
    height: int, width: int, window_px: int, margin_px: int, factor_px: int
) -> None:
    image = noise(height * 200 + width, (1, height, width))
    assert np.array_equal(predicted(image, Network(first_band, margin_px, factor_px), window_px), image[0])


@given(seed=st.integers(0, 9999), share=st.floats(0, 1), window_px=st.sampled_from([16, 32, 64]))
def test_valid_pixels_are_predicted_and_nodata_stays_nodata(seed: int, share: float, window_px: int) -> None:
    image = noise(seed, (2, 90, 70))
    random = np.random.default_rng(seed)
    image[1][random.random((90, 70)) < share / 3] = np.nan
    image[0, 10:40, : int(70 * share)] = np.nan
    out = predicted(image, Network(first_band, 16, 16), window_px)
    missing = np.isnan(image).any(axis=0)
    assert np.array_equal(np.isnan(out), missing)
    assert np.array_equal(out[~missing], image[0][~missing])


@given(height=st.integers(1, 7000), width=st.integers(1, 7000), window_px=st.integers(64, 2048))
def test_cores_cover_each_pixel_once_and_windows_fit_the_network(height: int, width: int, window_px: int) -> None:
    how = plan((height, width), window_px, Network(first_band, 96, 16))
    cores = list(how.cores())
    assert sum(c.height * c.width for c in cores) == height * width
    assert {c.row_end for c in cores} == {c.row for c in cores} - {0} | {height}
    assert {c.col_end for c in cores} == {c.col for c in cores} - {0} | {width}
    assert max(how.core) < window_px + 16
    for core in cores:
        assert (core.row % 16, core.col % 16) == (0, 0)
        computed = how.computed(core)
        assert (computed.height % 16, computed.width % 16) == (0, 0)
        assert computed.row == max(core.row - 96, -64)  # all that is seen, beyond the scene 64 px of it
        assert computed.row_end >= min(core.row_end + 96, height + 64)
        assert computed.row_end < height + 64 + 16


def test_only_windows_with_an_observed_core_are_computed() -> None:
    image = np.full((1, 64, 640), np.nan, np.float32)
    image[0, :, 600:] = 0.5
    windows = []

    def counting(pixels: Float, core: Window) -> Float:
        windows.append(pixels.shape)
        return first_band(pixels, core)

    predicted(image, Network(counting, 96, 16), 64)
    assert len(windows) == 1


NETS = {
    "as it starts": lambda: UNet(2, 4).eval(),
    "as trained": lambda: trained_like(UNet(2, 8)),
    "coarse": lambda: trained_like(UNet(2, 4, coarsen=2)),
    "wide": lambda: trained_like(UNet(2, 16)),
}


@pytest.mark.parametrize("kind", NETS)
def test_windows_agree_with_the_whole_scene_in_float32(kind: str) -> None:
    torch.manual_seed(0)
    net = NETS[kind]()
    network = network_of(plain_detector(net), CPU, eightfold=False)
    image = noise(1, (2, 20, 14)).repeat(16, 1).repeat(16, 2)[:, :310, :214] * noise(2, (2, 310, 214))
    at_once = predicted(image, network, 512)
    in_windows = predicted(image, network, 96)
    assert at_once.std() > (1e-6 if kind == "as it starts" else 0.02)
    assert np.abs(at_once - in_windows).max() < 1e-5, "not only within 1e-3, and up to the scene's edge"


def test_nodata_changes_nothing_beyond_the_field_of_view() -> None:
    torch.manual_seed(0)
    network = network_of(plain_detector(trained_like(UNet(2, 4))), CPU, eightfold=False)
    image = noise(1, (2, 448, 64))
    holed = image.copy()
    holed[:, :20] = np.nan
    far = slice(20 + 96 + 16, None)
    whole, windows = predicted(image, network, 448), predicted(holed, network, 64)
    assert np.abs(whole - windows)[far].max() < 1e-5


def test_progress_counts_every_window_and_may_stop_it() -> None:
    told = list[int]()
    image = noise(0, (1, 96, 96))

    def progress(done: int, total: int) -> None:
        told.append(done)
        assert total == 96
        if len(told) == 5:
            raise Cancelled

    before = threading.active_count()
    with pytest.raises(Cancelled):
        predicted(image, Network(first_band, 0, 16), 32, progress)
    assert told == [10, 21, 32, 42, 53]
    assert threading.active_count() == before


@pytest.mark.parametrize("where", ["read", "network"])
def test_errors_come_through_and_leave_no_thread(where: str) -> None:
    def fails(*_: object) -> npt.NDArray[np.float32]:
        raise OSError(where)

    before = threading.active_count()
    network = Network(first_band if where == "read" else fails, 16, 16)
    read = fails if where == "read" else reader(noise(0, (1, 90, 90)))
    with pytest.raises(OSError, match=where):
        list(in_bands(read, network, plan((90, 90), 32, network), unwatched))
    assert threading.active_count() == before
