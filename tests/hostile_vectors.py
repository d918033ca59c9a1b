"""Outlines that are another format, damaged, nested without end, misplaced, or name things that are code elsewhere."""

from __future__ import annotations

import json
from typing import Any

from hostile_case import Case, Make, data, text

Json = dict[str, Any]

RING = [[-2.095, 6.327], [-2.091, 6.327], [-2.091, 6.331], [-2.095, 6.331], [-2.095, 6.327]]
"""Lies on the good image."""
HOLE = [[-2.094, 6.328], [-2.094, 6.33], [-2.092, 6.33], [-2.092, 6.328], [-2.094, 6.328]]
METRES = [[600_100, 699_900], [600_300, 699_900], [600_300, 699_700], [600_100, 699_700], [600_100, 699_900]]
STRINGS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><svg/onload=alert(1)>",
    "`${alert(1)}`",
    "'];alert(1);//",
    "{{7*7}}",
    "{% raw %}",
    "{{cycler.__init__.__globals__.os.getpid()}}",
    "{#",
    "[x](javascript:alert(1))",
    "![x](@URL@/beacon)",
    "$\\href{javascript:alert(1)}{x}$",
    ":red[x]",
    "\u202egnp.exe",
    "\x00nul",
    "a\r\nSet-Cookie: x=1",
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    "=cmd|' /C calc'!A0",
    "\uff1d1+1",
)
"""Names of mines that are code in HTML, script, Jinja, Markdown, TeX or a spreadsheet."""


def polygon(*rings: Any) -> Json:
    """A GeoJSON polygon."""
    return {"type": "Polygon", "coordinates": list(rings)}


def collection(*geometries: Json | None, names: tuple[str, ...] = (), **members: Any) -> str:
    """A FeatureCollection as text, its features named in turn."""
    told = [{"name": n} for n in names] + [{}] * (len(geometries) - len(names))
    features = [{"type": "Feature", "properties": p, "geometry": g} for p, g in zip(told, geometries, strict=True)]
    return json.dumps({"type": "FeatureCollection", "features": features, **members})


def named_crs(name: str) -> Json:
    """The `crs` member of GeoJSON before 2016."""
    return {"type": "name", "properties": {"name": name}}


def nested(geometry: Json, depth: int) -> str:
    """A geometry in collections in collections, as text; `json` itself would refuse to write a deep one."""
    feature = '{"type": "Feature", "properties": {}, "geometry": '
    opening = '{"type": "GeometryCollection", "geometries": ['
    inner = opening * depth + json.dumps(geometry) + "]}" * depth
    return '{"type": "FeatureCollection", "features": [' + feature + inner + "}]}"


def _json(name: str, what: str, content: str | Make, *refuse: str, told: str = "") -> Case:
    make = text(content) if isinstance(content, str) else content
    return Case("vector", f"v_{name}", f"{name}.geojson", what, make, refuse, told, "raster/good.tif")


POINT: Json = {"type": "Point", "coordinates": [-2.093, 6.329]}
LINE: Json = {"type": "LineString", "coordinates": RING}
GOOD = collection(polygon(RING), names=("north pit",))
BOWTIE = [RING[0], RING[2], RING[1], RING[3], RING[0]]
OGR_VRT = (
    '<OGRVRTDataSource><OGRVRTLayer name="mines"><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
)
GDALG = {
    "type": "gdal_streamed_alg",
    "command_line": "gdal vector pipeline ! read @SECRET@/mines.geojson",
    "relative_paths_relative_to_this_file": False,
}
XXE = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file://@SECRET@/note.txt">]>'
    '<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml"><gml:featureMember><f><n>&x;</n></f>'
    "</gml:featureMember></gml:FeatureCollection>"
)
KML = (
    '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><NetworkLink><Link><href>@URL@/k</href></Link>'
    "</NetworkLink></Document></kml>"
)
ESRI = {
    "geometryType": "esriGeometryPolygon",
    "spatialReference": {"wkid": 4326},
    "features": [{"attributes": {"a": 1}, "geometry": {"rings": [RING]}}],
}

