import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect.bands import BandContract
from minedetect.model import Detector, Device, UNet
from minedetect.predict import Network, blend, classified, network_of, plan, sieved, taper
from minedetect.raster import Float

DEVICE = Device("cpu", bf16=False, name="test")


def first_band(pixels: Float) -> Float:
    return pixels[:, 0]


def predicted(image: Float, network: Network, window_px: int, overlap: float, batch: int = 2) -> Float:
    shape = (image.shape[1], image.shape[2])
    out = np.full(shape, -9.0, np.float32)
    for window, found in blend(
        lambda w: image[:, w.rows, w.cols].copy(), network, plan(shape, window_px, overlap), batch
    ):
        assert (out[window.slices] == -9.0).all(), "a pixel was predicted twice"
        out[window.slices] = found
    return out


@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    window_px=st.sampled_from([16, 32, 64, 96]),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
)
def test_an_identity_network_gives_back_its_input(height: int, width: int, window_px: int, overlap: float) -> None:
    image = np.random.default_rng(height * 200 + width).random((1, height, width), dtype=np.float32)
    np.testing.assert_allclose(predicted(image, first_band, window_px, overlap), image[0], atol=1e-5)


def test_nodata_stays_nodata_and_touches_nothing_else() -> None:
    image = np.random.default_rng(0).random((2, 90, 70), dtype=np.float32)
    image[1, 10:20, 30:] = np.nan
    out = predicted(image, first_band, 32, 0.25)
    assert np.array_equal(np.isnan(out), np.isnan(image[1]))
    np.testing.assert_allclose(out[~np.isnan(out)], image[0][~np.isnan(out)], atol=1e-5)


def test_windows_without_observation_are_not_computed() -> None:
    image = np.full((1, 64, 640), np.nan, np.float32)
    image[0, :, 600:] = 0.5
    windows = []

    def counting(pixels: Float) -> Float:
        windows.append(len(pixels))
        return pixels[:, 0]

    predicted(image, counting, 64, 0.0, batch=1)
    assert sum(windows) == 1


def test_the_taper_is_never_zero() -> None:
    for size in (1, 16, 512):
        assert taper(size).min() > 0


def test_windows_and_whole_scene_agree_in_float32() -> None:
    torch.manual_seed(0)
    net = UNet(2, 4).eval()
    contract = BandContract(("B2", "B3"), "reflectance", (0.0, 0.0), (1.0, 1.0), 10.0)
    network = network_of(Detector(net, 4, contract), DEVICE, eightfold=False)
    smooth = np.random.default_rng(1).random((2, 24, 24), dtype=np.float32).repeat(16, 1).repeat(16, 2)
    at_once = predicted(smooth, network, 1024, 0.0)
    in_windows = predicted(smooth, network, 256, 0.75)
    inner = (slice(96, -96), slice(96, -96))
    assert np.abs(at_once - in_windows)[inner].max() < 5e-3


def test_eightfold_prediction_does_not_depend_on_orientation() -> None:
    torch.manual_seed(0)
    contract = BandContract(("B2",), "reflectance", (0.0,), (1.0,), 10.0)
    network = network_of(Detector(UNet(1, 4).eval(), 4, contract), DEVICE, eightfold=True)
    image = np.random.default_rng(2).random((1, 1, 32, 32), dtype=np.float32)
    turned = np.rot90(image, axes=(2, 3)).copy()
    np.testing.assert_allclose(np.rot90(network(image), axes=(1, 2)), network(turned), atol=1e-5)


def test_classes_follow_the_threshold_and_nan_is_255() -> None:
    probability = np.array([[0.2, 0.5, 0.8, np.nan]], np.float32)
    assert classified(probability, 0.5).tolist() == [[0, 1, 1, 255]]


@pytest.mark.parametrize(("side_px", "kept"), [(6, False), (8, True)])
def test_the_sieve_keeps_half_a_hectare_and_leaves_nodata_alone(side_px: int, kept: bool) -> None:
    grid = GeoBox.from_bbox((500_000, 0, 500_640, 640), crs="EPSG:32735", shape=(64, 64))
    classes = np.zeros((64, 64), np.uint8)
    classes[20 : 20 + side_px, 20 : 20 + side_px] = 1  # 10 m pixels: 0.36 or 0.64 ha
    classes[:, :3] = 255
    found = sieved(classes, grid, 0.5)
    assert bool((found == 1).any()) is kept
    assert np.array_equal(found == 255, classes == 255)


def test_diagonal_patches_are_one_patch() -> None:
    grid = GeoBox.from_bbox((500_000, 0, 500_640, 640), crs="EPSG:32735", shape=(64, 64))
    classes = np.zeros((64, 64), np.uint8)
    classes[10:16, 10:16] = classes[16:22, 16:22] = 1  # 36 px each, touching at a corner only
    assert (sieved(classes, grid, 0.5) == 1).sum() == 72


def test_a_plan_has_no_window_outside_the_grown_scene() -> None:
    how = plan((5567, 3230), 512, 0.25)
    assert how.rows[-1] + how.tile[0] == 5567 + 2 * how.margin_px
    assert how.cols[-1] + how.tile[1] == 3230 + 2 * how.margin_px
