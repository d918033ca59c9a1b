"""Writing Cloud Optimized GeoTIFFs: window by window, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster

from minedetect.errors import BadInput
from minedetect.files import replacing
from minedetect.grid import Window, describe, row_bands, same_grid, shape_of
from minedetect.raster import open_raster, read, require_shape, to_rasterio
from minedetect.tiff import UNLIMITED


@dataclass(frozen=True)
class CogProfile:
    """What a new raster is: sample type, nodata, band names, metadata.

    Args:
        dtype: numpy dtype name.
        nodata: nodata value.
        bands: description of each band.
        tags: metadata to carry, such as the run id.
        colours: whole numbers are colours, whose overviews are means, not classes.
        rounded: floats have few decimals, so the same ones come again and again: they pack better as they are.
    """

    dtype: str
    nodata: float
    bands: tuple[str, ...]
    tags: Mapping[str, str]
    colours: bool = False
    rounded: bool = False


Write = Callable[[npt.NDArray[Any], Window], None]


@contextmanager
def cog_writer(path: Path, grid: GeoBox, profile: CogProfile) -> Iterator[Write]:
    """Write a raster window by window; it appears under its name only when whole and re-read.

    Windows go to a tiled temporary file. When the block ends well it becomes a Cloud Optimized
    GeoTIFF with overviews, is opened once more and renamed.

    Args:
        path: final name.
        grid: where the pixels lie.
        profile: sample type, nodata, bands, metadata.

    Yields:
        A function that writes (H, W) or (C, H, W) pixels at a window.

    Raises:
        BadInput: the disk is full or the folder cannot be written.
    """
    with replacing(path) as final:
        staging = final.with_name(final.stem + ".staging.tif")
        try:
            with _staging_dataset(staging, grid, profile) as dataset:

                def write(pixels: npt.NDArray[Any], window: Window) -> None:
                    block = pixels[None] if pixels.ndim == 2 else pixels
                    dataset.write(block, window=to_rasterio(window))

                yield write
            _to_cog(staging, final, profile)
            _require_readable(final, grid)
        except RasterioError as error:
            raise BadInput("WRITE", f"{path} could not be written ({error}). Is the disk full?") from error
        finally:
            staging.unlink(missing_ok=True)


def _staging_dataset(path: Path, grid: GeoBox, profile: CogProfile) -> Any:
    dataset = rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.shape[0],
        width=grid.shape[1],
        count=len(profile.bands),
        dtype=profile.dtype,
        nodata=profile.nodata,
        crs=str(grid.crs),
        transform=grid.transform,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        bigtiff="IF_SAFER",
    )
    dataset.descriptions = profile.bands
    dataset.update_tags(**profile.tags)
    return dataset


def _to_cog(staging: Path, final: Path, profile: CogProfile) -> None:
    floating = np.issubdtype(np.dtype(profile.dtype), np.floating)
    copy_raster(
        str(staging),
        str(final),
        driver="COG",
        compress="DEFLATE",
        level=4,  # 6: twice the time for 4 % less
        predictor="NO" if profile.rounded else "FLOATING_POINT" if floating else "STANDARD",
        blocksize=512,
        bigtiff="IF_SAFER",
        num_threads="ALL_CPUS",
        overview_resampling="AVERAGE" if floating or profile.colours else "MODE",
    )


def _require_readable(path: Path, grid: GeoBox) -> None:
    """A file cut short opens without an error: read its last row before it is published."""
    written = open_raster(path, UNLIMITED)
    if not same_grid(written.grid, grid):
        raise BadInput("WRITE", f"{path} was written on another grid than asked: {describe(written.grid)}.")
    read(written, Window(grid.shape[0] - 1, 0, 1, grid.shape[1]))


def write_cog(path: Path, pixels: npt.NDArray[Any], grid: GeoBox, profile: CogProfile) -> None:
    """Write a whole (H, W) or (C, H, W) array as a Cloud Optimized GeoTIFF.

    Raises:
        GridMismatch: the array is not of the grid's shape.
        BadInput: the disk is full or the folder cannot be written.
    """
    require_shape(pixels, grid)
    with cog_writer(path, grid, profile) as write:
        for band in row_bands(shape_of(grid)):
            write(pixels[..., band.rows, :], band)
