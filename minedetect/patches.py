"""Connected patches of a class raster as polygons with true hectares, written to disk one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import scipy.ndimage
import shapely
from odc.geo.geobox import GeoBox
from shapely import affinity
from shapely.geometry import MultiPolygon, mapping, shape
from shapely.geometry.base import BaseGeometry

from minedetect.files import replacing
from minedetect.grid import row_bands, to_lonlat
from minedetect.measure import zone_hectares

DECIMALS = 7
"""Of a degree: a centimetre."""
SMOOTHING_PX = 0.34
"""Outlines with cut corners keep 0.354 px (the root of an eighth) from pixel centres: none changes sides."""
MOST_AREA_CHANGE = 0.005
"""A patch whose outline would change its area by a larger share keeps its staircase."""
EDGE_STEP_PX = 64
"""Longest straight edge that is moved into degrees by its ends alone."""
AT_A_TIME = 500
MULTIPOLYGON = shapely.GeometryType.MULTIPOLYGON

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """Connected patches (8-connected) of equal values.

    Args:
        zones: int32 (H, W), patch number from 1; 0 outside.
        values: int64 (N,), the value of each patch.
        hectares: float64 (N,), true ground area of each patch.
        grid: where they lie.
    """

    zones: npt.NDArray[np.int32]
    values: npt.NDArray[np.int64]
    hectares: npt.NDArray[np.float64]
    grid: GeoBox

    @property
    def geometries(self) -> tuple[BaseGeometry, ...]:
        """All outlines in the order of the numbers; for scenes with many patches use `outlines`."""
        return tuple(outline for _, outline in sorted(self.outlines(), key=lambda numbered: numbered[0]))

    def outlines(self) -> Iterator[tuple[int, BaseGeometry]]:
        """Each patch's number and its outline in longitude, latitude degrees, a few at a time.

        Staircases of pixels become straight lines; each pixel's centre stays on its side of them, so that
        rasterising the outlines gives the patches again.
        """
        found = rasterio.features.shapes(self.zones, mask=self.zones > 0, connectivity=8)
        while some := list(islice(found, AT_A_TIME)):
            stairs = shapely.make_valid(np.array([shape(geometry) for geometry, _ in some]))
            numbers = (int(number) for _, number in some)
            yield from zip(numbers, in_degrees(_without_stairs(stairs), self.grid), strict=True)


def patches_of(values: npt.NDArray[Any], grid: GeoBox) -> Patches:
    """Number and measure the connected patches of equal values.

    Args:
        values: bool or uint8 (H, W); 0 is no patch.
        grid: where it lies.
    """
    zones = np.zeros(values.shape, np.int32)
    counts: dict[int, int] = {}
    for value in (v for v in np.unique(values).tolist() if v):
        chosen, before = values == value, sum(counts.values())
        numbers = np.empty(values.shape, np.int32)
        counts[int(value)] = scipy.ndimage.label(chosen, structure=np.ones((3, 3)), output=numbers)
        np.add(numbers, before, out=zones, where=chosen)
    each = np.repeat(np.array(list(counts), np.int64), list(counts.values()))
    return Patches(zones, each, zone_hectares(zones, grid, len(each) + 1)[1:], grid)


def mean_of(values: Iterable[npt.NDArray[np.floating[Any]]], patches: Patches) -> list[float | None]:
    """Mean of a raster over each patch, rounded; None where nothing is known.

    Args:
        values: float (h, W) blocks of the raster as `grid.row_bands` cuts them; NaN where nothing is known.
        patches: the patches.
    """
    count = len(patches.values) + 1
    total, pixels = np.zeros(count), np.zeros(count)
    for band, block in zip(row_bands(patches.zones.shape), values, strict=True):
        known = ~np.isnan(block)
        zones = patches.zones[band.rows][known]
        total += np.bincount(zones, block[known], count)
        pixels += np.bincount(zones, minlength=count)
    return [round(float(t / n), 4) if n else None for t, n in zip(total[1:], pixels[1:], strict=True)]


def _without_stairs(stairs: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Outlines along pixel edges as outlines of few corners, valid and of the same area but for half a per cent."""
    smooth = shapely.simplify(_corners_cut(stairs), SMOOTHING_PX)
    area = shapely.area(stairs)
    same = (np.abs(shapely.area(smooth) - area) <= MOST_AREA_CHANGE * area) & shapely.is_valid(smooth)
    return np.where(same, smooth, stairs)


