"""Shapefiles in zip archives: checked member by member, unpacked in memory, never onto the disk."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from minedetect.errors import BadInput

MAX_MEMBERS = 50
MAX_UNPACKED_BYTES = 200 * 2**20
MAX_RATIO = 100
RATIO_FROM_BYTES = 2**20
"""Small tables of blanks pack far better than any bomb needs to; only larger members are judged by ratio."""
READ_BYTES = 2**20
ENCRYPTED = 0x1
SHP_MAGIC = b"\x00\x00\x27\x0a"
PACKED = (".zip", ".gz", ".bz2", ".xz", ".7z", ".tar", ".tgz", ".rar", ".kmz")


def shapefile_of(path: Path) -> bytes:
    """A clean zip archive, in memory, of the one shapefile in a zip archive.

    Args:
        path: the archive.

    Returns:
        The bytes of a new archive that holds .shp, .shx, .prj and, where they are there, .dbf and .cpg.

    Raises:
        BadInput: no archive, hostile members, not exactly one shapefile, or one without .shx or .prj.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(path, archive)
            contents = _unpacked(path, archive, members)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, OSError, ValueError) as error:
        raise BadInput("NOT_ZIP", f"{path.name} is not a whole zip archive ({error}). Zip it again.") from error
    return _packed(_one_shapefile(path, contents))


def _checked(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [m for m in archive.infolist() if not m.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise BadInput("ZIP_MEMBER", f"{path.name} holds {len(members)} files; at most {MAX_MEMBERS} are read.")
    for member in members:
        name = member.orig_filename
        if "\\" in name or name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name or "\0" in name:
            raise BadInput("ZIP_PATH", f"{path.name} holds a file that points out of the archive. Zip it again.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadInput("ZIP_MEMBER", f"{path.name} holds a link. Zip the files themselves.")
        if member.flag_bits & ENCRYPTED:
            raise BadInput("ZIP_MEMBER", f"{path.name} is encrypted. Zip it again without a password.")
        if name.lower().endswith(PACKED):
            raise BadInput("ZIP_MEMBER", f"{path.name} holds another archive. Zip the shapefile itself.")
    return [m for m in members if "__MACOSX" not in PurePosixPath(m.filename).parts]


def _unpacked(path: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> dict[PurePosixPath, bytes]:
    """Every member, counted while it unpacks: what the directory claims is not believed."""
    contents: dict[PurePosixPath, bytes] = {}
    total = 0
    for member in members:
        parts = []
        size = 0
        with archive.open(member) as file:
            while part := file.read(READ_BYTES):
                parts.append(part)
                size += len(part)
                bomb = size > RATIO_FROM_BYTES and size > MAX_RATIO * max(member.compress_size, 1)
                if bomb or total + size > MAX_UNPACKED_BYTES:
                    raise BadInput(
                        "ZIP_BOMB", f"{path.name} unpacks to far more than a shapefile of mines. Zip it again."
                    )
        total += size
        contents[PurePosixPath(member.filename)] = b"".join(parts)
    return contents


def _one_shapefile(path: Path, contents: dict[PurePosixPath, bytes]) -> dict[str, bytes]:
    shapes = [name for name in contents if name.suffix.lower() == ".shp"]
    if len(shapes) != 1:
        raise BadInput("ZIP_MEMBER", f"{path.name} holds {len(shapes)} shapefiles; put exactly one into it.")
    stem = shapes[0].with_suffix("")
    parts = {n.suffix.lower(): content for n, content in contents.items() if n.with_suffix("") == stem}
    if not parts[".shp"].startswith(SHP_MAGIC):
        raise BadInput("NOT_SHP", f"The .shp in {path.name} is no shapefile. Export it again.")
    if ".shx" not in parts:
        raise BadInput("ZIP_MEMBER", f"{path.name} lacks the .shx of its shapefile. Zip all of its parts.")
    if ".prj" not in parts:
        raise BadInput("NO_CRS", f"{path.name} lacks a .prj, so nobody can say where the outlines lie. Add it.")
    if re.fullmatch(rb"[\w -]{1,20}\s*", parts.get(".cpg", b"")) is None:
        parts.pop(".cpg", None)
    return {suffix: parts[suffix] for suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg") if suffix in parts}


def _packed(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for suffix, content in parts.items():
            archive.writestr(f"mines{suffix}", content)
    return buffer.getvalue()
