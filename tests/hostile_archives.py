"""Zipped shapefiles: with members that reach out, swell up, hide, lie, or are missing."""

from __future__ import annotations

import functools
import io
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import geopandas as gpd
from hostile_case import Case, Make, Site, altered, cut, data, made, put
from hostile_tiff import MARS
from hostile_vectors import OGR_VRT, POINT, RING, polygon
from shapely.geometry import shape

Members = Iterable[tuple[str | zipfile.ZipInfo, bytes]]


def _shapefile(geometry: dict[str, object], stem: str = "mines") -> dict[str, bytes]:
    """The parts of a shapefile, by name."""

    def make(path: Path, site: Site) -> None:
        gpd.GeoDataFrame({"name": ["pit"]}, geometry=[shape(geometry)], crs="EPSG:4326").to_file(path)

    return made(make, f"{stem}.shp")


def zipped(members: Callable[[], Members]) -> Make:
    """A zip archive; its members are asked for when it is written."""

    def make(path: Path, site: Site) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members():
                filled = site.fill(content.decode()).encode() if b"@" in content and content.isascii() else content
                archive.writestr(name, filled)

    return make


@functools.cache
def good() -> dict[str, bytes]:
    """A shapefile of one outline."""
    return _shapefile(polygon(RING))


def _and(*more: tuple[str | zipfile.ZipInfo, bytes]) -> Make:
    return zipped(lambda: [*good().items(), *more])


def _without(ending: str) -> Make:
    return zipped(lambda: [(n, c) for n, c in good().items() if not n.endswith(ending)])


def _with(ending: str, change: Callable[[bytes], bytes]) -> Make:
    return zipped(lambda: [(n, change(c) if n.endswith(ending) else c) for n, c in good().items()])


def _link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def _inner() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "a")
    return buffer.getvalue()


def _each(content: bytes, signature: bytes, change: Callable[[bytes, int], bytes]) -> bytes:
    """Change a zip at every place where a signature stands."""
    start = content.find(signature)
    while start >= 0:
        content = change(content, start)
        start = content.find(signature, start + 4)
    return content


def _encrypted(content: bytes) -> bytes:
    flagged = _each(content, b"PK\3\4", lambda c, at: put(at + 6, bytes([c[at + 6] | 1]))(c))
    return _each(flagged, b"PK\1\2", lambda c, at: put(at + 8, bytes([c[at + 8] | 1]))(c))


def _lying(content: bytes) -> bytes:
    """The directory says that the last member unpacks to 10 bytes."""
    return put(content.rfind(b"PK\1\2") + 24, struct.pack("<I", 10))(content)


def _worn(content: bytes) -> bytes:
    """One byte within the packed shapes."""
    start = content.index(b"mines.shp") + 30
    return put(start, bytes([content[start] ^ 0x55]))(content)


def _case(name: str, what: str, make: Make, *refuse: str, told: str = "") -> Case:
    return Case("archive", f"z_{name}", f"{name}.zip", what, make, refuse, told, "raster/good.tif")


GOOD = zipped(lambda: good().items())
BOMB = _and(("mines.dbf2", bytes(40_000_000)))