DISGUISED = [
    _json("ogr_vrt", "OGR VRT over another user's file", OGR_VRT.format("@SECRET@/mines.geojson"), "NOT_GEOJSON"),
    _json("ogr_vrt_url", "OGR VRT over a URL", OGR_VRT.format("/vsicurl/@URL@/a.geojson"), "NOT_GEOJSON"),
    _json("gdalg", "a GDAL pipeline over another user's file", json.dumps(GDALG), "NOT_GEOJSON"),
    _json("wfs", "a web feature service", "<OGRWFSDataSource><URL>@URL@/wfs</URL></OGRWFSDataSource>", "NOT_GEOJSON"),
    _json("gml", "GML with an external entity", XXE, "NOT_GEOJSON"),
    _json("kml", "KML with a network link", KML, "NOT_GEOJSON"),
    _json("csv", "a table with WKT", 'id,WKT\n1,"POLYGON((0 0,1 0,1 1,0 0))"\n', "NOT_GEOJSON"),
    _json("esri", "JSON of another maker", json.dumps(ESRI), "NOT_GEOJSON"),
    _json("topology", "TopoJSON", '{"type": "Topology", "objects": {}, "arcs": []}', "NOT_GEOJSON"),
    _json("words", "plain text", "hello", "NOT_GEOJSON"),
    _json("null", "null", "null", "NOT_GEOJSON"),
    _json("number", "a number of 5,000 digits", "1" * 5000, "NOT_GEOJSON"),
    _json("list", "a list", "[1, 2]", "NOT_GEOJSON"),
    _json("half", "half of it", '{"type": "FeatureCollection", "features": [', "NOT_GEOJSON"),
    _json("utf16", "UTF-16", data(GOOD.encode("utf-16")), "NOT_GEOJSON"),
    _json(
        "latin",
        "Latin-1",
        data(collection(polygon(RING)).replace("{}", '{"name": "é"}').encode("latin-1")),
        "NOT_GEOJSON",
    ),
    _json("deep", "100,000 lists in each other", "[" * 100_000 + "]" * 100_000, "NOT_GEOJSON"),
    _json("deep_shape", "500 collections in each other", nested(polygon(RING), 500), "NOT_GEOJSON"),
    _json("empty", "no byte at all", data(b""), "EMPTY"),
]
SHAPES = [
    _json("good", "nothing is wrong", GOOD),
    _json("bom", "with a byte order mark", "\ufeff" + GOOD),
    _json("one", "a single feature", json.dumps({"type": "Feature", "properties": None, "geometry": polygon(RING)})),
    _json("none", "no feature", collection(), "NO_POLYGONS"),
    _json("points", "points", collection(POINT), "NO_POLYGONS"),
    _json("lines", "lines", collection(LINE), "NO_POLYGONS"),
    _json("two_corners", "a ring of two corners", collection(polygon(RING[:2])), "NO_POLYGONS"),
    _json("flat", "no area", collection(polygon([RING[0], [-2.093, 6.327], RING[1], RING[0]])), "NO_POLYGONS"),
    _json("mixed", "a polygon, a point and nothing", collection(polygon(RING), POINT, None), told="2 of 3 features"),
    _json("bowtie", "crosses itself; its signed area is 0", collection(polygon(BOWTIE)), told="were repaired"),
    _json("open", "a ring that is not closed", collection(polygon(RING[:-1])), told="were closed"),
    _json("heights", "with heights", collection(polygon([[*c, 1200.0] for c in RING])), told="were dropped"),
    _json("hole", "with a hole", collection(polygon(RING, HOLE))),
    _json("twice", "one mine twice", collection(polygon(RING), polygon(RING)), told="too many"),
    _json("nested", "polygon and point in two collections", nested(polygon(RING), 2)),
    _json(
        "strings",
        "coordinates as text",
        collection(polygon([[str(x), str(y)] for x, y in RING])),
        "NOT_GEOJSON",
        "BAD_COORDS",
    ),
    _json(
        "bare", "features that are no objects", '{"type": "FeatureCollection", "features": [1, null]}', "NOT_GEOJSON"
    ),
]
PLACES = [
    _json("outside", "far from the image", collection(polygon([[10, 10], [11, 10], [11, 11], [10, 10]])), "NO_OVERLAP"),
    _json("swapped", "latitude first", collection(polygon([c[::-1] for c in RING])), "NO_OVERLAP"),
    _json(
        "dateline", "across 180 degrees", collection(polygon([[179, 0], [-179, 0], [-179, 1], [179, 0]])), "NO_OVERLAP"
    ),
    _json("metres", "metres, and no word about it", collection(polygon(METRES)), "COORD_RANGE"),
    _json(
        "metres_told", "metres, and said so", collection(polygon(METRES), crs=named_crs("urn:ogc:def:crs:EPSG::32630"))
    ),
    _json("nan", "a coordinate that is no number", collection(polygon([[float("nan"), 6], *RING[1:]])), "BAD_COORDS"),
    _json("infinite", "1e400", GOOD.replace("-2.091", "1e400"), "BAD_COORDS"),
    _json("far", "1e300", GOOD.replace("-2.091", "1e300"), "COORD_RANGE"),
    _json("crs_unknown", "a CRS that is not", collection(polygon(RING), crs=named_crs("EPSG:999999")), "CRS_UNUSABLE"),
    _json("mars", "on Mars", collection(polygon(RING), crs=named_crs("ESRI:104905")), "CRS_UNUSABLE"),
    _json("crs_url", "a CRS at a URL", collection(polygon(RING), crs=named_crs("@URL@/crs")), "CRS_UNUSABLE"),
    _json(
        "crs_link",
        "a link to a CRS",
        collection(polygon(RING), crs={"type": "link", "properties": {"href": "@URL@/link", "type": "proj4"}}),
        "CRS_UNUSABLE",
    ),
    _json(
        "crs_init",
        "a CRS in another user's file",
        collection(polygon(RING), crs=named_crs("+init=@SECRET@/note.txt:1 +type=crs")),
        "CRS_UNUSABLE",
    ),
    _json(
        "crs_grids",
        "a CRS that shifts by another user's file",
        collection(polygon(RING), crs=named_crs("+proj=longlat +ellps=clrk66 +nadgrids=@SECRET@/note.txt +type=crs")),
        "CRS_UNUSABLE",
    ),
    _json(
        "crs_local",
        "a CRS of somebody's own",
        collection(polygon(RING), crs=named_crs('LOCAL_CS["x",UNIT["metre",1]]')),
        "CRS_UNUSABLE",
    ),
]
WORDS = [
    _json("names", "names that are code elsewhere", collection(*[polygon(RING)] * len(STRINGS), names=STRINGS)),
    _json(
        "keys",
        "attributes whose names are code elsewhere",
        GOOD.replace('"name"', '"{{7*7}}<img src=x onerror=alert(1)>"'),
    ),
    _json("proto", "attributes named like Python's own", GOOD.replace('"name"', '"__class__"')),
]
VECTORS = [*DISGUISED, *SHAPES, *PLACES, *WORDS]
