"""Mine outlines: polygons to a mask on an image's grid, masks to polygons; repair and what it cost."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from odc.geo.geobox import GeoBox
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from minedetect.errors import BadInput
from minedetect.grid import require_same_grid, shape_of
from minedetect.measure import polygon_hectares
from minedetect.raster import BACKGROUND, IGNORE, MINE, RASTER_SUFFIXES, Mask, class_values, open_raster, read_classes
from minedetect.tiff import UNLIMITED
from minedetect.vectors import Features, read_geojson, read_packed

MOST_TEXT = 200
KNOWN_KINDS = "images are .tif; labels .geojson, .gpkg, .zip (shapefile) or .tif."
STATUSES = {
    "active": ("active", "acttive", "activ", "aktive"),
    "inactive": ("inactive", "abandoned", "closed", "in-active"),
}


@dataclass(frozen=True)
class Outline:
    """One labelled mine.

    Args:
        index: position among the outlines of the file, from 1; unique where ids are not.
        id: the file's own id, or "".
        name: the file's name, or "".
        status: active, inactive or unknown.
        status_given: the status as written.
        claimed_ha: the `area_ha` attribute, or None.
        geometry: repaired polygons in longitude, latitude degrees (WGS 84).
        repair_ha: hectares by which the repair changed the area as it was written.
        repaired: whether the outline crossed itself.
    """

    index: int
    id: str
    name: str
    status: str
    status_given: str
    claimed_ha: float | None
    geometry: BaseGeometry
    repair_ha: float
    repaired: bool = False

    @property
    def title(self) -> str:
        return self.name or f"mine {self.index}"

    def hectares(self) -> float:
        """Geodesic area of the outline."""
        return polygon_hectares(self.geometry)


@dataclass(frozen=True)
class Labels:
    """Labels of one image: outlines, or a ready mask.

    Args:
        path: the file.
        outlines: the mines, empty when the labels are a mask raster.
        notes: sentences on what was dropped or assumed.
        mine_classes: which values of a class raster are mines, when the labels are one.
        undecided: what somebody must choose before these labels may be used, or "".
        left_out: outlines that somebody wants left out; their ground is unknown.
    """

    path: Path
    outlines: tuple[Outline, ...]
    notes: tuple[str, ...] = ()
    mine_classes: tuple[int, ...] = ()
    undecided: str = ""
    left_out: tuple[Outline, ...] = ()

    @property
    def is_mask(self) -> bool:
        return self.path.suffix.lower() in RASTER_SUFFIXES


def open_labels(path: Path, mine_classes: Sequence[int] = (), layer: str = "") -> Labels:
    """Read polygons (GeoJSON, GeoPackage, zipped shapefile) or the header of a mask GeoTIFF.

    Args:
        path: the file; its suffix picks the parser.
        mine_classes: which values of a class raster are mines; () for a 0/1/255 mask.
        layer: which layer of a GeoPackage to read; "" for the only one.

    Raises:
        BadInput: missing, unreadable, of an unknown kind, without CRS, or without any polygon.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise BadInput("NOT_FOUND", f"{path} does not exist. Check the path of the labels.")
    if suffix in RASTER_SUFFIXES:
        return Labels(path, (), open_raster(path, UNLIMITED).notes, mine_classes=tuple(mine_classes))
    if suffix in (".geojson", ".json"):
        return _collect(path, read_geojson(path))
    if suffix in (".gpkg", ".zip"):
        return _collect(path, read_packed(path, layer))
    raise BadInput("KIND", f"{path.name} is no file this program reads: {KNOWN_KINDS}")


