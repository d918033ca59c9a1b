"""Windows cover every pixel, cores tile the raster, crops and comparisons of grids are exact."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect.errors import GridMismatch
from minedetect.grid import (
    Window,
    cores,
    crop,
    describe,
    pixel_size_m,
    plan_windows,
    require_same_grid,
    row_bands,
    same_grid,
    shape_of,
    starts,
    to_lonlat,
)

UTM = GeoBox((60, 90), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
lengths = st.integers(1, 60)
shapes = st.tuples(lengths, lengths)


@st.composite
def tilings(draw: st.DrawFn) -> tuple[int, int]:
    """A tile side and a stride of at most that."""
    tile = draw(st.integers(1, 40))
    return tile, draw(st.integers(1, tile))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    return Window(draw(st.integers(0, 20)), draw(st.integers(0, 20)), draw(lengths), draw(lengths))


def moved(grid: GeoBox, cols_px: float, rows_px: float) -> GeoBox:
    return GeoBox(grid.shape, grid.transform @ Affine.translation(cols_px, rows_px), grid.crs)


def painted(shape: tuple[int, int], parts: list[Window]) -> np.ndarray:
    count = np.zeros(shape, int)
    for part in parts:
        assert part.row >= 0
        assert part.col >= 0
        assert part.row_end <= shape[0]
        assert part.col_end <= shape[1]
        count[part.slices] += 1
    return count


@given(shapes, tilings())
def test_windows_cover_every_pixel(shape: tuple[int, int], tiling: tuple[int, int]) -> None:
    planned = plan_windows(shape, *tiling)
    assert (painted(shape, planned) > 0).all()
    assert {(w.height, w.width) for w in planned} == {(min(tiling[0], shape[0]), min(tiling[0], shape[1]))}
    assert len(set(planned)) == len(planned)


@given(shapes, tilings())
def test_cores_tile_the_raster_once(shape: tuple[int, int], tiling: tuple[int, int]) -> None:
    planned = cores(shape, *tiling)
    assert (painted(shape, [core for _, core in planned]) == 1).all()
    assert [window for window, _ in planned] == plan_windows(shape, *tiling)
    assert all(window.intersection(core) == core for window, core in planned if core.height and core.width)


@given(shapes, st.integers(1, 80))
def test_row_bands_tile_the_raster_once(shape: tuple[int, int], rows: int) -> None:
    bands = list(row_bands(shape, rows))
    assert (painted(shape, bands) == 1).all()
    assert max(b.height for b in bands) <= rows


def test_reference_scene_has_1075_places() -> None:
    planned = plan_windows((5567, 3230), 256, 128)
    assert len(planned) == 1075
    assert max(w.row_end for w in planned) == 5567
    assert max(w.col_end for w in planned) == 3230


@pytest.mark.parametrize("stride", [-1, 0, 11])
def test_a_stride_that_leaves_pixels_out_is_a_mistake(stride: int) -> None:
    with pytest.raises(ValueError, match="stride"):
        starts(100, 10, stride)


@given(windows(), windows())
def test_intersection_is_what_both_paint(a: Window, b: Window) -> None:
    both = painted((80, 80), [a]) & painted((80, 80), [b])
    common = a.intersection(b)
    assert common == b.intersection(a)
    assert (painted((80, 80), [] if common is None else [common]) == both).all()
    assert (a.intersection(b) == b) == (both.sum() == b.height * b.width)


def test_crop_keeps_ground_positions() -> None:
    window = Window(7, 11, 20, 30)
    part = crop(UTM, window)
    assert shape_of(part) == (20, 30)
    assert part.crs == UTM.crs
    for col, row in ((0, 0), (30, 20), (4.5, 6.25)):
        assert part.transform @ (col, row) == pytest.approx(UTM.transform @ (col + 11, row + 7), abs=1e-6)
    assert same_grid(crop(crop(UTM, window), Window(1, 2, 5, 6)), crop(UTM, Window(8, 13, 5, 6)))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (UTM, True),
        (moved(UTM, 5e-4, -5e-4), True),
        (moved(UTM, 0.01, 0), False),
        (moved(UTM, 0, 0.01), False),
        (GeoBox(UTM.shape, UTM.transform, "EPSG:32736"), False),
        (GeoBox((60, 91), UTM.transform, UTM.crs), False),
        (GeoBox(UTM.shape, Affine(10.001, 0, 500_000, 0, -10, 8_600_000), UTM.crs), False),
        (GeoBox(UTM.shape, Affine(10, 0, 500_000, 0, 10, 8_600_000 - 600), UTM.crs), False),
    ],
)
def test_grids_are_one_within_a_thousandth_of_a_pixel(other: GeoBox, same: bool) -> None:
    assert same_grid(UTM, other) is same
    assert same_grid(other, UTM) is same


def test_a_grid_mismatch_names_both_grids() -> None:
    require_same_grid(UTM, UTM, "Image and mask")
    other = moved(UTM, 1, 0)
    with pytest.raises(GridMismatch) as refused:
        require_same_grid(UTM, other, "Image and mask")
    assert "Image and mask" in str(refused.value)
    assert describe(UTM) in str(refused.value)
    assert describe(other) in str(refused.value)


@pytest.mark.parametrize(
    ("grid", "size_m"),
    [
        (UTM, 10 / 0.9996),
        (GeoBox((2, 2), Affine(8.983e-5, 0, 27, 0, -8.983e-5, 0), "EPSG:4326"), 9.966),
        (GeoBox((2, 2), Affine(20, 0, 0, 0, -20, 8_399_738), "EPSG:3857"), 10.0),
        (GeoBox((2, 2), Affine(100, 0, 1_000_000, 0, -100, 200_000), "EPSG:2263"), 30.48),
    ],
)
def test_pixel_size_is_metres_on_the_ground_in_any_crs(grid: GeoBox, size_m: float) -> None:
    assert pixel_size_m(grid) == pytest.approx(size_m, rel=5e-3)


def test_a_grid_without_crs_lies_nowhere() -> None:
    with pytest.raises(GridMismatch, match="coordinate reference system"):
        to_lonlat(GeoBox((2, 2), Affine.identity(), None))
