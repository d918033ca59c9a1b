"""Guarded reading of polygon files: GeoJSON without OGR, GeoPackage and zipped shapefile from memory with it."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from minedetect.archive import shapefile_of
from minedetect.errors import BadInput

MAX_GEOJSON_BYTES = 50_000_000
MAX_VECTOR_BYTES = 200 * 2**20
MAX_VERTICES = 2_000_000
MAX_NESTING = 5
SQLITE_MAGIC = b"SQLite format 3\0"
CRS_NAME = re.compile(r"(?:urn:ogc:def:crs:)?(EPSG|OGC|ESRI):(?:[\d.]*:)?([A-Za-z0-9]{1,12})", re.IGNORECASE)


@dataclass(frozen=True)
class Features:
    """What a polygon file holds.

    Args:
        records: attributes of each feature.
        shapes: its polygonal geometry in `crs`, perhaps invalid; None where it has none.
        crs: of the geometries; coordinates run east, north.
        notes: sentences on what was mended while reading.
        undecided: what somebody must choose before these may be used, or "".
    """

    records: list[dict[str, Any]]
    shapes: list[BaseGeometry | None]
    crs: CRS
    notes: tuple[str, ...] = ()
    undecided: str = ""


def read_geojson(path: Path) -> Features:
    """Attributes, geometries and CRS, parsed without OGR, which would follow references in the file.

    Raises:
        BadInput: not GeoJSON, too large, of an unknown CRS, or with coordinates that are no numbers.
    """
    content = _parsed(path)
    try:
        features = _features_of(content)
        records = [dict(f.get("properties") or {}) for f in features]
        reader = _GeometryReader(path.name)
        shapes = [reader.polygons(f.get("geometry")) for f in features]
        member = content.get("crs")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, shapely.errors.ShapelyError) as error:
        raise BadInput("NOT_GEOJSON", f"{path.name} is not valid GeoJSON ({error}). Export it again.") from error
    crs = _named_crs(path, member) if member is not None else CRS.from_user_input("OGC:CRS84")
    return Features(records, shapes, usable(path, crs), reader.notes())


def _parsed(path: Path) -> dict[str, Any]:
    _require_size(path, MAX_GEOJSON_BYTES)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInput("NOT_GEOJSON", f"{path.name} is not valid JSON ({error}). Export it again.") from error
    if not isinstance(content, dict):
        raise BadInput("NOT_GEOJSON", f"{path.name} is JSON, but no GeoJSON object. Export it again.")
    return content


def _require_size(path: Path, most_bytes: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BadInput("NOT_FOUND", f"{path} cannot be read: {error.strerror}. Check the path.") from error
    if size == 0:
        raise BadInput("EMPTY", f"{path.name} is empty. Copy or export it again.")
    if size > most_bytes:
        raise BadInput(
            "TOO_BIG", f"{path.name} has {size / 1e6:,.0f} MB; at most {most_bytes // 10**6} MB are read. Simplify it."
        )


def _features_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    kind = content.get("type")
    if kind == "FeatureCollection":
        features = content["features"]
        if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
            raise ValueError("its features are no list of objects")
        return features
    if kind == "Feature":
        return [content]
    if kind in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return [{"properties": {}, "geometry": content}]
    raise ValueError(f"its type is {str(kind)[:40]!r}")


class _GeometryReader:
    """Makes polygons of GeoJSON geometries, and counts what it mended.

    Args:
        name: the file's, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._vertices = self._closed = self._heights = 0

    def notes(self) -> tuple[str, ...]:
        told = []
        if self._closed:
            told.append(f"{self._closed} rings of {self._name} did not end where they began and were closed.")
        if self._heights:
            told.append(f"Heights in {self._name} were dropped.")
        return tuple(told)

    def polygons(self, geometry: Any, depth: int = 0) -> BaseGeometry | None:
        """The polygonal part of a geometry, None when there is none."""
        if geometry is None:
            return None
        if depth > MAX_NESTING:
            raise ValueError(f"geometries are nested more than {MAX_NESTING} deep")
        kind = geometry["type"]
        found: list[BaseGeometry | None] = []
        if kind == "Polygon":
            found = [self._polygon(geometry["coordinates"])]
        elif kind == "MultiPolygon":
            found = [self._polygon(rings) for rings in geometry["coordinates"]]
        elif kind == "GeometryCollection":
            found = [self.polygons(part, depth + 1) for part in geometry["geometries"]]
        parts = [p for one in found if one is not None for p in shapely.get_parts(one)]
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else MultiPolygon(parts)

    def _polygon(self, rings: Any) -> Polygon | None:
        shell, *holes = [self._ring(ring) for ring in rings] or [None]
        return Polygon(shell, [h for h in holes if h]) if shell else None

    def _ring(self, ring: Any) -> list[tuple[float, float]] | None:
        """Positions of a ring, closed; None where it encloses nothing."""
        if any(len(position) < 2 for position in ring):
            raise ValueError("a position has fewer than two numbers")
        self._heights += any(len(position) > 2 for position in ring)
        if not all(type(value) in (int, float) for position in ring for value in position[:2]):
            raise ValueError("a coordinate is no number")
        flat = [(float(position[0]), float(position[1])) for position in ring]
        if not all(math.isfinite(value) for position in flat for value in position):
            raise BadInput("BAD_COORDS", f"{self._name} has coordinates that are no numbers. Export it again.")
        self._vertices += len(flat)
        if self._vertices > MAX_VERTICES:
            raise BadInput(
                "TOO_MANY_VERTICES", f"{self._name} has more than {MAX_VERTICES:,} vertices. Simplify the outlines."
            )
        if len(flat) > 2 and flat[0] != flat[-1]:
            flat.append(flat[0])
            self._closed += 1
        return flat if len(flat) >= 4 else None


