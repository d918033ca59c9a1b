"""Connected patches of a class raster as polygons with true hectares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio.features
import scipy.ndimage
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from minedetect.measure import zone_hectares


@dataclass(frozen=True)
class Patches:
    """Connected patches (8-connected) of chosen pixels.

    Args:
        zones: int32 (H, W), patch number from 1; 0 outside.
        hectares: float64 (N,), true ground area of each patch.
        geometries: N polygons in longitude, latitude degrees.
    """

    zones: npt.NDArray[np.int32]
    hectares: npt.NDArray[np.float64]
    geometries: tuple[BaseGeometry, ...]


def patches_of(chosen: npt.NDArray[np.bool_], grid: GeoBox) -> Patches:
    """Outline and measure the connected patches of chosen pixels.

    Args:
        chosen: bool (H, W).
        grid: where it lies.
    """
    zones = np.empty(chosen.shape, np.int32)
    count = scipy.ndimage.label(chosen, structure=np.ones((3, 3)), output=zones)
    parts: list[list[BaseGeometry]] = [[] for _ in range(count)]
    found = rasterio.features.shapes(zones, mask=chosen, connectivity=8, transform=grid.transform)
    for geometry, zone in found:
        parts[int(zone) - 1].append(shapely.make_valid(shape(geometry)))
    outlines = gpd.GeoSeries([shapely.union_all(p) for p in parts], crs=str(grid.crs))
    geometries = tuple(outlines.to_crs("EPSG:4326")) if count else ()
    return Patches(zones, zone_hectares(zones, grid, count + 1)[1:], geometries)


def feature_collection(geometries: Sequence[BaseGeometry], properties: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A GeoJSON FeatureCollection (RFC 7946: longitude, latitude on WGS 84), seven decimals."""
    rounded = [shapely.set_precision(g, 1e-7) for g in geometries]
    features = [
        {"type": "Feature", "properties": p, "geometry": mapping(g)}
        for g, p in zip(shapely.orient_polygons(rounded), properties, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}
