"""Guarded reading of GeoTIFFs, and reading them on another grid."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Sidecar files can be traps of another format; GDAL reads these when it loads (see docs/decisions).
os.environ.setdefault("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
os.environ.setdefault("GDAL_PAM_ENABLED", "NO")
os.environ.setdefault("GDAL_CACHEMAX", "128")
os.environ.setdefault("GDAL_VRT_ENABLE_PYTHON", "NO")

import numpy as np
import numpy.typing as npt
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from minedetect.errors import BadInput, GridMismatch
from minedetect.grid import BAND_ROWS_PX, Window, describe, on_earth, pixel_size_m, row_bands, same_grid, shape_of

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

BACKGROUND, MINE, IGNORE = 0, 1, 255
"""Values of every class raster: 255 is unknown or unobserved and counts for nothing."""

CHANGE_NODATA = -128
MAX_BANDS = 64
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Raster:
    """Header of an image file, read once; pixels are read by window from the path.

    Args:
        path: the GeoTIFF.
        grid: where its pixels lie.
        bands: description of each data band, "" where the file has none.
        dtype: numpy name of the sample type.
        nodata: the nodata tag, or None.
        data_bands: file indexes (from 1) of the data bands, an alpha band left out.
        warp_to: a grid to warp onto while reading, or None to read as stored.
        nearest: warp by nearest neighbour, as classes need, not bilinearly.
    """

    path: Path
    grid: GeoBox
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    data_bands: tuple[int, ...]
    warp_to: GeoBox | None = None
    nearest: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return shape_of(self.grid)

    def onto(self, grid: GeoBox, nearest: bool = False) -> Raster:
        """The same image read on another grid, or itself where it lies there already."""
        if same_grid(self.grid, grid):
            return self
        return replace(self, grid=grid, warp_to=grid, nearest=nearest)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A rasterio dataset of a GeoTIFF, every failure turned into a sentence."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise BadInput("NOT_FOUND", f"{path} cannot be read: {error.strerror}. Check the path.") from error
    if not magic:
        raise BadInput("EMPTY", f"{path} is empty. Copy or export it again.")
    if magic not in TIFF_MAGIC:
        raise BadInput("NOT_TIFF", f"{path} is not a TIFF file, whatever its name says. Export it as GeoTIFF.")
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            yield dataset
    except RasterioError as error:
        raise BadInput("CORRUPT", f"{path} is damaged or cut short ({error}). Copy or export it again.") from error


def open_raster(path: Path) -> Raster:
    """Read and check the header of a GeoTIFF.

    Raises:
        BadInput: no TIFF, damaged, no CRS, no or a turned transform, too many bands, a palette.
    """
    with _opened(path) as dataset:
        _check_header(path, dataset)
        for index, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True):
            if meaning == ColorInterp.alpha and dataset.descriptions[index - 1]:
                raise BadInput(
                    "ALPHA",
                    f"{path} flags band {index}, {dataset.descriptions[index - 1]}, as transparency. "
                    f"If it holds measurements, clear the flag: gdal_edit.py -colorinterp_{index} undefined.",
                )
        data_bands = tuple(
            i for i, c in zip(dataset.indexes, dataset.colorinterp, strict=True) if c != ColorInterp.alpha
        )
        return Raster(
            path=path,
            grid=GeoBox(dataset.shape, dataset.transform, dataset.crs),
            bands=tuple(dataset.descriptions[i - 1] or "" for i in data_bands),
            dtype=str(dataset.dtypes[0]),
            nodata=dataset.nodata,
            data_bands=data_bands,
        )


def _check_header(path: Path, dataset: Any) -> None:
    transform = dataset.transform
    if dataset.count > MAX_BANDS:
        raise BadInput("BAND_COUNT", f"{path} has {dataset.count} bands; at most {MAX_BANDS} are read.")
    if any(c == ColorInterp.palette for c in dataset.colorinterp):
        raise BadInput("PALETTE", f"{path} is a palette picture, not measurements. Export the bands themselves.")
    if "complex" in dataset.dtypes[0]:
        raise BadInput("DTYPE", f"{path} holds {dataset.dtypes[0]} samples; export integers or floats.")
    if not all(np.isfinite(v) for v in transform) or transform.a == 0 or transform.e == 0 or transform.is_identity:
        raise BadInput("NO_TRANSFORM", f"{path} does not say where its pixels lie. Georeference it first.")
    if dataset.crs is None or not (dataset.crs.is_geographic or dataset.crs.is_projected):
        raise BadInput("NO_CRS", f"{path} has no usable coordinate reference system. Assign one, then try again.")
    if not on_earth(GeoBox(dataset.shape, transform, dataset.crs)):
        raise BadInput(
            "OFF_EARTH",
            f"{path} lies outside the Earth by its coordinate system {dataset.crs.to_string()}. "
            "Does it say degrees and mean metres? Assign the right one, then try again.",
        )
    if transform.b or transform.d or transform.e > 0 or transform.a < 0:
        raise BadInput("ROTATED", f"{path} is not north-up. Warp it first, for example with gdalwarp.")


def read(raster: Raster, window: Window, bands: Sequence[int] | None = None) -> Float:
    """Pixels of one window, as stored but in float32 with NaN where there is no observation.

    Args:
        raster: the image; warped bilinearly when it carries `warp_to`.
        window: inside the raster.
        bands: positions (from 0) in `raster.bands`, in the order wanted; None for all.

    Returns:
        float32 (C, H, W), the file's own unit; NaN where nodata, masked, transparent or not finite.

    Raises:
        BadInput: the pixels cannot be decoded.
    """
    positions = range(len(raster.data_bands)) if bands is None else bands
    indexes = [raster.data_bands[p] for p in positions]
    with _opened(raster.path) as dataset:
        if raster.warp_to is None:
            return _read_valid(dataset, indexes, window)
        with _warped(dataset, raster.warp_to, raster.nearest) as warped:
            return _read_valid(warped, indexes, window)


def thinned(raster: Raster, bands: Sequence[int], most_px: int) -> Float:
    """Every n-th row and column of a whole image, so that no side exceeds `most_px`: float32 (C, h, w)."""
    factor = max(1, -(-max(raster.shape) // most_px))
    rows_px = factor * max(1, BAND_ROWS_PX // factor)
    strips = [read(raster, band, bands)[:, ::factor, ::factor] for band in row_bands(raster.shape, rows_px)]
    return np.concatenate(strips, axis=1)


def _warped(dataset: Any, grid: GeoBox, nearest: bool) -> Any:
    """A view of a dataset on another grid; pixels outside its footprint are unobserved."""
    floating = np.issubdtype(np.dtype(dataset.dtypes[0]), np.floating)
    own_alpha = ColorInterp.alpha in dataset.colorinterp
    untagged_nan = floating and dataset.nodata is None and not own_alpha
    return WarpedVRT(
        dataset,
        crs=str(grid.crs),
        transform=grid.transform,
        height=grid.shape[0],
        width=grid.shape[1],
        resampling=Resampling.nearest if nearest else Resampling.bilinear,
        add_alpha=dataset.nodata is None and not own_alpha and not untagged_nan,
        **({"src_nodata": np.nan, "nodata": np.nan} if untagged_nan else {}),
    )


def to_rasterio(window: Window) -> Any:
    """A window as rasterio writes it."""
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)


def _has_mask(dataset: Any) -> bool:
    return any(flags != [MaskFlags.all_valid] for flags in dataset.mask_flag_enums)


def _read_valid(dataset: Any, indexes: list[int], window: Window) -> Float:
    where = to_rasterio(window)
    pixels: Float = dataset.read(indexes, window=where, out_dtype="float32")
    if _has_mask(dataset):
        pixels[dataset.read_masks(indexes, window=where) == 0] = np.nan
    pixels[~np.isfinite(pixels)] = np.nan
    return pixels


def read_classes(raster: Raster) -> npt.NDArray[np.int64]:
    """The whole first band of a class raster as whole numbers.

    Returns:
        int64 (H, W); IGNORE where there is no observation.

    Raises:
        BadInput: it cannot be decoded, or holds fractions.
    """
    classes = np.empty(raster.shape, np.int64)
    for band in row_bands(raster.shape):
        pixels = read(raster, band, [0])[0]
        if (np.nan_to_num(pixels) % 1 != 0).any():
            raise BadInput("CLASSES", f"{raster.path.name} holds fractions; a class raster holds whole numbers.")
        classes[band.rows] = np.where(np.isnan(pixels), IGNORE, np.rint(np.nan_to_num(pixels)))
    return classes


def valid(pixels: Float) -> npt.NDArray[np.bool_]:
    """Where every band was observed: bool (H, W) of float32 (C, H, W)."""
    return np.asarray(~np.isnan(pixels).any(axis=0))


def overlap(a: GeoBox, b: GeoBox) -> float:
    """Share of a's footprint that b covers, 0 to 1."""
    ours = a.extent
    theirs = b.extent.to_crs(ours.crs or "EPSG:4326", resolution="auto")
    return float((ours & theirs).area / ours.area)


