"""Guarded reading of GeoTIFFs, and reading them on another grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from minedetect.errors import BadInput, GridMismatch
from minedetect.grid import BAND_ROWS_PX, Window, describe, pixel_size_m, row_bands, same_grid, shape_of
from minedetect.tiff import Limits, check_header, opened, require_all_written, sidecar_notes

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]

BACKGROUND, MINE, IGNORE = 0, 1, 255
"""Values of every class raster: 255 is unknown or unobserved and counts for nothing."""

CHANGE_NODATA = -128
RASTER_SUFFIXES = (".tif", ".tiff", ".gtif")
MOST_PHYSICAL = 1e30
"""No measurement is larger; untagged fill such as -3.4e38 is."""
MOST_CLASS = 2**24
"""Larger whole numbers are not exact in float32."""
CHUNK_BYTES = 64 * 2**20


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
        flipped: stored with its south on top; rows are turned round while reading.
        notes: sentences on what was ignored or turned round.
    """

    path: Path
    grid: GeoBox
    bands: tuple[str, ...]
    dtype: str
    nodata: float | None
    data_bands: tuple[int, ...]
    warp_to: GeoBox | None = None
    nearest: bool = False
    flipped: bool = False
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        return shape_of(self.grid)

    def onto(self, grid: GeoBox, nearest: bool = False) -> Raster:
        """The same image read on another grid, or itself where it lies there already."""
        if same_grid(self.grid, grid):
            return self
        return replace(self, grid=grid, warp_to=grid, nearest=nearest)

    def moved(self, rows_px: float, cols_px: float) -> Raster:
        """The same image with what lies at (row + rows_px, col + cols_px) moved to (row, col), bilinearly."""
        return replace(self, warp_to=self.grid.translate_pix(cols_px, rows_px))


def open_raster(path: Path, limits: Limits | None = None) -> Raster:
    """Read and check the header of a GeoTIFF.

    Args:
        path: the file.
        limits: the largest image to accept; None for the defaults.

    Raises:
        BadInput: no TIFF, damaged, too large, a palette, no CRS, no or a turned transform.
    """
    with opened(path) as dataset:
        check_header(path, dataset, limits or Limits())
        data_bands = tuple(
            i for i, c in zip(dataset.indexes, dataset.colorinterp, strict=True) if c != ColorInterp.alpha
        )
        transform, flipped = dataset.transform, dataset.transform.e > 0
        notes = sidecar_notes(path)
        if flipped:
            transform = transform @ Affine.translation(0, dataset.height) @ Affine.scale(1, -1)
            notes = (*notes, f"{path.name} is stored with its south on top; it was flipped to north-up.")
        if set(dataset.scales) != {1.0} or set(dataset.offsets) != {0.0}:
            notes = (
                *notes,
                f"{path.name} carries scale {dataset.scales[0]:g} and offset {dataset.offsets[0]:g} in its header, "
                "which are not applied. Where they stand for an offset of the product, set --reflectance-offset "
                "(--reflectance-offset-after for the second date).",
            )
        return Raster(
            path=path,
            grid=GeoBox(dataset.shape, transform, dataset.crs),
            bands=tuple(dataset.descriptions[i - 1] or "" for i in data_bands),
            dtype=str(dataset.dtypes[0]),
            nodata=dataset.nodata,
            data_bands=data_bands,
            flipped=flipped,
            notes=notes,
        )


def read_through(raster: Raster) -> None:
    """Decode every block once: a file cut short or damaged shows only then.

    Raises:
        BadInput: a block is missing or cannot be decoded, or no pixel is valid in every band.
    """
    any_valid = False
    with opened(raster.path) as dataset:
        require_all_written(raster.path, dataset)
        for window in _chunks(dataset):
            any_valid = bool(valid(_read_valid(dataset, list(raster.data_bands), window)).any()) or any_valid
    if not any_valid:
        raise BadInput(
            "NO_VALID_PIXELS",
            f"{raster.path} holds no pixel that is valid in every band. Check its nodata value ({raster.nodata}), "
            "or export it again.",
        )


def _chunks(dataset: Any) -> Iterator[Window]:
    """Windows of whole blocks that cover a dataset, each of about `CHUNK_BYTES` as float32."""
    block_rows, block_cols = dataset.block_shapes[0]
    most_px = CHUNK_BYTES // (4 * dataset.count)
    cols = max(1, min(-(-dataset.width // block_cols), most_px // (block_rows * block_cols))) * block_cols
    rows = max(1, most_px // (block_rows * min(cols, dataset.width))) * block_rows
    for row in range(0, dataset.height, rows):
        for col in range(0, dataset.width, cols):
            yield Window(row, col, min(rows, dataset.height - row), min(cols, dataset.width - col))


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
    with opened(raster.path) as dataset:
        if raster.warp_to is None and raster.flipped:
            mirrored = Window(raster.shape[0] - window.row_end, window.col, window.height, window.width)
            return _read_valid(dataset, indexes, mirrored)[:, ::-1]
        if raster.warp_to is None:
            return _read_valid(dataset, indexes, window)
        with _warped(dataset, raster.warp_to, raster.nearest) as warped:
            return _read_valid(warped, indexes, window)


def thinned(raster: Raster, bands: Sequence[int], most_px: int) -> Float:
    """Every n-th row and column of a whole image, so that no side exceeds `most_px`: float32 (C, h, w)."""
    factor = max(1, -(-max(raster.shape) // most_px))
    rows_px = factor * max(1, BAND_ROWS_PX // factor)
    strips = [read(raster, band, bands)[:, ::factor, ::factor].copy() for band in row_bands(raster.shape, rows_px)]
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
    pixels[~(np.abs(pixels) < MOST_PHYSICAL)] = np.nan  # NaN and infinity too
    return pixels


def read_classes(raster: Raster) -> npt.NDArray[np.int32]:
    """The whole first band of a class raster as whole numbers.

    Returns:
        int32 (H, W); IGNORE where there is no observation.

    Raises:
        BadInput: it cannot be decoded, or holds fractions.
    """
    classes = np.empty(raster.shape, np.int32)
    for band in row_bands(raster.shape):
        pixels = read(raster, band, [0])[0]
        if (np.nan_to_num(pixels) % 1 != 0).any() or (np.abs(np.nan_to_num(pixels)) > MOST_CLASS).any():
            raise BadInput(
                "CLASSES",
                f"{raster.path.name} holds fractions or huge values; a class raster holds small whole numbers.",
            )
        classes[band.rows] = np.where(np.isnan(pixels), IGNORE, np.rint(np.nan_to_num(pixels)))
    return classes


def class_values(classes: npt.NDArray[Any]) -> list[int]:
    """The values that occur in a class raster (H, W), ascending."""
    found = {int(v) for band in row_bands((classes.shape[0], classes.shape[1])) for v in np.unique(classes[band.rows])}
    return sorted(found)


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