def _collect(path: Path, features: Features) -> Labels:
    for geometry in features.shapes:
        if geometry is not None and not np.isfinite(shapely.get_coordinates(geometry)).all():
            raise BadInput("BAD_COORDS", f"{path.name} has coordinates that are no numbers. Export it again.")
    lonlat = gpd.GeoSeries(features.shapes, crs=features.crs).to_crs("EPSG:4326")
    outlines: list[Outline] = []
    for record, geometry in zip(features.records, lonlat, strict=True):
        if geometry is not None:
            _require_on_earth(path, geometry)
        repaired = _polygons(geometry)
        if repaired is not None:
            moved_ha = 0.0 if geometry.is_valid else abs(polygon_hectares(geometry) - polygon_hectares(repaired))
            outline = _outline(len(outlines) + 1, record, repaired, moved_ha)
            outlines.append(replace(outline, repaired=not geometry.is_valid))
    if not outlines:
        raise BadInput("NO_POLYGONS", f"{path.name} holds no polygon. Draw or export mine outlines as polygons.")
    dropped = len(features.records) - len(outlines)
    notes = (f"{dropped} of {len(features.records)} features hold no polygon and were left out.",) if dropped else ()
    return Labels(path, tuple(outlines), (*features.notes, *notes), undecided=features.undecided)


def _polygons(geometry: BaseGeometry | None) -> BaseGeometry | None:
    """The polygonal part of a geometry, made valid; None when there is none."""
    if geometry is None or geometry.is_empty:
        return None
    repaired = geometry if geometry.is_valid else shapely.make_valid(geometry)
    parts = [p for p in shapely.get_parts(repaired) if isinstance(p, Polygon | MultiPolygon) and p.area > 0]
    return shapely.union_all(parts) if parts else None


def _require_on_earth(path: Path, geometry: BaseGeometry) -> None:
    lon, lat = np.abs(shapely.get_coordinates(geometry)).T
    if not ((lon <= 180).all() and (lat <= 90).all()):  # infinity, where a projection has no answer, fails too
        raise BadInput(
            "COORD_RANGE",
            f"{path.name} has coordinates outside the Earth ({geometry.bounds}). If they are metres, name their "
            "coordinate system in the file; without one they are read as degrees.",
        )


def _outline(index: int, record: dict[str, Any], geometry: BaseGeometry, repair_ha: float) -> Outline:
    attributes = {str(key).strip().lower(): value for key, value in reversed(record.items())}
    return Outline(
        index=index,
        id=_text(attributes.get("id")),
        name=_text(attributes.get("name")),
        status=normal_status(_text(attributes.get("status"))),
        status_given=_text(attributes.get("status")),
        claimed_ha=_number(attributes.get("area_ha")),
        geometry=geometry,
        repair_ha=repair_ha,
    )


