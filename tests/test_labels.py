"""Outlines become the same mask whatever the format; what is dropped, repaired or doubtful is told."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod
from shapely.geometry import mapping, shape

from minedetect.errors import BadInput, GridMismatch
from minedetect.labels import Labels, mask_on, normal_status, open_labels, outline_zones
from minedetect.measure import hectares, polygon_hectares, zone_hectares
from minedetect.raster import IGNORE

GRID = GeoBox((120, 140), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
Make = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def on_ground(*corners: tuple[float, float]) -> shapely.Polygon:
    """A polygon in UTM metres, from corners in pixels (column, row) of the grid."""
    return shapely.Polygon([GRID.transform @ corner for corner in corners])


def square(col: float, row: float, side_px: float) -> shapely.Polygon:
    return on_ground((col, row), (col + side_px, row), (col + side_px, row + side_px), (col, row + side_px))


def lonlat(*polygons: shapely.Polygon) -> list[dict[str, Any]]:
    """The same polygons as GeoJSON objects in degrees."""
    return [mapping(g) for g in gpd.GeoSeries(polygons, crs="EPSG:32735").to_crs("EPSG:4326")]


MINES = (square(10, 20, 30), square(70, 40, 41), on_ground((20, 80), (60, 85), (40, 110)))
PROPERTIES = [
    {"id": "A1", "name": "Nchanga", "status": "Active", "area_ha": 9.0},
    {"id": "A1", "name": "", "status": "acttive"},
    {"name": "Mimbula", "status": "closed "},
]


def refused(path: Path, grid: GeoBox = GRID, **options: Any) -> str:
    """The code of a refusal, at opening or on the grid; its message is one sentence or two."""
    with pytest.raises(BadInput) as fault:
        mask_on(open_labels(path, **options), grid)
    assert "\n" not in str(fault.value)
    assert str(fault.value).endswith(".")
    return fault.value.code


def test_geojson_reads_properties_as_people_write_them(write_geojson: Make) -> None:
    labels = open_labels(write_geojson(lonlat(*MINES), PROPERTIES))
    assert [o.id for o in labels.outlines] == ["A1", "A1", ""]
    assert [o.title for o in labels.outlines] == ["Nchanga", "mine 2", "Mimbula"]
    assert [o.status for o in labels.outlines] == ["active", "active", "inactive"]
    assert [o.status_given for o in labels.outlines] == ["Active", "acttive", "closed"]
    assert [o.claimed_ha for o in labels.outlines] == [9.0, None, None]
    assert [o.index for o in labels.outlines] == [1, 2, 3]
    assert not labels.is_mask
    assert not labels.notes


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Active", "active"),
        (" ACTIVE ", "active"),
        ("acttive", "active"),
        ("", "unknown"),
        ("?", "unknown"),
        ("Abandoned", "inactive"),
        ("inactive", "inactive"),
        ("radioactive", "unknown"),
    ],
)
def test_a_status_is_one_of_three(given: str, status: str) -> None:
    assert normal_status(given) == status


@pytest.mark.parametrize("claim", ["12 ha", True, None, float("nan"), [1]])
def test_an_area_that_is_no_number_is_no_claim(write_geojson: Make, claim: object) -> None:
    labels = open_labels(write_geojson(lonlat(MINES[0]), [{"area_ha": claim, "status": None, "id": 7}]))
    assert labels.outlines[0].claimed_ha is None
    assert labels.outlines[0].status == "unknown"
    assert labels.outlines[0].id == "7"


def test_a_pixel_is_mine_when_its_centre_lies_inside(write_geojson: Make) -> None:
    mask = mask_on(open_labels(write_geojson(lonlat(*MINES))), GRID)
    rows, cols = np.indices(GRID.shape) + 0.5
    x, y = GRID.transform @ (cols, rows)
    expected = shapely.contains_xy(shapely.union_all(MINES), x, y)
    assert mask.dtype == np.uint8
    assert (mask != expected).sum() <= 3
    assert set(np.unique(mask)) == {0, 1}


def named(name: str) -> dict[str, Any]:
    """The `crs` member of GeoJSON before 2016."""
    return {"type": "name", "properties": {"name": name}}


@pytest.mark.parametrize(
    ("name", "crs"),
    [
        ("EPSG:32735", "EPSG:32735"),
        ("urn:ogc:def:crs:EPSG::32735", "EPSG:32735"),
        ("urn:ogc:def:crs:EPSG:9.8.11:32735", "EPSG:32735"),
        ("URN:OGC:DEF:CRS:epsg::32735", "EPSG:32735"),
        ("EPSG:3857", "EPSG:3857"),
        ("EPSG:4326", "EPSG:4326"),
        ("EPSG:9518", "EPSG:4326"),  # with heights
        ("OGC:CRS84", "EPSG:4326"),
        ("OGC:1.3:CRS84", "EPSG:4326"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"),
        ("ESRI:102022", "ESRI:102022"),
    ],
)
def test_a_crs_member_changes_nothing_on_the_ground(write_geojson: Make, name: str, crs: str) -> None:
    told = gpd.GeoSeries(MINES, crs="EPSG:32735").to_crs(crs)
    there = open_labels(write_geojson([mapping(g) for g in told], name="there.geojson", crs=named(name)))
    plain = open_labels(write_geojson(lonlat(*MINES)))
    there_ha, plain_ha = (hectares(mask_on(labels, GRID), GRID, 1) for labels in (there, plain))
    assert there_ha == pytest.approx(plain_ha, rel=1e-3)
    for a, b in zip(there.outlines, plain.outlines, strict=True):
        assert a.hectares() == pytest.approx(b.hectares(), rel=1e-3)


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:4326",
        5,
        {},
        {"type": "link", "properties": {"href": "http://127.0.0.1/x"}},
        {"type": "link", "properties": {"name": "EPSG:4326"}},
        {"type": "name", "properties": None},
        {"properties": {"name": "EPSG:4326"}},
        named("Mars"),
        named(""),
        named("EPSG:0"),
        named("EPSG:32735 "),
        named("epsg.io/4326"),
        named("http://www.opengis.net/def/crs/EPSG/0/4326"),
        named("+proj=longlat +datum=WGS84"),
        named("/etc/passwd"),
        named('GEOGCS["x"]'),
        named("EPSG:5714"),  # heights alone
        named("EPSG:4978"),  # from the Earth's centre
        named("ESRI:104905"),  # Mars
    ],
)
def test_a_crs_member_that_cannot_be_used_is_refused(write_geojson: Make, crs: object) -> None:
    assert refused(write_geojson(lonlat(*MINES), crs=crs)) == "CRS_UNUSABLE"


def test_geopackage_and_zipped_shapefile_equal_geojson(write_geojson: Make, tmp_path: Path) -> None:
    plain = open_labels(write_geojson(lonlat(*MINES), PROPERTIES))
    frame = gpd.GeoDataFrame(
        {key: [p.get(key) for p in PROPERTIES] for key in ("id", "name", "status", "area_ha")},
        geometry=list(MINES),
        crs="EPSG:32735",
    )
    frame.to_file(tmp_path / "mines.gpkg")
    (tmp_path / "parts").mkdir()
    frame.to_file(tmp_path / "parts" / "mines.shp")
    with zipfile.ZipFile(tmp_path / "mines.zip", "w") as archive:
        for part in sorted((tmp_path / "parts").iterdir()):
            archive.write(part, f"folder/{part.name}")
    for name in ("mines.gpkg", "mines.zip"):
        other = open_labels(tmp_path / name)
        assert (mask_on(other, GRID) == mask_on(plain, GRID)).all()
        for a, b in zip(other.outlines, plain.outlines, strict=True):
            assert (a.index, a.id, a.name, a.status, a.claimed_ha) == (b.index, b.id, b.name, b.status, b.claimed_ha)
            assert a.hectares() == pytest.approx(b.hectares(), rel=1e-6)


def test_a_bow_tie_is_repaired_and_its_cost_told(write_geojson: Make) -> None:
    tie = on_ground((10, 10), (50, 50), (50, 10), (10, 50))
    assert not tie.is_valid
    labels = open_labels(write_geojson(lonlat(tie, MINES[2])))
    bow, whole = labels.outlines
    assert bow.geometry.is_valid
    assert bow.hectares() == pytest.approx(40 * 40 / 2 / 100, rel=5e-3)
    assert bow.repair_ha == pytest.approx(bow.hectares(), rel=1e-2)
    assert whole.repair_ha == 0
    assert hectares(mask_on(labels, GRID) & (outline_zones(labels, GRID) == 1), GRID, 1) == pytest.approx(8, rel=0.06)


def test_overlapping_outlines_are_counted_once_for_the_first(write_geojson: Make) -> None:
    labels = open_labels(write_geojson(lonlat(square(10, 10, 40), square(30, 30, 40), square(30, 30, 40))))
    zones = outline_zones(labels, GRID)
    assert zones.dtype == np.int32
    assert [(zones == n).sum() for n in range(1, 4)] == pytest.approx([1600, 1200, 0], abs=5)
    assert (mask_on(labels, GRID) == (zones > 0)).all()
    assert hectares(mask_on(labels, GRID), GRID, 1) == pytest.approx(28.0, rel=5e-3)


def test_holes_are_background(write_geojson: Make) -> None:
    ring = shapely.difference(square(10, 10, 60), square(30, 30, 20))
    labels = open_labels(write_geojson(lonlat(ring)))
    assert mask_on(labels, GRID).sum() == pytest.approx(3200, abs=5)
    assert labels.outlines[0].hectares() == pytest.approx(32, rel=5e-3)


def test_a_hole_drawn_the_other_way_is_still_a_hole(write_geojson: Make) -> None:
    geometry = lonlat(shapely.difference(square(10, 10, 60), square(30, 30, 20)))[0]
    shell, hole = geometry["coordinates"]
    same_way = {"type": "Polygon", "coordinates": [shell, hole[::-1]]}
    labels = open_labels(write_geojson([same_way]))
    assert labels.outlines[0].hectares() == pytest.approx(32, rel=5e-3)


def test_what_is_no_polygon_is_dropped_and_told(write_geojson: Make) -> None:
    point, line = (
        {"type": "Point", "coordinates": [27, -12]},
        {"type": "LineString", "coordinates": [[27, -12], [28, -12]]},
    )
    mixed = {"type": "GeometryCollection", "geometries": [point, *lonlat(MINES[1])]}
    empty = {"type": "Polygon", "coordinates": []}
    labels = open_labels(write_geojson([point, *lonlat(MINES[0]), line, None, empty, mixed]))
    assert [o.index for o in labels.outlines] == [
        1,
        2,
    ]  # the number masks and tables show
    assert labels.notes == ("4 of 6 features hold no polygon and were left out.",)
    assert refused(write_geojson([point, line])) == "NO_POLYGONS"
    assert refused(write_geojson([])) == "NO_POLYGONS"


def test_heights_are_dropped(write_geojson: Make) -> None:
    flat = lonlat(MINES[0])
    high = [mapping(shapely.force_3d(shape(flat[0]), 1200))]
    read = [open_labels(write_geojson(g)) for g in (flat, high)]
    assert (mask_on(read[0], GRID) == mask_on(read[1], GRID)).all()
    assert [labels.notes for labels in read] == [(), ("Heights in mines.geojson were dropped.",)]


@pytest.mark.parametrize(
    "scale",
    [10, 1e5, 1e300, float("inf"), float("nan")],
)
def test_coordinates_off_the_earth_are_refused(write_geojson: Make, scale: float) -> None:
    ring = [[27, -12], [28, -12], [28 * scale, -11], [27, -11], [27, -12]]
    code = "COORD_RANGE" if np.isfinite(scale) else "BAD_COORDS"
    assert refused(write_geojson([{"type": "Polygon", "coordinates": [ring]}])) == code


def test_metres_without_a_crs_are_refused(write_geojson: Make) -> None:
    assert refused(write_geojson([mapping(MINES[0])])) == "COORD_RANGE"


def test_coordinates_that_a_projection_has_no_answer_for_are_refused(write_geojson: Make) -> None:
    far = shapely.box(1e8, 1e8, 2e8, 2e8)
    assert refused(write_geojson([mapping(far)], crs=named("EPSG:32735"))) == "COORD_RANGE"


@pytest.mark.parametrize("place", [(28.5, -12.6), (-150, 10), (117, 10), (-153, 12)])
def test_outlines_elsewhere_are_refused(write_geojson: Make, place: tuple[float, float]) -> None:
    assert refused(write_geojson([mapping(shapely.box(*place, place[0] + 0.1, place[1] + 0.1))])) == "NO_OVERLAP"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "5",
        '{"type": "FeatureCollection"}',
        '{"type": "FeatureCollection", "features": [null]}',
        '{"type": "FeatureCollection", "features": {}}',
        '{"type": "FeatureCollection", "features": [{"geometry": 5}]}',
        '{"type": "FeatureCollection", "features": [{"geometry": {}}]}',
        '{"type": "Feature", "properties": 3, "geometry": null}',
        '{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0], [1], [2], [0]]]}}',
        '{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": 7}}',
        '{"type": "Point", "coordinates": [0, 0]}',
        "[" * 5000,
    ],
)
def test_what_is_no_geojson_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mines.geojson").write_text(text)
    assert refused(tmp_path / "mines.geojson") == "NOT_GEOJSON"


def test_a_single_feature_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    feature = {"type": "Feature", "properties": None, "geometry": lonlat(MINES[0])[0]}
    (tmp_path / "mine.json").write_text("\ufeff" + json.dumps(feature), encoding="utf-8")
    assert len(open_labels(tmp_path / "mine.json").outlines) == 1


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("mines.kml", b"<kml/>", "KIND"),
        ("mines.gpkg", b"no database", "NOT_GPKG"),
        ("mines.gpkg", b"SQLite format 3\0" + bytes(200), "NOT_GPKG"),
        ("mines.zip", b"no archive", "NOT_ZIP"),
        ("mines.tif", b"no raster", "NOT_TIFF"),
        ("mines.geojson", None, "NOT_FOUND"),
        ("mines.geojson", b"", "EMPTY"),
        ("mines.gpkg", b"", "EMPTY"),
        ("mines.zip", b"", "EMPTY"),
        ("mines.geojson", b'{"type": "Feature", "geometry": {"type": "Circle"}}', "NO_POLYGONS"),
        ("mines.geojson", b'{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}', "NO_POLYGONS"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes | None, code: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name) == code


@pytest.mark.parametrize("members", [[], ["a.txt"], ["a.shp", "b.shp"]])
def test_a_zip_holds_one_shapefile(tmp_path: Path, members: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "mines.zip", "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    assert refused(tmp_path / "mines.zip") == "ZIP_MEMBER"


def geopackage(path: Path, *polygons: shapely.Polygon, layer: str = "mines", **columns: list[Any]) -> Path:
    columns = columns or {"id": list(range(len(polygons)))}
    gpd.GeoDataFrame(columns, geometry=list(polygons), crs="EPSG:32735").to_file(path, layer=layer)
    return path


def test_a_table_of_points_holds_no_mines(tmp_path: Path) -> None:
    assert refused(geopackage(tmp_path / "points.gpkg", shapely.Point(500_100, 8_599_900))) == "NO_POLYGONS"


def test_of_two_layers_one_is_chosen_or_somebody_is_asked(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "two.gpkg", MINES[0], layer="old")
    geopackage(path, *MINES[1:], layer="new mines")
    undecided = open_labels(path)
    assert len(undecided.outlines) == 1
    assert "--layer" in undecided.undecided
    assert all(layer in undecided.undecided for layer in ("old", "new mines"))
    for layer, count in (("old", 1), ("new mines", 2)):
        chosen = open_labels(path, layer=layer)
        assert len(chosen.outlines) == count
        assert chosen.undecided == ""
    assert refused(path, layer="newer") == "LAYER"


def test_a_view_is_a_query_and_never_run(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "view.gpkg", MINES[0])
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE VIEW all_mines AS SELECT * FROM mines")
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('all_mines', 'features', 'v')"
        )
    labels = open_labels(path)
    assert labels.undecided == ""
    assert len(labels.outlines) == 1
    assert refused(path, layer="all_mines") == "LAYER"


def test_a_database_that_is_no_geopackage_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mines.gpkg")) as database, database:
        database.execute("CREATE TABLE mines (id INTEGER)")
    assert refused(tmp_path / "mines.gpkg") == "NOT_GPKG"


def test_nothing_is_left_beside_a_geopackage(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "mines.gpkg", *MINES)
    before = path.read_bytes()
    open_labels(path)
    assert [p.name for p in tmp_path.iterdir()] == ["mines.gpkg"]
    assert path.read_bytes() == before


def test_whole_numbers_of_a_table_with_gaps_stay_whole(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "gaps.gpkg", *MINES, id=[1, None, 30_000_000], area_ha=[9.5, None, 2.0])
    labels = open_labels(path)
    assert [o.id for o in labels.outlines] == ["1", "", "30000000"]
    assert [o.claimed_ha for o in labels.outlines] == [9.5, None, 2.0]


SPELLINGS = [
    ("ID", "NAME", "STATUS", "AREA_HA"),
    ("Id", "Name", "Status", "Area_ha"),
    (" id ", "nAme", "status ", "area_HA"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_attributes_are_found_in_any_case(write_geojson: Make, spelling: tuple[str, ...]) -> None:
    record = dict(zip(spelling, (7, "Nchanga", "Active", 9.0), strict=True))
    (outline,) = open_labels(write_geojson(lonlat(MINES[0]), [record])).outlines
    assert (outline.id, outline.name, outline.status, outline.claimed_ha) == ("7", "Nchanga", "active", 9.0)


def test_of_two_attributes_of_one_name_the_first_counts(write_geojson: Make) -> None:
    (outline,) = open_labels(write_geojson(lonlat(MINES[0]), [{"Name": "first", "name": "second"}])).outlines
    assert outline.name == "first"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("two\r\nlines\tand a tab", "two  lines and a tab"),
        ("half \ud83d a sign", "half  a sign"),
        ("right\u202eto left\u2066\u200b", "rightto left"),
        ("\ufeff  Nchanga  ", "Nchanga"),
        ("Kansanshi Süd 🏔 矿山", "Kansanshi Süd 🏔 矿山"),
        ("private \ue000 use", "private  use"),
        (["a", 1], "['a', 1]"),
        (True, "True"),
        (3.0, "3"),
        (3.5, "3.5"),
        (float("nan"), ""),
        (float("inf"), ""),
        (None, ""),
    ],
)
def test_a_name_is_one_printable_line(write_geojson: Make, written: object, read: str) -> None:
    (outline,) = open_labels(write_geojson(lonlat(MINES[0]), [{"name": written, "id": written}])).outlines
    assert outline.name == outline.id == read
    assert outline.name.encode().decode() == read


@given(st.text(max_size=300))
def test_no_name_breaks_a_table_or_a_line(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mines.geojson"
        feature = {"type": "Feature", "properties": {"name": text, "status": text}, "geometry": lonlat(MINES[0])[0]}
        path.write_text(json.dumps(feature), encoding="utf-8")
        (outline,) = open_labels(path).outlines
    for kept in (outline.name, outline.status_given):
        assert len(kept) <= 200
        assert len(kept.splitlines()) <= 1
        assert not [c for c in kept if unicodedata.category(c)[0] == "C"]


def test_rings_left_open_are_closed_and_told(write_geojson: Make) -> None:
    geometries = lonlat(*MINES[:2])
    for geometry in geometries:
        geometry["coordinates"] = [ring[:-1] for ring in geometry["coordinates"]]
    labels = open_labels(write_geojson(geometries))
    assert (mask_on(labels, GRID) == mask_on(open_labels(write_geojson(lonlat(*MINES[:2]))), GRID)).all()
    assert labels.notes == ("2 rings of mines.geojson did not end where they began and were closed.",)


@pytest.mark.parametrize("kind", ["bare", "feature", "multi", "collection", "in each other"])
def test_one_mine_may_be_written_in_several_ways(tmp_path: Path, kind: str) -> None:
    (plain,) = lonlat(MINES[0])
    collected = {"type": "GeometryCollection", "geometries": [plain]}
    content = {
        "bare": plain,
        "feature": {"type": "Feature", "properties": None, "geometry": plain},
        "multi": {"type": "MultiPolygon", "coordinates": [plain["coordinates"]]},
        "collection": collected,
        "in each other": {
            "type": "Feature",
            "geometry": {"type": "GeometryCollection", "geometries": [{"type": "Point"}, collected]},
        },
    }[kind]
    (tmp_path / "mine.geojson").write_text(json.dumps(content))
    (outline,) = open_labels(tmp_path / "mine.geojson").outlines
    assert outline.geometry.equals(shape(plain))


@pytest.mark.parametrize(("depth", "code"), [(5, ""), (6, "NOT_GEOJSON"), (400, "NOT_GEOJSON")])
def test_collections_are_nested_only_so_deep(tmp_path: Path, depth: int, code: str) -> None:
    opening = '{"type": "GeometryCollection", "geometries": ['
    (tmp_path / "mine.geojson").write_text(opening * depth + json.dumps(lonlat(MINES[0])[0]) + "]}" * depth)
    if code:
        assert refused(tmp_path / "mine.geojson") == code
    else:
        assert mask_on(open_labels(tmp_path / "mine.geojson"), GRID).any()


def test_swapped_coordinates_are_recognised(write_geojson: Make) -> None:
    turned = [mapping(shapely.transform(shape(g), lambda xy: xy[:, ::-1])) for g in lonlat(*MINES)]
    with pytest.raises(BadInput, match="longitude comes first") as fault:
        mask_on(open_labels(write_geojson(turned)), GRID)
    assert fault.value.code == "NO_OVERLAP"
    with pytest.raises(BadInput) as elsewhere:
        mask_on(open_labels(write_geojson([mapping(shapely.box(0, 0, 1, 1))])), GRID)
    assert "swapped" not in str(elsewhere.value)


WIDE = GeoBox((720, 700), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
PIT = shapely.Point(WIDE.transform @ (350, 360)).buffer(3000, quad_segs=64)
DUMP = shapely.difference(PIT, shapely.Point(WIDE.transform @ (330, 360)).buffer(2000, quad_segs=64))


def written_as(folder: Path, kind: str, crs: str) -> Path:
    """The two wide outlines in a format and a CRS."""
    frame = gpd.GeoDataFrame({"id": [1, 2]}, geometry=[DUMP, PIT], crs="EPSG:32735").to_crs(crs)
    if kind == "geojson":
        content = {
            "type": "FeatureCollection",
            "crs": named(crs),
            "features": [{"type": "Feature", "properties": {}, "geometry": mapping(g)} for g in frame.geometry],
        }
        (folder / "mines.geojson").write_text(json.dumps(content))
        return folder / "mines.geojson"
    if kind == "gpkg":
        frame.to_file(folder / "mines.gpkg")
        return folder / "mines.gpkg"
    (folder / "parts").mkdir()
    frame.to_file(folder / "parts" / "mines.shp")
    with zipfile.ZipFile(folder / "mines.zip", "w") as archive:
        for part in sorted((folder / "parts").iterdir()):
            archive.write(part, part.name)
    return folder / "mines.zip"


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32735", "EPSG:3857", "EPSG:32734"])
@pytest.mark.parametrize("kind", ["geojson", "gpkg", "zip"])
def test_hectares_are_the_ground_s_whatever_the_format_the_crs_and_the_grid(
    tmp_path: Path, kind: str, crs: str
) -> None:
    labels = open_labels(written_as(tmp_path, kind, crs))
    (ground,) = gpd.GeoSeries([PIT], crs="EPSG:32735").to_crs("EPSG:4326")
    geod = Geod(ellps="WGS84")
    pit_ha = abs(geod.geometry_area_perimeter(ground)[0]) / 1e4
    assert labels.outlines[1].hectares() == pytest.approx(pit_ha, rel=1e-4)
    assert labels.outlines[0].hectares() == pytest.approx(pit_ha * 5 / 9, rel=1e-3)
    for grid in (WIDE, WIDE.to_crs("EPSG:4326"), WIDE.to_crs("EPSG:3857")):
        assert hectares(mask_on(labels, grid), grid, 1) == pytest.approx(pit_ha, rel=1e-3)
        assert zone_hectares(outline_zones(labels, grid), grid, 3)[1:] == pytest.approx(
            [pit_ha * 5 / 9, pit_ha * 4 / 9], rel=1e-3
        )


def mask_raster(write_tiff: Make, *values: int, grid: GeoBox = GRID, **options: Any) -> Path:
    pixels = np.resize(np.array(values, np.uint8), GRID.shape)
    return write_tiff(pixels, grid, "mask.tif", **options)


def test_a_mask_raster_is_taken_as_it_is(write_tiff: Make) -> None:
    path = mask_raster(write_tiff, 0, 1, 255, 1)
    labels = open_labels(path)
    assert labels.is_mask
    assert labels == Labels(path, ())
    assert (mask_on(labels, GRID) == np.resize(np.array([0, 1, 255, 1], np.uint8), GRID.shape)).all()


def test_a_class_raster_needs_its_mine_classes(write_tiff: Make) -> None:
    path = mask_raster(write_tiff, 2, 5, 7, 255)
    assert refused(path) == "CLASSES"
    mask = mask_on(open_labels(path, mine_classes=(5, 7)), GRID)
    assert (mask == np.resize(np.array([0, 1, 1, 255], np.uint8), GRID.shape)).all()
    assert refused(path, mine_classes=(3,)) == "NO_MINE"


def test_nodata_of_a_mask_is_unknown(write_tiff: Make) -> None:
    mask = mask_on(open_labels(mask_raster(write_tiff, 0, 1, 9, nodata=9)), GRID)
    assert (mask == np.resize(np.array([0, 1, IGNORE], np.uint8), GRID.shape)).all()


def test_a_mask_without_mines_or_on_another_grid_is_refused(write_tiff: Make) -> None:
    assert refused(mask_raster(write_tiff, 0, 255)) == "NO_MINE"
    shifted = GeoBox(GRID.shape, GRID.transform @ Affine.translation(1, 0), GRID.crs)
    with pytest.raises(GridMismatch, match="Image and mask"):
        mask_on(open_labels(mask_raster(write_tiff, 0, 1, grid=shifted)), GRID)


def test_outlines_carry_geodesic_hectares(write_geojson: Make) -> None:
    labels = open_labels(write_geojson(lonlat(*MINES)))
    for outline, geometry in zip(labels.outlines, lonlat(*MINES), strict=True):
        assert outline.hectares() == pytest.approx(polygon_hectares(shape(geometry)))
        assert outline.hectares() == pytest.approx(MINES[outline.index - 1].area / 1e4, rel=2e-3)


def test_a_geopackage_with_unsaved_edits_is_refused(tmp_path: Path, write_geojson: Make) -> None:
    labels = open_labels(write_geojson(lonlat(MINES[0])))
    path = tmp_path / "mines.gpkg"
    gpd.GeoDataFrame(geometry=[o.geometry for o in labels.outlines], crs=4326).to_file(path)
    assert len(open_labels(path).outlines) == 1
    path.with_name("mines.gpkg-wal").write_bytes(b"edits")
    assert refused(path) == "OPEN_ELSEWHERE"
