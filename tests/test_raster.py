"""Pixels keep their places when read, cropped and warped; unusable files are refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from conftest import as_tiff, upside_down
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from minedetect.errors import BadInput, GridMismatch, MinedetectError
from minedetect.grid import Window, crop, whole
from minedetect.raster import (
    IGNORE,
    Float,
    Raster,
    onto_first,
    open_raster,
    overlap,
    read,
    read_classes,
    read_through,
    require_shape,
    thinned,
    valid,
)

GRID = GeoBox((40, 56), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
HOLE = np.zeros((40, 56), bool)
HOLE[12:20, 30:44] = True
Make = Callable[..., Path]


def moved(cols_px: float, rows_px: float, shape: tuple[int, int] = (40, 56), zoom: float = 1) -> GeoBox:
    return GeoBox(shape, GRID.transform @ Affine.translation(cols_px, rows_px) @ Affine.scale(zoom), GRID.crs)


def all_of(raster: Raster) -> Float:
    return read(raster, whole(raster.shape))


@pytest.fixture
def coordinates(write_tiff: Make, pixel_coordinates: Callable[[GeoBox], Float]) -> Raster:
    """An image whose two bands hold the column and the row of each pixel's centre."""
    return open_raster(write_tiff(pixel_coordinates(GRID), GRID, "xy.tif", bands=("col", "row")))


@pytest.mark.parametrize("window", [whole((40, 56)), Window(3, 5, 1, 1), Window(39, 0, 1, 56), Window(7, 50, 33, 6)])
def test_a_window_holds_its_own_pixels(coordinates: Raster, window: Window) -> None:
    cols, rows = read(coordinates, window)
    assert (cols == np.arange(window.col, window.col_end) + 0.5).all()
    assert (rows == np.arange(window.row, window.row_end)[:, None] + 0.5).all()
    assert (read(coordinates, window, [1, 0]) == np.stack([rows, cols])).all()


def test_a_header_says_where_and_what(coordinates: Raster) -> None:
    assert coordinates.grid == GRID
    assert coordinates.shape == (40, 56)
    assert coordinates.bands == ("col", "row")
    assert (coordinates.dtype, coordinates.nodata) == ("float32", None)


@pytest.mark.parametrize(("cols_px", "rows_px"), [(4, 3), (4.5, 3.25), (0.1, 0), (-3.4, -5.7)])
def test_coordinates_survive_a_shifted_grid(coordinates: Raster, cols_px: float, rows_px: float) -> None:
    cols, rows = all_of(coordinates.onto(moved(cols_px, rows_px)))
    seen = ~np.isnan(cols)
    expected_rows, expected_cols = np.indices((40, 56)) + 0.5
    inside = (expected_cols + cols_px > 1) & (expected_cols + cols_px < 55)
    inside &= (expected_rows + rows_px > 1) & (expected_rows + rows_px < 39)
    assert seen[inside].all()
    assert np.abs(cols - expected_cols - cols_px)[inside].max() < 0.01
    assert np.abs(rows - expected_rows - rows_px)[inside].max() < 0.01


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32736"])
def test_coordinates_survive_another_crs(coordinates: Raster, crs: str) -> None:
    grid = GRID.to_crs(crs)
    seen = all_of(coordinates.onto(grid))
    rows, cols = np.indices(grid.shape) + 0.5
    x, y = grid.transform @ (cols.ravel(), rows.ravel())
    back = Transformer.from_crs(crs, GRID.crs.proj, always_xy=True).transform(x, y)
    expected = np.stack((~GRID.transform) @ back).reshape(2, *grid.shape)
    inside = ((expected > 1) & (expected < np.array([55, 39])[:, None, None])).all(axis=0)
    assert inside.sum() > 1500
    assert np.abs(seen - expected)[:, inside].max() < 0.15
    outside = ((expected < 0) | (expected > np.array([56, 40])[:, None, None])).any(axis=0)
    assert np.isnan(seen[:, outside]).mean() > 0.95


def test_a_crop_is_read_exactly(coordinates: Raster) -> None:
    window = Window(11, 7, 20, 31)
    cropped = coordinates.onto(crop(GRID, window))
    assert (all_of(cropped) == read(coordinates, window)).all()
    assert (read(cropped, Window(2, 3, 4, 5)) == read(coordinates, Window(13, 10, 4, 5))).all()