ARCHIVES = [
    _case("good", "nothing is wrong", GOOD),
    _case("folder", "in a folder", zipped(lambda: [(f"a/b/{n}", c) for n, c in good().items()])),
    _case("capitals", "names in capitals", zipped(lambda: [(n.upper(), c) for n, c in good().items()])),
    _case("mac", "with what macOS adds", _and(("__MACOSX/._mines.shp", b"\0\5\x16\7"))),
    _case("climbs", "a member above its folder", _and(("../../climbed.txt", b"x"), ("../n.shp", b"x")), "ZIP_PATH"),
    _case("absolute", "a member with an absolute path", _and(("/tmp/climbed.txt", b"x")), "ZIP_PATH"),
    _case("backslash", "a member with a Windows path", _and(("..\\climbed.txt", b"x")), "ZIP_PATH"),
    _case("drive", "a member on a Windows drive", _and(("C:\\climbed.txt", b"x")), "ZIP_PATH"),
    _case("link", "a member that is a link", _and((_link("mines.qix"), b"@SECRET@/note.txt")), "ZIP_MEMBER"),
    _case(
        "link_shp",
        "the shapefile is a link",
        zipped(
            lambda: [(_link("mines.shp"), b"@SECRET@/note.txt"), *[i for i in good().items() if i[0] != "mines.shp"]]
        ),
        "ZIP_MEMBER",
    ),
    _case("bomb", "40 MB of zeros", BOMB, "ZIP_BOMB"),
    _case("lying", "40 MB of zeros that claim to be 10 bytes", altered(BOMB, _lying), "ZIP_BOMB", "NOT_ZIP"),
    _case("many", "2,000 members", _and(*((f"f{n}", b"") for n in range(2000))), "ZIP_MEMBER"),
    _case("nested", "an archive in it", zipped(lambda: [("mines.zip", _inner())]), "ZIP_MEMBER"),
    _case("nothing", "no member", zipped(list), "ZIP_MEMBER"),
    _case("no_shx", "without .shx", _without(".shx"), "ZIP_MEMBER"),
    _case("no_prj", "without .prj", _without(".prj"), "NO_CRS"),
    _case("no_dbf", "without .dbf", _without(".dbf")),
    _case(
        "two",
        "two shapefiles",
        zipped(lambda: [*good().items(), *_shapefile(polygon(RING), "others").items()]),
        "ZIP_MEMBER",
    ),
    _case(
        "vrt_shp",
        "its .shp is an OGR VRT",
        zipped(lambda: [("mines.shp", OGR_VRT.format("@SECRET@/mines.geojson").encode())]),
        "NOT_SHP",
        "ZIP_MEMBER",
    ),
    _case(
        "vrt_shp_all",
        "its .shp is an OGR VRT, with all parts",
        _with(".shp", lambda _: OGR_VRT.format("@SECRET@/mines.geojson").encode()),
        "NOT_SHP",
    ),
    _case(
        "vrt",
        "an OGR VRT alone",
        zipped(lambda: [("mines.vrt", OGR_VRT.format("@SECRET@/mines.geojson").encode())]),
        "ZIP_MEMBER",
    ),
    _case("points", "points", zipped(lambda: _shapefile(POINT).items()), "NO_POLYGONS"),
    _case("cpg", "a character set that is a path", _with(".cpg", lambda _: b"../../etc/passwd")),
    _case("prj", "a CRS at a URL", _with(".prj", lambda _: b"@URL@/prj"), "NO_CRS", "CRS_UNUSABLE"),
    _case("prj_bytes", "a CRS that is no text", _with(".prj", put(59, b"\xdd\xcf\xcc\xe1")), "NOT_SHP", "NO_CRS"),
    _case("mars", "on Mars", _with(".prj", lambda _: MARS.encode()), "CRS_UNUSABLE"),
    _case("shx_cut", "its index is cut short", _with(".shx", cut(0.94)), "NOT_SHP", "CORRUPT"),
    _case("long", "a record of 2 GB", _with(".shp", put(104, struct.pack(">i", 2**31 - 1)))),
    _case(
        "shx_far",
        "an index that points beyond the end",
        _with(".shx", put(100, struct.pack(">i", 2**30))),
        "CORRUPT",
        "NOT_SHP",
        "NO_POLYGONS",
    ),
    _case("cut", "cut short", altered(GOOD, cut(0.5)), "NOT_ZIP"),
    _case("words", "plain text", data(b"hello"), "NOT_ZIP"),
    _case("empty", "no byte at all", data(b""), "EMPTY"),
    _case("encrypted", "encrypted", altered(GOOD, _encrypted), "ZIP_MEMBER"),
    _case(
        "worn",
        "one byte of a packed member damaged",
        altered(GOOD, _worn),
        "CORRUPT",
        "ZIP_MEMBER",
        "NOT_ZIP",
    ),
]
