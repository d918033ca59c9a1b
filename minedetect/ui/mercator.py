"""Rasters read as tiles of the Web Mercator grid (EPSG:3857), as map programs ask for them.

GDAL's VRT driver is switched off here, because files could name others by it; tile libraries need that driver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError  # not all of these are wrapped, and there is no public name
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from minedetect.errors import BadInput
from minedetect.tiff import opened

TILE_PX = 256
HALF_WORLD_M = math.pi * 6_378_137.0
"""Half the side of the square that Web Mercator maps the world onto."""
FINER = 1.25
"""An overview may be so much coarser than the tile before the next finer one is read."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


@dataclass(frozen=True)
class TiledRaster:
    """Header of a raster that tiles are read from.

    Args:
        path: the GeoTIFF.
        bounds: where it lies.
        pixel_m: side of its pixels in metres of Web Mercator.
        overviews: factors of its overviews, ascending.
    """

    path: Path
    bounds: Bounds
    pixel_m: float
    overviews: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> TiledRaster:
        """Read the header of a GeoTIFF.

        Raises:
            BadInput: it cannot be read, or lies nowhere.
        """
        with opened(path) as dataset:
            if dataset.crs is None:
                raise BadInput("NO_CRS", f"{path} has no coordinate reference system.")
            west, south, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
            left, _, right, _ = transform_bounds(dataset.crs, "EPSG:3857", *dataset.bounds)
            pixel_m = (right - left) / dataset.width
            return cls(path, (west, south, east, north), pixel_m, tuple(dataset.overviews(1)))

    def level(self, tile_pixel_m: float) -> int | None:
        """The coarsest overview that is still fine enough; None for the raster itself."""
        fit = [number for number, factor in enumerate(self.overviews) if factor * self.pixel_m <= FINER * tile_pixel_m]
        return fit[-1] if fit else None


def tile_origin_m(place: tuple[int, int, int]) -> tuple[float, float, float]:
    """West and north edge of a tile and the side of its pixels, metres of Web Mercator."""
    column, row, zoom = place
    side_m = 2 * HALF_WORLD_M / 2**zoom
    return column * side_m - HALF_WORLD_M, HALF_WORLD_M - row * side_m, side_m / TILE_PX


def read_tile(
    raster: TiledRaster, place: tuple[int, int, int], resampling: Resampling
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """The pixels of a tile.

    Args:
        raster: what to read.
        place: column, row and zoom of the tile.
        resampling: nearest for classes.

    Returns:
        (C, 256, 256) of the file's own type, and uint8 (256, 256), 255 where there is data and 0 elsewhere.

    Raises:
        BadInput: the pixels cannot be decoded.
    """
    west_m, north_m, pixel_m = tile_origin_m(place)
    level = raster.level(pixel_m)
    finer = {} if level is None else {"OVERVIEW_LEVEL": level}
    try:
        with (
            rasterio.open(raster.path.absolute(), driver="GTiff", **finer) as dataset,
            WarpedVRT(
                dataset,
                crs="EPSG:3857",
                transform=Affine(pixel_m, 0, west_m, 0, -pixel_m, north_m),
                width=TILE_PX,
                height=TILE_PX,
                resampling=resampling,
            ) as warped,
        ):
            pixels = warped.read()
            return pixels, _seen(pixels, dataset.nodata, warped)
    except (RasterioError, CPLE_BaseError) as error:
        raise BadInput("CORRUPT", f"{raster.path} is damaged or cut short ({error}). Run that step again.") from error


def _seen(pixels: npt.NDArray[Any], nodata: float | None, warped: WarpedVRT) -> npt.NDArray[np.uint8]:
    """255 where any band holds data; from the pixels where they tell, for GDAL would warp them all once more."""
    if nodata is None:
        mask: npt.NDArray[np.uint8] = warped.dataset_mask()
        return mask
    data = ~np.isnan(pixels) if math.isnan(nodata) else pixels != nodata
    return np.where(data.any(axis=0), np.uint8(255), np.uint8(0))