def test_a_coarser_grid_holds_means(coordinates: Raster) -> None:
    cols, rows = all_of(coordinates.onto(moved(0, 0, (20, 28), zoom=2)))
    assert np.abs(cols - (np.arange(28) * 2 + 1))[1:-1, 1:-1].max() < 0.05
    assert np.abs(rows - (np.arange(20) * 2 + 1)[:, None])[1:-1, 1:-1].max() < 0.05


def test_the_same_grid_needs_no_warp(coordinates: Raster) -> None:
    assert coordinates.onto(GRID) is coordinates


def test_nearest_invents_no_class(write_tiff: Make) -> None:
    classes = np.where(HOLE, 7, 3).astype(np.uint8)
    warped = all_of(open_raster(write_tiff(classes, GRID)).onto(moved(2.4, 1.3), nearest=True))
    assert set(np.unique(warped[~np.isnan(warped)])) == {3, 7}


def values(dtype: str, hole: float = 5) -> np.ndarray:
    """Constant 5 with a hole, as (1, H, W)."""
    return np.where(HOLE, hole, 5).astype(dtype)[None]


UNOBSERVED: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "tag uint8": (values("uint8", 0), {"nodata": 0}),
    "tag uint16": (values("uint16", 65_535), {"nodata": 65_535}),
    "tag int16": (values("int16", -32_768), {"nodata": -32_768}),
    "tag float32": (values("float32", -9999), {"nodata": -9999}),
    "tag float64 lowest": (values("float64", -1.7976931348623157e308), {"nodata": -1.7976931348623157e308}),
    "tag nan": (values("float32", np.nan), {"nodata": np.nan}),
    "nan": (values("float32", np.nan), {}),
    "inf": (values("float32", np.inf), {}),
    "minus inf": (values("float32", -np.inf), {}),
    "untagged lowest float32": (values("float32", -3.4028235e38), {}),
    "untagged 1e300": (values("float64", 1e300), {}),
    "lowest beside another tag": (values("float32", -3.4028235e38), {"nodata": -9999}),
    "nan beside a tag": (values("float32", np.nan), {"nodata": -9999}),
    "mask band float32": (values("float32"), {"mask": ~HOLE}),
    "mask band uint8": (values("uint8"), {"mask": ~HOLE}),
    "alpha uint8": (values("uint8"), {"alpha": ~HOLE}),
    "alpha uint16": (values("uint16"), {"alpha": ~HOLE}),
}


@pytest.mark.parametrize("kind", UNOBSERVED)
def test_no_observation_reads_as_nan(write_tiff: Make, kind: str) -> None:
    pixels, options = UNOBSERVED[kind]
    raster = open_raster(write_tiff(pixels, GRID, **options))
    assert len(raster.bands) == 1
    seen = all_of(raster)
    assert (np.isnan(seen[0]) == HOLE).all()
    assert (seen[0][~HOLE] == 5).all()
    assert (valid(seen) == ~HOLE).all()


@pytest.mark.parametrize("nearest", [False, True], ids=["bilinear", "nearest"])
@pytest.mark.parametrize("kind", UNOBSERVED)
def test_no_observation_stays_nan_in_a_warp(write_tiff: Make, kind: str, nearest: bool) -> None:
    pixels, options = UNOBSERVED[kind]
    warped = all_of(open_raster(write_tiff(pixels, GRID, **options)).onto(moved(-6, 4), nearest))[0]
    expected = np.ones((40, 56), bool)
    expected[:36, 6:] = HOLE[4:, :50]
    assert (np.isnan(warped) == expected).all()
    assert (warped[~expected] == 5).all()


def test_any_band_unobserved_makes_a_pixel_invalid() -> None:
    pixels = np.ones((3, 4, 5), np.float32)
    pixels[1, 2, 3] = np.nan
    assert np.argwhere(~valid(pixels)).tolist() == [[2, 3]]


def refused(path: Path) -> BadInput:
    """How a file is refused, at its header or at its pixels."""
    with pytest.raises(BadInput) as fault:
        all_of(open_raster(path))
    return fault.value


