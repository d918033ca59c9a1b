"""Which TIFF files are opened at all: limits hold exactly, and a refusal is one sentence that says what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from minedetect.config import LimitSettings
from minedetect.errors import BadInput
from minedetect.grid import whole
from minedetect.raster import Raster, open_raster, read, read_through
from minedetect.tiff import MAX_BANDS, SAMPLE_TYPES, Limits, opened, require_all_written

GRID = GeoBox((40, 56), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
Make = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def values(bands: int = 1, dtype: str = "uint8") -> np.ndarray:
    return np.full((bands, 40, 56), 5).astype(dtype)


def refusal(action: Callable[[], object]) -> str:
    """The code of a refusal; its text is one line, and a sentence."""
    with pytest.raises(BadInput) as fault:
        action()
    text = str(fault.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 500
    return fault.value.code


VRT = b"<VRTDataset rasterXSize='2' rasterYSize='2'><VRTRasterBand dataType='Byte' band='1'/></VRTDataset>"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c63600000000200014873e5050000000049454e44ae426082"
)
"""One black pixel."""


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EMPTY"),
        (b"II", "NOT_TIFF"),
        (PNG, "NOT_TIFF"),
        (VRT, "NOT_TIFF"),
        (b"II*\0", "CORRUPT"),
        (b"MM\0*" + bytes(100), "CORRUPT"),
        (b"II+\0" + bytes(100), "CORRUPT"),
    ],
)
def test_content_that_is_no_tiff_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    assert refusal(lambda: open_raster(path)) == code


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(lambda: open_raster(tmp_path / "none.tif")) == "NOT_FOUND"
    assert refusal(lambda: open_raster(tmp_path)) == "NOT_FOUND"


def test_limits_come_from_settings() -> None:
    assert Limits.of(LimitSettings()) == Limits()
    assert Limits.of(LimitSettings(max_side_px=64, max_image_gib=0.5)) == Limits(64, 2**29)


def test_a_side_may_reach_its_limit_and_no_further(write_tiff: Make) -> None:
    for path in (write_tiff(values(), GRID), write_tiff(values().swapaxes(1, 2), GRID, "tall.tif")):
        assert isinstance(open_raster(path, Limits(side_px=56)), Raster)
        assert refusal(lambda path=path: open_raster(path, Limits(side_px=55))) == "TOO_BIG"


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 1), ("uint16", 3), ("float64", 2)])
def test_unpacked_bytes_may_reach_their_limit_and_no_further(write_tiff: Make, dtype: str, bands: int) -> None:
    path = write_tiff(values(bands, dtype), GRID, compress="deflate")
    size = values(bands, dtype).nbytes
    assert isinstance(open_raster(path, Limits(image_bytes=size)), Raster)
    assert refusal(lambda: open_raster(path, Limits(image_bytes=size - 1))) == "TOO_BIG"


def hollow(path: Path, side_px: int, **options: Any) -> Path:
    """A GeoTIFF that stores none of its pixels."""
    profile = {"crs": "EPSG:32735", "transform": GRID.transform, "dtype": "uint8", "count": 1, **options}
    rasterio.open(path, "w", driver="GTiff", width=side_px, height=side_px, sparse_ok=True, **profile).close()
    return path


def tiles(side_px: int) -> dict[str, Any]:
    return {"tiled": True, "blockxsize": side_px, "blockysize": side_px}


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        (tiles(8192), True),
        (tiles(8208), False),
        ({"blockysize": 7456}, True),
        ({"blockysize": 7457}, False),
        ({**tiles(4096), "count": 4, "interleave": "pixel"}, True),
        ({**tiles(4096), "count": 5, "interleave": "pixel"}, False),
        ({**tiles(4096), "count": 5, "interleave": "band"}, True),
        ({**tiles(4096), "dtype": "float32"}, True),
        ({**tiles(4096), "dtype": "float64"}, False),
    ],
)
def test_a_block_unpacks_to_at_most_64_mib(tmp_path: Path, options: dict[str, Any], fits: bool) -> None:
    path = hollow(tmp_path / "blocks.tif", 9000, **options)
    if fits:
        assert isinstance(open_raster(path), Raster)
    else:
        assert refusal(lambda: open_raster(path)) == "BLOCK_TOO_BIG"


def test_as_many_bands_as_the_limit_are_read(write_tiff: Make) -> None:
    assert len(open_raster(write_tiff(values(MAX_BANDS), GRID)).bands) == MAX_BANDS
    assert refusal(lambda: open_raster(write_tiff(values(MAX_BANDS + 1), GRID))) == "BAND_COUNT"


@pytest.mark.parametrize("dtype", SAMPLE_TYPES)
def test_real_numbers_of_any_type_are_read(write_tiff: Make, dtype: str) -> None:
    raster = open_raster(write_tiff(values(2, dtype), GRID))
    assert raster.dtype == dtype
    assert (read(raster, whole(GRID.shape)) == 5).all()


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_numbers_are_refused(tmp_path: Path, dtype: str) -> None:
    assert refusal(lambda: open_raster(hollow(tmp_path / "complex.tif", 40, dtype=dtype))) == "DTYPE"


def test_a_palette_is_refused(write_tiff: Make) -> None:
    path = write_tiff(values(), GRID, colours={0: (0, 0, 0), 5: (255, 0, 0)})
    assert refusal(lambda: open_raster(path)) == "PALETTE"


def test_a_named_band_flagged_as_transparency_is_refused(write_tiff: Make) -> None:
    path = write_tiff(values(3), GRID, bands=("B2", "B3", "B4", "B8"), alpha=np.ones((40, 56), bool))
    with pytest.raises(BadInput, match="B8, as transparency") as fault:
        open_raster(path)
    assert fault.value.code == "ALPHA"


def turned(*steps: Affine) -> Affine:
    place = GRID.transform
    for step in steps:
        place = place @ step
    return place


LOCAL = 'LOCAL_CS["here",UNIT["metre",1]]'
PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "no CRS": ("NO_CRS", {"crs": None}),
    "neither CRS nor place": ("NO_CRS", {"crs": None, "transform": None}),
    "local CRS": ("CRS_UNUSABLE", {"crs": LOCAL}),
    "on Mars": ("CRS_UNUSABLE", {"crs": "ESRI:104905", "transform": Affine(0.1, 0, 20, 0, -0.1, 10)}),
    "geocentric": ("CRS_UNUSABLE", {"crs": "EPSG:4978"}),
    "no transform": ("NO_TRANSFORM", {"transform": None}),
    "identity": ("NO_TRANSFORM", {"transform": Affine.identity()}),
    "NaN": ("NO_TRANSFORM", {"transform": Affine(math.nan, 0, 5e5, 0, -10, 8.6e6)}),
    "infinite": ("NO_TRANSFORM", {"transform": Affine(10, 0, math.inf, 0, -10, 8.6e6)}),
    "no size": ("NO_TRANSFORM", {"transform": Affine(0, 0, 5e5, 0, 0, 8.6e6)}),
    "flat": ("NO_TRANSFORM", {"transform": Affine(10, 10, 5e5, 10, 10, 8.6e6)}),
    "rotated": ("ROTATED", {"transform": turned(Affine.rotation(10))}),
    "sheared": ("ROTATED", {"transform": turned(Affine.shear(5, 0))}),
    "quarter turn": ("ROTATED", {"transform": turned(Affine.rotation(90))}),
    "mirrored": ("ROTATED", {"transform": turned(Affine.scale(-1, 1))}),
    "both ways round": ("ROTATED", {"transform": turned(Affine.scale(-1, -1))}),
    "metres said to be degrees": ("OFF_EARTH", {"crs": "EPSG:4326"}),
    "beyond the pole": ("OFF_EARTH", {"crs": "EPSG:4326", "transform": Affine(0.1, 0, 20, 0, -0.1, 93)}),
    "beyond the projection": ("OFF_EARTH", {"transform": Affine(10, 0, 1e9, 0, -10, 1e9)}),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_image_without_a_plain_place_on_the_earth_is_refused(write_tiff: Make, place: str) -> None:
    code, header = PLACES[place]
    path = write_tiff(values(), GRID, **header)
    assert refusal(lambda: open_raster(path)) == code


@pytest.mark.parametrize("crs", ["EPSG:32735", "EPSG:3857", "ESRI:102022", "EPSG:32735+5773", "EPSG:2154"])
def test_an_image_in_a_common_crs_is_read(write_tiff: Make, crs: str) -> None:
    path = write_tiff(values(), GRID, crs=crs, transform=Affine(10, 0, 500_000, 0, -10, 1_000_000))
    assert open_raster(path).shape == (40, 56)


def test_ground_control_points_alone_are_no_place(tmp_path: Path) -> None:
    corners = ((0, 0), (0, 56), (40, 0), (40, 56))
    points = [GroundControlPoint(r, c, *(GRID.transform @ (c, r))) for r, c in corners]
    path = tmp_path / "points.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=40, width=56, dtype="uint8") as file:
        file.gcps = (points, CRS.from_epsg(32735))
        file.write(values())
    assert refusal(lambda: open_raster(path)) == "GCP_ONLY"


def partly_written(path: Path, interleave: str, **options: Any) -> Path:
    """Tiles of 16 px, of which only those of the upper left quarter are stored."""
    pixels = np.full((2, 32, 32), 7, np.uint16)
    profile = {"crs": "EPSG:32735", "transform": GRID.transform, "dtype": "uint16", "count": 2, **tiles(16), **options}
    with rasterio.open(
        path, "w", driver="GTiff", width=64, height=64, sparse_ok=True, interleave=interleave, **profile
    ) as file:
        file.write(pixels, window=((0, 32), (0, 32)))
    return path


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_were_never_written_are_no_background(tmp_path: Path, interleave: str) -> None:
    raster = open_raster(partly_written(tmp_path / "half.tif", interleave))
    assert refusal(lambda: read_through(raster)) == "CORRUPT"
    with opened(raster.path) as dataset, pytest.raises(BadInput) as fault:
        require_all_written(raster.path, dataset)
    assert ("12 of its 16" if interleave == "pixel" else "24 of its 32") in str(fault.value)


@pytest.mark.parametrize("nodata", [0, 9])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_were_left_out_on_purpose_are_unobserved(tmp_path: Path, interleave: str, nodata: int) -> None:
    raster = open_raster(partly_written(tmp_path / "half.tif", interleave, nodata=nodata))
    read_through(raster)
    seen = read(raster, whole((64, 64)))
    assert (seen[:, :32, :32] == 7).all()
    assert np.isnan(seen[:, 32:]).all()
    assert np.isnan(seen[:, :, 32:]).all()


def test_a_band_that_was_never_written_is_found(tmp_path: Path) -> None:
    path = tmp_path / "second.tif"
    profile = {"crs": "EPSG:32735", "transform": GRID.transform, "dtype": "uint8", "count": 3, "interleave": "band"}
    with rasterio.open(path, "w", driver="GTiff", width=56, height=40, sparse_ok=True, **profile) as file:
        file.write(values()[0], 1)
        file.write(values()[0], 3)
    assert refusal(lambda: read_through(open_raster(path))) == "CORRUPT"


@pytest.mark.parametrize("domain", ["OVERVIEWS", "GEOLOCATION", "ProxyOverviewRequest"])
def test_metadata_that_names_other_files_is_refused(write_tiff: Make, domain: str) -> None:
    path = write_tiff(values(), GRID)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns=domain, OVERVIEW_FILE="/elsewhere/other.tif")
    assert refusal(lambda: open_raster(path)) == "OVERVIEWS"


@pytest.mark.parametrize(
    "beside", ["image.tif.ovr", "image.tif.msk", "image.tif.aux.xml", "image.tfw", "image.tifw", "image.wld"]
)
def test_what_lies_beside_an_image_is_told_and_never_read(write_tiff: Make, tmp_path: Path, beside: str) -> None:
    path = write_tiff(values(), GRID)
    hidden = write_tiff(np.zeros((40, 56), np.uint8), GRID, "other.tif")
    if beside.endswith((".ovr", ".msk")):
        hidden.rename(tmp_path / beside)
    else:
        (tmp_path / beside).write_text("<PAMDataset><SRS>EPSG:3857</SRS></PAMDataset>\n1\n0\n0\n-1\n5\n5\n")
    raster = open_raster(path)
    assert raster.grid == GRID
    assert (read(raster, whole(GRID.shape)) == 5).all()
    assert len(raster.notes) == 1
    assert beside in raster.notes[0]
    assert "ignored" in raster.notes[0]


def test_an_image_alone_draws_no_note(write_tiff: Make) -> None:
    assert open_raster(write_tiff(values(), GRID)).notes == ()
