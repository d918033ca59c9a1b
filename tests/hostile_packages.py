"""GeoPackages: with several layers, with views that never end, without CRS, damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import geopandas as gpd
from hostile_case import Case, Make, Site, altered, cut, data, put
from hostile_vectors import POINT, RING, polygon
from shapely.geometry import shape


def package(
    *geometries: Any, layers: Iterable[str] = ("mines",), crs: str | None = "EPSG:4326", **options: str
) -> Make:
    """A GeoPackage with the same named polygons in each layer."""

    def make(path: Path, site: Site) -> None:
        shapes = [shape(g) for g in geometries or (polygon(RING),)]
        frame = gpd.GeoDataFrame({"name": [f"pit {n}" for n, _ in enumerate(shapes)]}, geometry=shapes, crs=crs)
        for layer in layers:
            frame.to_file(path, driver="GPKG", layer=layer, **options)

    return make


def with_sql(make: Make, *statements: str) -> Make:
    """A database after some more statements."""

    def write(path: Path, site: Site) -> None:
        make(path, site)
        database = sqlite3.connect(path)
        with database:
            for statement in statements:
                database.execute(site.fill(statement))
        database.close()

    return write


def _wal(path: Path, site: Site) -> None:
    """Written in a mode where even a reader leaves files beside it."""
    GOOD(path, site)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.close()


def _plain_database(path: Path, site: Site) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE mines (name TEXT)")
    database.close()


GOOD = package()
NEVER = (
    "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000) "
    "SELECT i AS fid, NULL AS geom, 'x' AS name FROM n"
)
PLAIN = package(SPATIAL_INDEX="NO")  # an index has triggers, which need functions that SQLite alone lacks
ENDLESS = with_sql(
    GOOD,
    NEVER,
    "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES ('endless', 'features', 'e', 4326)",
    "INSERT INTO gpkg_geometry_columns VALUES ('endless', 'geom', 'POLYGON', 4326, 0, 0)",
)
SYSTEMS = with_sql(
    PLAIN,
    "ALTER TABLE gpkg_spatial_ref_sys RENAME TO hidden",
    "CREATE VIEW gpkg_spatial_ref_sys AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < 1000000000000) SELECT hidden.* FROM n, hidden",
)
VIRTUAL = with_sql(
    PLAIN,
    "ALTER TABLE mines RENAME TO hidden",
    "PRAGMA writable_schema = 1",
    "INSERT INTO sqlite_master VALUES ('table', 'mines', 'mines', 0, "
    "'CREATE VIRTUAL TABLE mines USING VirtualOGR(''@SECRET@/mines.gpkg'')')",
)
INSTEAD = with_sql(
    PLAIN,
    "ALTER TABLE mines RENAME TO hidden",
    "CREATE VIEW mines AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000) "
    "SELECT n.i AS fid, hidden.geom AS geom, hidden.name AS name FROM n, hidden",
)


def _case(name: str, what: str, make: Make, *refuse: str, told: str = "") -> Case:
    return Case("vector", f"g_{name}", f"{name}.gpkg", what, make, refuse, told, "raster/good.tif")


PACKAGES = [
    _case("good", "nothing is wrong", GOOD),
    _case("two_layers", "two layers", package(layers=("mines", "roads")), told="has the layers"),
    _case("view", "a second layer is a view without end", ENDLESS),
    _case("view_only", "its only layer is a view without end", INSTEAD, "NO_POLYGONS", "NOT_GPKG", "LAYER"),
    _case("systems", "its list of CRS is a view without end", SYSTEMS, "NO_CRS", "NOT_GPKG"),
    _case("virtual", "its layer is another user's file", VIRTUAL, "NOT_GPKG", "LAYER", "NO_POLYGONS"),
    _case("wal", "written in a mode where readers leave files", _wal),
    _case("points", "points", package(POINT), "NO_POLYGONS"),
    _case("no_crs", "no CRS", package(crs=None), "NO_CRS"),
    _case("cut", "cut short", altered(GOOD, cut(0.3)), "NOT_GPKG"),
    _case("magic", "SQLite's magic alone", data(b"SQLite format 3\0"), "NOT_GPKG"),
    _case("database", "a database of something else", _plain_database, "NOT_GPKG"),
    _case("words", "plain text", data(b"hello"), "NOT_GPKG"),
    _case("empty", "no byte at all", data(b""), "EMPTY"),
    _case(
        "blob", "a damaged geometry", with_sql(PLAIN, "UPDATE mines SET geom = x'47500001'"), "NO_POLYGONS", "NOT_GPKG"
    ),
    _case("page_size", "a page size that cannot be", altered(GOOD, put(16, b"\x00\x03")), "NOT_GPKG"),
]