def require_sentence(fault: BadInput, code: str) -> None:
    text = str(fault)
    assert fault.code == code
    assert "\n" not in text
    assert text.endswith(".")
    assert "Traceback" not in text
    assert len(text) < 500


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused(write_tiff: Make, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 60_000, (2, 40, 56)).astype(np.uint16)
    path = write_tiff(noise, GRID, compress="deflate")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    require_sentence(refused(path), "CORRUPT")


def test_a_damaged_file_is_read_or_refused(write_tiff: Make, pixel_coordinates: Callable[[GeoBox], Float]) -> None:
    path = write_tiff(pixel_coordinates(GRID), GRID, compress="deflate")
    whole_file = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(60):
        damaged = whole_file.copy()
        at = rng.integers(8, len(damaged), 4)
        damaged[at] = rng.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            raster = open_raster(path)
            read(raster, Window(0, 0, min(raster.shape[0], 64), min(raster.shape[1], 64)))
            outcomes.add("read")
        except MinedetectError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def second(write_tiff: Make, grid: GeoBox) -> Raster:
    return open_raster(write_tiff(np.ones(grid.shape, np.float32), grid, "second.tif"))


def test_two_dates_on_one_grid_stay_as_they_are(coordinates: Raster, write_tiff: Make) -> None:
    other = second(write_tiff, GRID)
    assert onto_first(coordinates, other) == (other, "Both dates lie on one grid.")


def test_the_second_date_is_warped_and_that_is_said(coordinates: Raster, write_tiff: Make) -> None:
    warped, told = onto_first(coordinates, second(write_tiff, moved(14, 0)))
    assert warped.grid == GRID
    assert np.isnan(all_of(warped)[0]).mean() == pytest.approx(0.25)
    assert "second.tif" in told
    assert "bilinear" in told
    assert "75.0%" in told


@pytest.mark.parametrize(
    ("grid", "code"),
    [
        (moved(56, 0), "NO_OVERLAP"),
        (moved(0, -400), "NO_OVERLAP"),
        (GeoBox((40, 56), Affine(10, 0, 500_000, 0, -10, 4_600_000), "EPSG:32617"), "NO_OVERLAP"),
        (moved(0, 0, (15, 20), zoom=2.2), "PIXEL_SIZE"),
        (moved(0, 0, zoom=0.4), "PIXEL_SIZE"),
    ],
)
def test_dates_that_cannot_be_compared_are_refused(
    coordinates: Raster, write_tiff: Make, grid: GeoBox, code: str
) -> None:
    with pytest.raises(BadInput) as fault:
        onto_first(coordinates, second(write_tiff, grid))
    require_sentence(fault.value, code)


def test_overlap_is_the_share_of_the_first() -> None:
    assert overlap(GRID, GRID) == pytest.approx(1)
    assert overlap(GRID, moved(28, 0)) == pytest.approx(0.5)
    assert overlap(GRID, moved(14, 10)) == pytest.approx(0.75 * 0.75)
    assert overlap(GRID, moved(100, 0)) == 0
    assert overlap(GRID, GRID.to_crs("EPSG:4326")) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_classes_are_whole_numbers_and_nodata_is_unknown(write_tiff: Make, dtype: str) -> None:
    stored = np.arange(40 * 56).reshape(40, 56) % 7
    stored[HOLE] = 99
    classes = read_classes(open_raster(write_tiff(stored.astype(dtype), GRID, nodata=99)))
    assert np.issubdtype(classes.dtype, np.signedinteger)
    assert (classes == np.where(HOLE, IGNORE, stored)).all()


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Raster, Raster]:
    """One ground stored with its north on top, and with its south on top; with a hole."""
    rows, cols = np.indices(GRID.shape, dtype=np.float32)
    pixels = np.stack([cols, rows])
    pixels[:, HOLE] = -9999
    stored = []
    for name, content, grid in (("up.tif", pixels, GRID), ("down.tif", pixels[:, ::-1], upside_down(GRID))):
        path = tmp_path_factory.mktemp("twins") / name
        path.write_bytes(as_tiff(content, grid, nodata=-9999))
        stored.append(open_raster(path))
    return stored[0], stored[1]


@st.composite
def windows(draw: st.DrawFn) -> Window:
    row, col = draw(st.integers(0, 39)), draw(st.integers(0, 55))
    return Window(row, col, draw(st.integers(1, 40 - row)), draw(st.integers(1, 56 - col)))