def _number(value: Any) -> float | None:
    """A finite number, also where a table holds it as text; else None."""
    try:
        return float(value) if not isinstance(value, bool) and math.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    """An attribute as one short printable line; control signs and halves of characters are left out."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float) and value.is_integer():  # tables with gaps store whole numbers as floats
        value = int(value)
    printable = (" " if c in "\r\n\t" else c for c in str(value) if c in "\r\n\t" or unicodedata.category(c)[0] != "C")
    return "".join(printable).strip()[:MOST_TEXT]


def normal_status(given: str) -> str:
    """A status as people write it, as one of active, inactive, unknown."""
    word = given.strip().lower()
    return next((status for status, spellings in STATUSES.items() if word in spellings), "unknown")


def mask_on(labels: Labels, grid: GeoBox, warp: bool = False) -> Mask:
    """Labels on an image's grid.

    A pixel belongs to a mine when its centre lies inside an outline.

    Args:
        labels: outlines in any place, or a mask raster on the same grid.
        grid: the image's grid.
        warp: bring a mask raster of another grid onto this one (nearest neighbour), as for a second date.

    Returns:
        uint8 (H, W): 0 background, 1 mine, 255 unknown.

    Raises:
        BadInput: a mask raster with values that nobody said are mines; no outline on the image.
        GridMismatch: a mask raster on another grid.
    """
    if labels.is_mask:
        return _mask_from_raster(labels, grid, warp)
    mask = (outline_zones(labels, grid) > 0).astype(np.uint8) * np.uint8(MINE)
    if not mask.any():
        raise BadInput(
            "NO_OVERLAP",
            f"No outline of {labels.path.name} lies on the image. Check that both show one place."
            + (" Its coordinates look swapped: longitude comes first." if _swapped(labels, grid) else ""),
        )
    return mask


def _swapped(labels: Labels, grid: GeoBox) -> bool:
    """Whether outlines would lie on the image if latitude and longitude changed places."""
    footprint = grid.extent.to_crs("EPSG:4326", resolution="auto").geom
    turned = shapely.transform(shapely.union_all([o.geometry for o in labels.outlines]), lambda xy: xy[:, ::-1])
    return bool(turned.intersects(footprint))


def _mask_from_raster(labels: Labels, grid: GeoBox, warp: bool) -> Mask:
    raster = open_raster(labels.path, UNLIMITED)  # it was examined with the user's limits
    if warp:
        raster = raster.onto(grid, nearest=True)
    require_same_grid(raster.grid, grid, "Image and mask")
    values = read_classes(raster)
    found = class_values(values)
    if labels.mine_classes:
        mask = np.where(np.isin(values, labels.mine_classes), MINE, BACKGROUND)
        if IGNORE not in labels.mine_classes or raster.nodata == IGNORE:
            mask[values == IGNORE] = IGNORE
    elif set(found) <= {BACKGROUND, MINE, IGNORE}:
        mask = values
    else:
        raise BadInput(
            "CLASSES",
            f"{labels.path.name} holds the values {found[:12]}; a mask holds 0, 1 and 255. "
            "Say which values are mines: --mine-class N.",
        )
    if not (mask == BACKGROUND).any():
        raise BadInput(
            "NO_BACKGROUND",
            f"{labels.path.name} marks no pixel as background. If 0 is tagged as its nodata value, remove that tag.",
        )
    if not (mask == MINE).any():
        raise BadInput("NO_MINE", f"{labels.path.name} marks no pixel as mine; it holds {found[:12]}.")
    return mask.astype(np.uint8)


def outline_zones(labels: Labels, grid: GeoBox) -> npt.NDArray[np.int32]:
    """Number of the outline (from 1, in the order of `labels.outlines`) that covers each pixel.

    Returns:
        int32 (H, W); 0 outside all. Where outlines overlap, the first in the file keeps the pixel.
    """
    numbered = [(g, n) for n, g in enumerate(on_grid(labels.outlines, grid), start=1) if not g.is_empty]
    zones: npt.NDArray[np.int32] = rasterio.features.rasterize(
        numbered[::-1], out_shape=shape_of(grid), transform=grid.transform, fill=0, dtype="int32"
    )
    return zones


def on_grid(outlines: Sequence[Outline], grid: GeoBox) -> npt.NDArray[np.object_]:
    """Valid polygons in the grid's CRS, in the turn of longitudes that the image uses."""
    as_drawn = gpd.GeoSeries([o.geometry for o in outlines], crs="EPSG:4326")
    shapes = [polygonal(shape) for shape in as_drawn.to_crs(str(grid.crs))]
    if grid.crs is not None and grid.crs.geographic:
        middle_deg = (grid.transform @ (grid.shape[1] / 2, grid.shape[0] / 2))[0]
        shapes = [_turned(shape, middle_deg) for shape in shapes]
    return np.array(shapes, dtype=object)


def polygonal(shape: BaseGeometry) -> BaseGeometry:
    """The polygons of a shape, valid; nothing where a coordinate is not finite."""
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return MultiPolygon()
    valid = shape if shape.is_valid else shapely.make_valid(shape)
    if isinstance(valid, Polygon | MultiPolygon):
        return valid
    return shapely.union_all([p for p in shapely.get_parts(valid) if isinstance(p, Polygon | MultiPolygon)])


def _turned(shape: BaseGeometry, middle_deg: float) -> BaseGeometry:
    """A shape in degrees with each part moved by whole turns to within half a turn of the image's middle."""
    parts = shapely.get_parts(shape)
    turns = [360 * round((middle_deg - part.centroid.x) / 360) for part in parts]
    return shapely.union_all([translate(part, turn) for part, turn in zip(parts, turns, strict=True)])