def _corners_cut(stairs: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Each corner replaced by the points half a pixel before and after it: a diagonal staircase becomes straight."""
    _, points, (rings, polygons, parts) = shapely.to_ragged_array(
        np.array([MultiPolygon(shapely.get_parts(s).tolist()) for s in stairs])
    )
    begins = np.ones(len(points) - 1, np.bool_)
    begins[rings[1:-1] - 1] = False  # from the last point of a ring to the first of the next is no edge
    edge = np.diff(points, axis=0)[begins]
    half = 0.5 * edge / np.abs(edge).max(axis=1, keepdims=True)
    cut = np.stack([points[:-1][begins] + half, points[1:][begins] - half], axis=1).reshape(-1, 2)
    starts = 2 * (rings[:-1] - np.arange(len(rings) - 1))  # a ring of n points has n - 1 edges
    closed = np.insert(cut, np.append(starts[1:], len(cut)), cut[starts], axis=0)
    longer = np.append(starts, len(cut)) + np.arange(len(rings))
    return np.asarray(shapely.from_ragged_array(MULTIPOLYGON, closed, (longer, polygons, parts)), dtype=object)


def in_degrees(outlines: npt.NDArray[np.object_], grid: GeoBox) -> list[BaseGeometry]:
    """Outlines in columns and rows of a grid, in longitude and latitude as RFC 7946 wants them.

    Args:
        outlines: (N,) polygons, x the column and y the row.
        grid: where they lie.

    Returns:
        N valid polygons from -180 to 180 degrees, cut at the antimeridian.
    """
    t, to_degrees = grid.transform, to_lonlat(grid)

    def place(points: Points) -> Points:
        col, row = points.T
        lon, lat = to_degrees.transform(t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f)
        return np.stack([unbroken(np.asarray(lon)), lat], axis=1)

    drawn = shapely.make_valid(shapely.transform(shapely.segmentize(outlines, EDGE_STEP_PX), place))
    return [_cut_at_antimeridian(outline) for outline in drawn]


def unbroken(lon: Points) -> Points:
    """Longitudes that go on beyond 180 degrees instead of jumping."""
    return np.asarray(lon - 360 * np.round((lon - lon[0]) / 360))


def _cut_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return geometry
    worlds = (affinity.translate(geometry, turn) for turn in (-360, 0, 360))
    return shapely.union_all([shapely.clip_by_rect(w, -180, -90, 180, 90) for w in worlds])


def feature(geometry: BaseGeometry, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A GeoJSON Feature (RFC 7946: longitude, latitude on WGS 84), seven decimals, valid."""
    rounded: BaseGeometry = shapely.orient_polygons(shapely.set_precision(geometry, 10**-DECIMALS))
    if isinstance(rounded, MultiPolygon) and len(rounded.geoms) == 1:
        rounded = rounded.geoms[0]
    return {"type": "Feature", "properties": dict(properties), "geometry": mapping(rounded)}


def feature_collection(geometries: Sequence[BaseGeometry], properties: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A GeoJSON FeatureCollection of a few geometries; for many use `write_features`."""
    features = [feature(g, p) for g, p in zip(geometries, properties, strict=True)]
    return {"type": "FeatureCollection", "features": features}


def write_features(path: Path, features: Iterable[tuple[BaseGeometry, Mapping[str, Any]]], run_id: str = "") -> None:
    """Write a GeoJSON FeatureCollection, a feature a line; none is kept in memory.

    Args:
        path: the file.
        features: geometries in longitude, latitude degrees, and their properties.
        run_id: a foreign member of the collection (RFC 7946, section 6.1); "" for none.

    Raises:
        BadInput: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        named = f'"run_id": {json.dumps(run_id)}, ' if run_id else ""
        file.write(f'{{"type": "FeatureCollection", {named}"features": [')
        for number, (geometry, properties) in enumerate(features):
            file.write((",\n" if number else "\n") + json.dumps(feature(geometry, properties), allow_nan=False))
        file.write("\n]}\n")
