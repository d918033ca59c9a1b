import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from minedetect.sieve import classified, sieved


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
