"""Guarded reading of polygon files: GeoJSON without OGR, GeoPackage and zipped shapefile with it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from minedetect.errors import BadInput

MAX_GEOJSON_BYTES = 50_000_000

Features = tuple[list[dict[str, Any]], list[BaseGeometry | None], CRS]
"""Properties and geometries of each feature, and their CRS."""


def read_geojson(path: Path) -> Features:
    """Properties, geometries and CRS, parsed without OGR, which would follow references in the file."""
    if path.stat().st_size > MAX_GEOJSON_BYTES:
        raise BadInput("TOO_BIG", f"{path.name} is larger than {MAX_GEOJSON_BYTES // 10**6} MB. Simplify the outlines.")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        features = content["features"] if content.get("type") == "FeatureCollection" else [content]
        records = [dict(f.get("properties") or {}) for f in features]
        shapes = [shape(f["geometry"]) if f.get("geometry") else None for f in features]
        member = content.get("crs")
    except OSError as error:
        raise BadInput("NOT_FOUND", f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, shapely.errors.ShapelyError) as error:
        raise BadInput("NOT_GEOJSON", f"{path.name} is not valid GeoJSON ({error}). Export it again.") from error
    try:
        crs = CRS.from_user_input(member["properties"]["name"]) if member else CRS.from_user_input("OGC:CRS84")
    except (CRSError, KeyError, TypeError) as error:
        raise BadInput(
            "NO_CRS", f"{path.name} names a coordinate system that cannot be used. Export it as EPSG:4326."
        ) from error
    return records, shapes, crs


def read_ogr(path: Path) -> Features:
    """Properties, geometries and CRS of a GeoPackage or a zipped shapefile."""
    source = f"GPKG:{path}" if path.suffix.lower() == ".gpkg" else _shapefile_in(path)
    try:
        layers = [name for name, kind in pyogrio.list_layers(source) if kind is not None]
        if len(layers) != 1:
            raise BadInput("LAYERS", f"{path.name} has {len(layers)} layers; export the one with the mines alone.")
        frame = pyogrio.read_dataframe(source, layer=layers[0])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise BadInput("NOT_VECTOR", f"{path.name} cannot be read as polygons ({error}). Export it again.") from error
    if not isinstance(frame, gpd.GeoDataFrame) or frame.crs is None:
        raise BadInput("NO_CRS", f"{path.name} has no polygons with a coordinate system. Export it with one.")
    records = frame.drop(columns="geometry").to_dict("records")
    return records, list(frame.geometry), CRS.from_user_input(frame.crs)


def _shapefile_in(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [n for n in archive.namelist() if n.lower().endswith(".shp") and not Path(n).name.startswith("._")]
    except zipfile.BadZipFile as error:
        raise BadInput("NOT_ZIP", f"{path.name} is not a zip archive. Zip the shapefile's parts again.") from error
    if len(found) != 1:
        raise BadInput("ZIP_MEMBER", f"{path.name} holds {len(found)} shapefiles; put exactly one into it.")
    return f"/vsizip/{path.absolute()}/{found[0]}"