def onto_first(first: Raster, second: Raster, nearest: bool = False) -> tuple[Raster, str]:
    """Bring the second date onto the first one's grid.

    Args:
        first: whose grid is kept.
        second: warped where its grid differs.
        nearest: for class rasters.

    Returns:
        The second image, read on the first one's grid, and the sentence that says what was done.

    Raises:
        BadInput: no overlap, or pixel sizes that differ by more than a factor of two.
    """
    if same_grid(first.grid, second.grid):
        return second, "Both dates lie on one grid."
    share = overlap(first.grid, second.grid)
    if share <= 0:
        raise BadInput(
            "NO_OVERLAP", f"{first.path.name} and {second.path.name} do not overlap. Check that both show one place."
        )
    sizes_m = pixel_size_m(first.grid), pixel_size_m(second.grid)
    if max(sizes_m) / min(sizes_m) > 2:
        raise BadInput(
            "PIXEL_SIZE",
            f"Pixel sizes differ too much: {sizes_m[0]:.1f} m and {sizes_m[1]:.1f} m. Resample one of them first.",
        )
    how = "nearest neighbour" if nearest else "bilinear"
    return second.onto(first.grid, nearest), (
        f"{second.path.name} ({describe(second.grid)}) was warped onto the grid of {first.path.name} "
        f"({how}); it covers {share:.1%} of it."
    )


def require_shape(pixels: npt.NDArray[Any], grid: GeoBox) -> None:
    """Raise unless the last two axes are the grid's rows and columns.

    Raises:
        GridMismatch: naming both shapes.
    """
    if pixels.shape[-2:] != shape_of(grid):
        raise GridMismatch(f"An array of {pixels.shape[-2:]} pixels cannot lie on a grid of {shape_of(grid)}.")