def _named_crs(path: Path, member: Any) -> CRS:
    """The CRS of a `crs` member: a name from a register, nothing that points elsewhere."""
    named = None
    if isinstance(member, dict) and member.get("type") == "name" and isinstance(member.get("properties"), dict):
        named = CRS_NAME.fullmatch(str(member["properties"].get("name", "")))
    try:
        if named is None:
            raise CRSError("it is no name of a register")
        return CRS.from_authority(named[1].upper(), named[2])
    except CRSError as error:
        raise BadInput(
            "CRS_UNUSABLE",
            f"{path.name} names a coordinate system that cannot be used. Export it as EPSG:4326.",
        ) from error


def usable(path: Path, crs: CRS) -> CRS:
    """The CRS itself where it is tied to the Earth.

    Raises:
        BadInput: it is not.
    """
    try:
        if crs.is_geographic or crs.is_projected or crs.is_compound:
            Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
            return crs.to_2d()
        raise ProjError("it is a local one")
    except ProjError as error:
        raise BadInput(
            "CRS_UNUSABLE", f"{path.name} has a coordinate system not tied to the Earth. Export it as EPSG:4326."
        ) from error


def read_packed(path: Path, layer: str = "") -> Features:
    """Attributes, geometries and CRS of a GeoPackage or a zipped shapefile.

    Args:
        path: the file.
        layer: which layer of a GeoPackage to read; "" for the only one.

    Raises:
        BadInput: it is neither, is damaged, or has no CRS or no such layer.
    """
    _require_size(path, MAX_VECTOR_BYTES)
    if path.suffix.lower() == ".gpkg":
        code, (chosen, undecided), content = "NOT_GPKG", _layer_of(path, layer), path.read_bytes()
    else:
        code, (chosen, undecided), content = "NOT_SHP", (None, ""), shapefile_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a file in memory has no suffix for OGR to approve of
            # From memory: nothing beside the file is looked at, nothing is left beside it.
            frame = pyogrio.read_dataframe(content, layer=chosen, on_invalid="ignore", force_2d=True)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
        pyogrio.errors.GeometryError,
        pyogrio.errors.FieldError,
        pyogrio.errors.CRSError,
        CRSError,
        ValueError,
        OverflowError,
        IndexError,  # pyogrio on a shapefile whose index was cut
        NameError,  # pyogrio on a .prj that is no text
        shapely.errors.ShapelyError,
    ) as error:
        raise BadInput(code, f"{path.name} cannot be read as polygons ({error}). Export it again.") from error
    if not isinstance(frame, gpd.GeoDataFrame) or frame.crs is None:
        raise BadInput("NO_CRS", f"{path.name} has no polygons with a coordinate system. Export it with one.")
    _require_few_vertices(path, frame.geometry)
    records = frame.drop(columns=frame.geometry.name).to_dict("records")
    shapes = [_polygonal(g) for g in frame.geometry]
    return Features(records, shapes, usable(path, CRS.from_user_input(frame.crs)), undecided=undecided)


def _layer_of(path: Path, wanted: str) -> tuple[str | None, str]:
    """The layer to read: a table that is registered as features. Views are queries, and never run."""
    journal = path.with_name(path.name + "-wal")
    if journal.is_file() and journal.stat().st_size:
        raise BadInput(
            "OPEN_ELSEWHERE",
            f"{path.name} is open in another program, with edits not yet in the file. Save and close it there.",
        )
    with path.open("rb") as file:
        if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
            raise BadInput("NOT_GPKG", f"{path.name} is no GeoPackage, whatever its name says. Export it again.")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            tables = {
                name
                for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 10000")
            }
            if "gpkg_contents" not in tables:
                raise BadInput("NOT_GPKG", f"{path.name} is a database, but no GeoPackage. Export it again.")
            rows = connection.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features' LIMIT 1000")
            layers = [str(name) for (name,) in rows if name in tables]
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        raise BadInput("NOT_GPKG", f"{path.name} is damaged ({error}). Copy or export it again.") from error
    if not layers or (wanted and wanted not in layers):
        raise BadInput(
            "LAYER", f"{path.name} has no layer {wanted!r}; it has {', '.join(layers)[:200] or 'none with shapes'}."
        )
    if wanted or len(layers) == 1:
        return wanted or layers[0], ""
    return layers[0], (
        f"{path.name} has the layers {', '.join(layers)[:200]}; {layers[0]} was read. Choose with --layer NAME."
    )


def _polygonal(geometry: BaseGeometry | None) -> BaseGeometry | None:
    if geometry is None or geometry.geom_type not in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return None
    flat: BaseGeometry = shapely.force_2d(geometry)
    return flat


def _require_few_vertices(path: Path, shapes: Any) -> None:
    if int(shapely.get_num_coordinates(shapes.to_numpy()).sum()) > MAX_VERTICES:
        raise BadInput(
            "TOO_MANY_VERTICES", f"{path.name} has more than {MAX_VERTICES:,} vertices. Simplify the outlines."
        )
