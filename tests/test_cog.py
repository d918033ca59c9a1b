"""What is written is what was given, as a Cloud Optimized GeoTIFF, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from minedetect.cog import CogProfile, cog_writer, write_cog
from minedetect.errors import BadInput, Cancelled, GridMismatch
from minedetect.grid import plan_windows, whole
from minedetect.raster import open_raster, read

GRID = GeoBox((600, 530), Affine(8.983e-5, 0, 27.8, 0, -8.983e-5, -12.5), "EPSG:4326")
FLOATS = CogProfile("float32", float("nan"), ("B2", "B11"), {"run_id": "demo", "MINEDETECT": "0.1"})
CLASSES = CogProfile("uint8", 255, ("mine",), {})


def noise() -> np.ndarray:
    """float32 (2, H, W) with a hole."""
    pixels = np.random.default_rng(0).random((2, *GRID.shape), np.float32)
    pixels[:, 100:120, 5:60] = np.nan
    return pixels


def test_windows_add_up_to_the_array(tmp_path: Path) -> None:
    pixels = noise()
    path = tmp_path / "new" / "image.tif"
    with cog_writer(path, GRID, FLOATS) as write:
        for window in plan_windows((600, 530), 200, 150):
            write(pixels[:, *window.slices], window)
        assert not path.exists()
    written = open_raster(path)
    assert np.array_equal(read(written, whole((600, 530))), pixels, equal_nan=True)
    assert list(path.parent.iterdir()) == [path]


def test_a_cog_is_tiled_with_overviews_and_carries_its_header(tmp_path: Path) -> None:
    write_cog(tmp_path / "image.tif", noise(), GRID, FLOATS)
    with rasterio.open(tmp_path / "image.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["tiled"]
        assert file.compression.name == "deflate"
        assert file.overviews(1) == [2]
        assert file.crs.to_epsg() == 4326
        assert file.transform.almost_equals(GRID.transform, 1e-12)
        assert np.isnan(file.nodata)
        assert file.descriptions == FLOATS.bands
        assert FLOATS.tags.items() <= file.tags().items()


def test_overviews_of_classes_invent_none(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).choice(np.array([0, 4, 255], np.uint8), GRID.shape)
    write_cog(tmp_path / "mask.tif", classes, GRID, CLASSES)
    with rasterio.open(tmp_path / "mask.tif", overview_level=0) as file:
        assert set(np.unique(file.read(1))) <= {0, 4, 255}
    with rasterio.open(tmp_path / "mask.tif") as file:
        assert (file.read(1) == classes).all()
        assert file.nodata == 255


def test_signed_change_keeps_its_values(tmp_path: Path) -> None:
    change = np.random.default_rng(0).choice(np.array([-128, -1, 0, 1], np.int8), GRID.shape)
    write_cog(tmp_path / "change.tif", change, GRID, CogProfile("int8", -128, ("change",), {}))
    with rasterio.open(tmp_path / "change.tif") as file:
        assert file.dtypes == ("int8",)
        assert file.nodata == -128
        assert (file.read(1) == change).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3)])
def test_any_shape_is_written(tmp_path: Path, shape: tuple[int, int]) -> None:
    classes = np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8) % 2
    write_cog(tmp_path / "mask.tif", classes, GeoBox(shape, GRID.transform, GRID.crs), CLASSES)
    assert (read(open_raster(tmp_path / "mask.tif"), whole(shape))[0] == classes).all()


@pytest.mark.parametrize("fault", [ValueError, Cancelled, KeyboardInterrupt])
def test_a_failure_in_the_block_leaves_nothing_behind(tmp_path: Path, fault: type[BaseException]) -> None:
    def fail() -> None:
        with cog_writer(tmp_path / "mask.tif", GRID, CLASSES) as write:
            write(np.ones((10, 530), np.uint8), plan_windows((10, 530), 530, 530)[0])
            raise fault

    with pytest.raises(fault):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_old_raster(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    write_cog(path, np.ones(GRID.shape, np.uint8), GRID, CLASSES)
    before = path.read_bytes()
    with pytest.raises(Cancelled), cog_writer(path, GRID, CLASSES):
        raise Cancelled
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_array_off_the_grid_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(GridMismatch):
        write_cog(tmp_path / "mask.tif", np.ones((10, 10), np.uint8), GRID, CLASSES)
    assert not list(tmp_path.iterdir())


def test_pixels_outside_the_raster_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="could not be written"), cog_writer(tmp_path / "m.tif", GRID, CLASSES) as write:
        write(np.ones((10, 10), np.uint8), whole((10, 10)).shifted(595, 0))
    assert not list(tmp_path.iterdir())
