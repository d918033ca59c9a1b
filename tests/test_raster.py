"""Pixels keep their places when read, cropped and warped; unusable files are refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
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


def test_a_sidecar_is_never_read(write_tiff: Make) -> None:
    path = write_tiff(values("uint8"), GRID)
    hidden = np.zeros((40, 56), np.uint8)
    sidecar = write_tiff(hidden, GRID, "mask.tif")
    sidecar.rename(path.with_name(path.name + ".msk"))
    path.with_name(path.name + ".aux.xml").write_text("<PAMDataset><SRS>EPSG:3857</SRS></PAMDataset>")
    raster = open_raster(path)
    assert raster.grid == GRID
    assert (all_of(raster) == 5).all()


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


VRT = b"<VRTDataset rasterXSize='2' rasterYSize='2'><VRTRasterBand dataType='Byte' band='1'/></VRTDataset>"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "EMPTY"), (b"II", "NOT_TIFF"), (b"\x89PNG\r\n\x1a\n", "NOT_TIFF"), (VRT, "NOT_TIFF"), (b"II*\0", "CORRUPT")],
)
def test_content_that_is_no_tiff_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    require_sentence(refused(path), code)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    require_sentence(refused(tmp_path / "none.tif"), "NOT_FOUND")
    require_sentence(refused(tmp_path), "NOT_FOUND")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused(write_tiff: Make, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 60_000, (2, 40, 56)).astype(np.uint16)
    path = write_tiff(noise, GRID, compress="deflate")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    require_sentence(refused(path), "CORRUPT")


LOCAL_CRS = 'LOCAL_CS["here",UNIT["metre",1]]'
ODD: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "no CRS": ("NO_CRS", "uint8", {"crs": None}, {}),
    "local CRS": ("NO_CRS", "uint8", {"crs": LOCAL_CRS}, {}),
    "no transform": ("NO_TRANSFORM", "uint8", {"transform": Affine.identity()}, {}),
    "rotated": ("ROTATED", "uint8", {"transform": GRID.transform @ Affine.rotation(10)}, {}),
    "south up": ("ROTATED", "uint8", {"transform": GRID.transform @ Affine.scale(1, -1)}, {}),
    "mirrored": ("ROTATED", "uint8", {"transform": GRID.transform @ Affine.scale(-1, 1)}, {}),
    "palette": ("PALETTE", "uint8", {}, {"colours": {0: (0, 0, 0), 5: (255, 0, 0)}}),
    "complex": ("DTYPE", "complex64", {}, {}),
    "65 bands": ("BAND_COUNT", "uint8", {}, {}),
}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ODD)
def test_unusable_headers_are_refused(write_tiff: Make, kind: str) -> None:
    code, dtype, header, options = ODD[kind]
    pixels = np.full((65 if kind == "65 bands" else 1, 40, 56), 5).astype(dtype)
    path = write_tiff(pixels, GRID, **header, **options)
    with pytest.raises(BadInput) as fault:
        open_raster(path)
    require_sentence(fault.value, code)


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
    assert classes.dtype == np.int64
    assert (classes == np.where(HOLE, IGNORE, stored)).all()


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


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_gdal_driver_is_never_chosen_by_content(write_tiff: Make, tmp_path: Path) -> None:
    path = tmp_path / "picture.tif"
    with rasterio.open(path, "w", driver="PNG", height=4, width=4, count=1, dtype="uint8") as file:
        file.write(np.ones((1, 4, 4), np.uint8))
    require_sentence(refused(path), "NOT_TIFF")


def test_a_named_band_flagged_as_transparency_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "four.tif"
    pixels = np.ones((4, 20, 20), np.uint8)
    profile = {"driver": "GTiff", "height": 20, "width": 20, "count": 4, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(
        path, "w", **profile, crs="EPSG:32735", transform=Affine(10, 0, 5e5, 0, -10, 8e6), alpha="YES"
    ) as file:
        file.write(pixels)
        file.descriptions = ("B2", "B3", "B4", "B8")
    with pytest.raises(BadInput, match="B8, as transparency"):
        open_raster(path)