@given(window=windows(), bands=st.permutations([0, 1]))
def test_south_on_top_reads_like_its_north_up_twin(
    twins: tuple[Raster, Raster], window: Window, bands: list[int]
) -> None:
    up, down = twins
    assert np.array_equal(read(down, window, bands), read(up, window, bands), equal_nan=True)


@given(st.floats(-20, 20), st.floats(-20, 20), windows(), st.booleans())
def test_south_on_top_warps_like_its_north_up_twin(
    twins: tuple[Raster, Raster], cols_px: float, rows_px: float, window: Window, nearest: bool
) -> None:
    up, down = (read(twin.onto(moved(cols_px, rows_px), nearest), window) for twin in twins)
    both = ~np.isnan(up) & ~np.isnan(down)
    assert (np.isnan(up) != np.isnan(down)).mean() < 0.2
    if not nearest:  # a centre right between two pixels may go either way
        assert np.abs(up - down)[both].max(initial=0) < 0.02


def test_south_on_top_is_flipped_everywhere_and_that_is_said(twins: tuple[Raster, Raster]) -> None:
    up, down = twins
    assert down.grid == up.grid
    assert not up.notes
    assert len(down.notes) == 1
    assert "flipped" in down.notes[0]
    assert np.array_equal(thinned(down, [1], 9), thinned(up, [1], 9), equal_nan=True)
    assert np.array_equal(all_of(down.moved(2, 3)), all_of(up.moved(2, 3)), equal_nan=True)
    assert (read_classes(down) == read_classes(up)).all()


@given(st.integers(-45, 45), st.integers(-60, 60), windows())
def test_a_move_by_whole_pixels_brings_what_lies_there(
    twins: tuple[Raster, Raster], rows: int, cols: int, window: Window
) -> None:
    raster = twins[0]
    padded = np.pad(all_of(raster), ((0, 0), (60, 60), (60, 60)), constant_values=np.nan)
    expected = padded[:, 60 + rows : 100 + rows, 60 + cols : 116 + cols][:, window.rows, window.cols]
    there = raster.moved(rows, cols)
    assert there.grid == raster.grid
    assert read(there, window) == pytest.approx(expected, abs=1e-4, nan_ok=True)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_move_by_parts_of_a_pixel_keeps_ramps(twins: tuple[Raster, Raster], rows_px: float, cols_px: float) -> None:
    cols, rows = all_of(twins[0].moved(rows_px, cols_px))
    seen = ~np.isnan(cols)
    inside = np.zeros((40, 56), bool)
    inside[7:-7, 7:-7] = True
    inside[5:28, 22:52] = False  # the hole, wherever it went
    assert seen[inside].all()
    expected_rows, expected_cols = np.indices((40, 56))
    assert np.abs(rows - expected_rows - rows_px)[inside].max() < 0.01
    assert np.abs(cols - expected_cols - cols_px)[inside].max() < 0.01


def test_a_warped_image_is_moved_on_the_grid_it_was_warped_to(coordinates: Raster) -> None:
    cols, rows = all_of(coordinates.onto(moved(4.5, 3.25)).moved(1.5, -2.0))
    expected_rows, expected_cols = np.indices((40, 56)) + 0.5
    assert np.abs(cols - expected_cols - 2.5)[5:-10, 5:-10].max() < 0.01
    assert np.abs(rows - expected_rows - 4.75)[5:-10, 5:-10].max() < 0.01


def test_a_nearest_image_stays_nearest_when_moved(write_tiff: Make) -> None:
    classes = np.where(HOLE, 7, 3).astype(np.uint8)
    there = all_of(open_raster(write_tiff(classes, GRID)).onto(moved(2.4, 1.3), nearest=True).moved(0.4, -0.7))
    assert set(np.unique(there[~np.isnan(there)])) == {3, 7}


LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {"blockysize": 40},
    "strips of 7": {"blockysize": 7},
    "lines, one band after another": {"blockysize": 1, "interleave": "band"},
    "strips, band in pixel": {"blockysize": 16, "interleave": "pixel"},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band"},
    "tiles, band in pixel": {"tiled": True, "blockxsize": 32, "blockysize": 16, "interleave": "pixel"},
    "one tile": {"tiled": True, "blockxsize": 64, "blockysize": 64},
    "packed": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "predictor": 3},
    "big-endian": {"endianness": "big", "bigtiff": "yes"},
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Float, dict[str, Raster]]:
    pixels = np.random.default_rng(0).random((3, 40, 56), np.float32)
    pixels[:, HOLE] = np.nan
    found = {}
    for name, options in LAYOUTS.items():
        path = tmp_path_factory.mktemp("layout") / "image.tif"
        path.write_bytes(as_tiff(pixels, GRID, **options))
        found[name] = open_raster(path)
    return pixels, found


@given(windows(), st.permutations([0, 1, 2]), st.integers(1, 3))
def test_what_is_read_does_not_depend_on_how_it_is_stored(
    layouts: tuple[Float, dict[str, Raster]], window: Window, order: list[int], count: int
) -> None:
    pixels, rasters = layouts
    expected = pixels[order[:count]][:, window.rows, window.cols]
    for name, raster in rasters.items():
        assert np.array_equal(read(raster, window, order[:count]), expected, equal_nan=True), name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_file_is_read_through(layouts: tuple[Float, dict[str, Raster]], layout: str) -> None:
    read_through(layouts[1][layout])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_file_cut_short_is_found_when_read_through(
    layouts: tuple[Float, dict[str, Raster]], tmp_path: Path, layout: str, share: float
) -> None:
    content = as_tiff(layouts[0], GRID, **LAYOUTS[layout])
    (tmp_path / "image.tif").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadInput) as fault:
        read_through(open_raster(tmp_path / "image.tif"))
    require_sentence(fault.value, "CORRUPT")


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (np.zeros((2, 40, 56), np.uint16), {"nodata": 0}),
        (np.full((2, 40, 56), np.nan, np.float32), {}),
        (np.full((2, 40, 56), -3.4e38, np.float32), {}),
        (np.stack([np.where(HOLE, np.nan, 1), np.where(HOLE, 1, np.nan)]).astype(np.float32), {}),
    ],
)
def test_an_image_without_one_whole_pixel_is_refused(write_tiff: Make, pixels: np.ndarray, options: Any) -> None:
    with pytest.raises(BadInput) as fault:
        read_through(open_raster(write_tiff(pixels, GRID, **options)))
    require_sentence(fault.value, "NO_VALID_PIXELS")


def test_one_valid_pixel_is_enough(write_tiff: Make) -> None:
    pixels = np.full((2, 40, 56), np.nan, np.float32)
    pixels[:, 39, 55] = 1
    read_through(open_raster(write_tiff(pixels, GRID)))


@given(st.integers(1, 1300), st.sampled_from([(1300, 3), (700, 20), (3, 900)]))
def test_thinned_is_slicing(tall: dict[tuple[int, int], Raster], most_px: int, shape: tuple[int, int]) -> None:
    raster = tall[shape]
    step = max(1, -(-max(shape) // most_px))
    assert (thinned(raster, [1, 0], most_px) == all_of(raster)[::-1, ::step, ::step]).all()


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Raster]:
    found = {}
    for shape in ((1300, 3), (700, 20), (3, 900)):
        path = tmp_path_factory.mktemp("tall") / "image.tif"
        pixels = np.arange(2 * shape[0] * shape[1], dtype=np.float32).reshape(2, *shape)
        path.write_bytes(as_tiff(pixels, GRID))
        found[shape] = open_raster(path)
    return found


@pytest.mark.parametrize("most_px", [1, 10, 55, 56, 1000])
def test_a_thinned_view_is_small_and_made_of_the_image(coordinates: Raster, most_px: int) -> None:
    cols, rows = thinned(coordinates, [0, 1], most_px)
    assert max(cols.shape) <= most_px
    assert (cols[0] == cols).all()
    assert (rows[:, :1] == rows).all()
    assert set(np.diff(cols[0])) <= {max(1, -(-56 // most_px))}


def test_an_array_of_another_shape_cannot_lie_on_the_grid() -> None:
    require_shape(np.zeros((3, 40, 56)), GRID)
    with pytest.raises(GridMismatch, match=r"40, 55.*40, 56"):
        require_shape(np.zeros((3, 40, 55)), GRID)
