"""A zip archive is one shapefile and nothing else; what is odd is refused, and nothing is unpacked onto the disk."""

from __future__ import annotations

import contextlib
import functools
import io
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from minedetect import archive
from minedetect.archive import shapefile_of
from minedetect.errors import BadInput, MinedetectError
from minedetect.labels import open_labels

Members = Iterable[tuple[str | zipfile.ZipInfo, bytes]]
SQUARE = shapely.box(27.8, -12.5, 27.9, -12.4)


@functools.cache
def parts(stem: str = "mines", encoding: str = "utf-8") -> dict[str, bytes]:
    """The parts of a shapefile of one named mine, by file name."""
    with tempfile.TemporaryDirectory() as folder:
        frame = gpd.GeoDataFrame({"name": ["Grube Süd"]}, geometry=[SQUARE], crs="EPSG:4326")
        frame.to_file(Path(folder) / f"{stem}.shp", encoding=encoding)
        return {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir())}


def zipped(folder: Path, members: Members, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "mines.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def without(*endings: str) -> list[tuple[str, bytes]]:
    return [(name, content) for name, content in parts().items() if not name.endswith(endings)]


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as fault:
        shapefile_of(path)
    text = str(fault.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert "mines.zip" in text
    return fault.value.code


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as clean:
        return clean.namelist()


@pytest.mark.parametrize("folder", ["", "one/", "one/two three/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_shapefile_is_found_wherever_it_lies_and_however_it_is_packed(
    tmp_path: Path, folder: str, method: int
) -> None:
    path = zipped(tmp_path, [(folder + n, c) for n, c in parts().items()], method)
    (outline,) = open_labels(path).outlines
    assert outline.name == "Grube Süd"
    assert outline.geometry.equals(SQUARE)
    assert [p.name for p in tmp_path.iterdir()] == ["mines.zip"]


def test_what_comes_out_is_the_shapefile_alone_under_our_own_names(tmp_path: Path) -> None:
    more = [
        ("mines.qix", b"x"),
        ("mines.shp.xml", b"x"),
        ("readme.txt", b"x"),
        ("other.dbf", b"x"),
        ("a/mines.dbf", b"x"),
    ]
    found = names(shapefile_of(zipped(tmp_path, [*parts().items(), *more])))
    assert sorted(found) == ["mines.cpg", "mines.dbf", "mines.prj", "mines.shp", "mines.shx"]


@pytest.mark.parametrize("case", [str.upper, str.title])
def test_names_may_be_in_capitals(tmp_path: Path, case: object) -> None:
    path = zipped(tmp_path, [(case(n), c) for n, c in parts().items()])  # type: ignore[operator]
    assert len(open_labels(path).outlines) == 1


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    junk = [(f"__MACOSX/._{name}", b"\0\5\x16\7") for name in parts()]
    path = zipped(tmp_path, [*junk, *parts().items(), ("__MACOSX/x/._mines.shp", b"\0"), (".DS_Store", b"x")])
    assert open_labels(path).outlines[0].name == "Grube Süd"


def test_without_a_table_a_mine_has_no_name(tmp_path: Path) -> None:
    assert open_labels(zipped(tmp_path, without(".dbf", ".cpg"))).outlines[0].name == ""


def test_the_character_set_is_that_of_the_file(tmp_path: Path) -> None:
    path = zipped(tmp_path, parts(encoding="ISO-8859-1").items())
    assert open_labels(path).outlines[0].name == "Grube Süd"


@pytest.mark.parametrize("odd", [b"", b"../../etc/passwd", b"x" * 30, b"\0", b"UTF-8\n\n<x>"])
def test_an_odd_character_set_is_left_out(tmp_path: Path, odd: bytes) -> None:
    path = zipped(tmp_path, [*without(".cpg"), ("mines.cpg", odd)])
    assert "mines.cpg" not in names(shapefile_of(path))
    assert open_labels(path).outlines[0].geometry.equals(SQUARE)


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "name",
    ["../climbs.txt", "a/../../climbs.txt", "..", "/etc/climbs", "..\\climbs.txt", "C:\\x", "C:x", "a\\mines.shp"],
)
def test_a_member_that_points_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(zipped(tmp_path, [*parts().items(), (name, b"x")])) == "ZIP_PATH"


ODD_MEMBERS: dict[str, Members] = {
    "none": [],
    "no shapefile": [("a.txt", b"x")],
    "two shapefiles": [*parts().items(), *parts("others").items()],
    "one name in two folders": [*parts().items(), *((f"a/{n}", c) for n, c in parts().items())],
    "a link": [*parts().items(), (link("mines.qix"), b"/etc/passwd")],
    "the shapefile is a link": [(link("mines.shp"), b"/etc/passwd"), *without(".shp")],
    "an archive in it": [*parts().items(), ("more.zip", b"x")],
    "another archive in it": [*parts().items(), ("MORE.TAR", b"x")],
    "too many": [*parts().items(), *((f"f{n}", b"") for n in range(archive.MAX_MEMBERS))],
    "no index": without(".shx"),
}


@pytest.mark.parametrize("odd", ODD_MEMBERS)
def test_anything_but_one_whole_shapefile_is_refused(tmp_path: Path, odd: str) -> None:
    assert refusal(zipped(tmp_path, ODD_MEMBERS[odd])) == "ZIP_MEMBER"


def test_as_many_members_as_the_limit_are_read_and_folders_do_not_count(tmp_path: Path) -> None:
    folders = [(f"folder{n}/", b"") for n in range(30)]
    more = [(f"f{n}", b"") for n in range(archive.MAX_MEMBERS - len(parts()))]
    assert len(open_labels(zipped(tmp_path, [*folders, *more, *parts().items()])).outlines) == 1


def test_nobody_can_say_where_outlines_without_a_prj_lie(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path, without(".prj"))) == "NO_CRS"


MARS = b'GEOGCS["Mars",DATUM["Mars",SPHEROID["Mars",3396190,169.9]],PRIMEM["x",0],UNIT["Degree",0.0174532925199433]]'


@pytest.mark.parametrize("odd", [b"", b"\xff\xfe\x00", b"hello", b'LOCAL_CS["here",UNIT["metre",1]]', MARS])
def test_a_prj_that_names_no_place_on_the_earth_is_refused(tmp_path: Path, odd: bytes) -> None:
    with pytest.raises(BadInput) as fault:
        open_labels(zipped(tmp_path, [*without(".prj"), ("mines.prj", odd)]))
    assert fault.value.code in ("NO_CRS", "CRS_UNUSABLE", "NOT_SHP")


def test_a_shapefile_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    vrt = b"<OGRVRTDataSource><OGRVRTLayer name='mines'></OGRVRTLayer></OGRVRTDataSource>"
    assert refusal(zipped(tmp_path, [("mines.shp", vrt), *without(".shp")])) == "NOT_SHP"


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> Path:
    """An archive with bytes replaced at every place where a signature stands."""
    content = bytearray(path.read_bytes())
    at = content.find(signature)
    while at >= 0:
        content[at + offset : at + offset + len(value)] = value
        at = content.find(signature, at + 4)
    path.write_bytes(content)
    return path


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = patched(zipped(tmp_path, parts().items()), b"PK\3\4", 6, b"\1")
    assert refusal(patched(path, b"PK\1\2", 8, b"\1")) == "ZIP_MEMBER"


@pytest.mark.parametrize("claimed", [None, 10])
def test_a_member_that_swells_is_refused_whatever_it_claims(tmp_path: Path, claimed: int | None) -> None:
    path = zipped(tmp_path, [*parts().items(), ("mines.sbn", bytes(3_000_000))])
    if claimed is not None:
        patched(path, b"PK\1\2", 24, struct.pack("<I", claimed))
    assert refusal(path) in ("ZIP_BOMB", "NOT_ZIP")


def test_a_small_member_of_blanks_is_no_bomb(tmp_path: Path) -> None:
    path = zipped(tmp_path, [*parts().items(), ("readme.txt", b" " * archive.RATIO_FROM_BYTES)])
    assert len(open_labels(path).outlines) == 1


def test_all_members_together_have_a_limit(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(archive.MAX_UNPACKED_BYTES // 6)  # does not pack at all
    path = zipped(tmp_path, [*parts().items(), *((f"f{n}", content) for n in range(6))], zipfile.ZIP_STORED)
    assert refusal(path) == "ZIP_BOMB"


@pytest.mark.parametrize("content", [b"hello", b"PK\5\6", b"PK\3\4" + bytes(40)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mines.zip").write_bytes(content)
    assert refusal(tmp_path / "mines.zip") == "NOT_ZIP"


@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 1))
def test_a_damaged_archive_is_read_or_refused(at: int, change: int, stored: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = zipped(Path(folder), parts().items(), zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
        content = bytearray(path.read_bytes())
        content[at % len(content)] ^= change
        path.write_bytes(content)
        with contextlib.suppress(MinedetectError):
            assert open_labels(path).outlines
        assert [p.name for p in Path(folder).iterdir()] == ["mines.zip"]


def test_an_archive_cut_short_is_refused(tmp_path: Path) -> None:
    content = zipped(tmp_path, parts().items()).read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "mines.zip").write_bytes(content[: int(share * len(content))])
        assert refusal(tmp_path / "mines.zip") == "NOT_ZIP"
