"""Files that users hand over: each streamed into a folder of its own while it is counted, limited and hashed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minedetect.errors import BadInput
from minedetect.files import write_text
from minedetect.runs import home

FOLDER = "incoming"
DATA = "MINEDETECT_DATA"
"""Environment variable: a folder of this computer whose files may be used as they lie there."""
IMAGES, OUTLINES = (".tif", ".tiff", ".gtif"), (".geojson", ".json", ".gpkg", ".zip")
LARGEST: Mapping[str, int] = {
    **dict.fromkeys(IMAGES, 4 * 2**30),
    **dict.fromkeys((".geojson", ".json"), 50_000_000),
    **dict.fromkeys((".gpkg", ".zip"), 200 * 2**20),
}
"""Suffixes that are taken, and most bytes of each: as much as is read of their kind."""
ABOUT = "about.json"
UNFINISHED = ".part"
RESERVE_BYTES = 256 * 2**20
"""Left free on the disk, for runs to go on writing."""
LOOK_AGAIN_BYTES = 32 * 2**20
ABANDONED_S = 24 * 3600
MOST_NAME = 200
MOST_LISTED, MOST_SEEN, DEEPEST = 500, 5000, 4

Usage = Callable[[Path], Any]
"""As `shutil.disk_usage`: something with `free`, in bytes."""


@dataclass(frozen=True)
class Stored:
    """A file that arrived whole.

    Args:
        id: names its folder.
        path: where it lies.
        name: as the user's computer calls it; never part of a path.
        sha256: of its content.
        size_bytes: of its content.
        reused: the same content had arrived before and takes no second place on the disk.
    """

    id: str
    path: Path
    name: str
    sha256: str
    size_bytes: int
    reused: bool = False


def incoming_folder() -> Path:
    """Where uploaded files lie."""
    return home() / FOLDER


def kind_of(name: str) -> str:
    """The suffix of a file name, which picks the parser.

    Raises:
        BadInput: files of that kind are not taken.
    """
    suffix = Path(name.lower()).suffix
    if suffix not in LARGEST:
        raise BadInput(
            "KIND",
            f"A file {suffix or 'without a suffix'} is not taken. Images are .tif, .tiff or .gtif; "
            "outlines .geojson, .json, .gpkg, .zip (shapefile) or a mask .tif.",
        )
    return suffix


def require_room(name: str, size_bytes: int, usage: Usage = shutil.disk_usage) -> None:
    """Raise unless a file of that name and size may arrive.

    Raises:
        BadInput: of an unknown kind, empty, too large, or the disk has too little room.
    """
    most = LARGEST[kind_of(name)]
    if size_bytes > most:
        raise BadInput(
            "TOO_BIG",
            f"The file is larger than {most / 2**20:,.0f} MiB, the most that is taken of its kind. Crop or simplify it"
            f"{', or put it into the data folder of the server' if most >= 2**30 else ''}.",
        )
    incoming_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    free = int(usage(incoming_folder()).free)
    if size_bytes + RESERVE_BYTES > free:
        raise BadInput(
            "DISK",
            f"The server's disk has {free / 2**20:,.0f} MiB left; this file needs {size_bytes / 2**20:,.0f} MiB and "
            f"{RESERVE_BYTES // 2**20} MiB stay free. Delete old runs, or ask whoever runs the server.",
        )


class Arriving:
    """A file on its way to the disk.

    Args:
        name: as the user's computer calls it.
        usage: tells the free bytes of the disk.

    Raises:
        BadInput: files of that kind are not taken.
    """

    def __init__(self, name: str, usage: Usage = shutil.disk_usage) -> None:
        self._name, self._usage = _one_line(name), usage
        suffix = kind_of(self._name)
        self.id = str(uuid.uuid4())
        self._folder = incoming_folder() / self.id
        self._folder.mkdir(mode=0o700, parents=True)
        self._path = self._folder / (plain_stem(self._name) + suffix)
        self._hash, self._size, self._looked = hashlib.sha256(), 0, 0
        self._file = os.open(self._folder / UNFINISHED, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            BadInput: too large by now, or the disk is full.
        """
        self._size += len(chunk)
        if self._size > LARGEST[self._path.suffix]:
            require_room(self._name, self._size, self._usage)
        if self._size - self._looked >= LOOK_AGAIN_BYTES:
            require_room(self._name, len(chunk), self._usage)
            self._looked = self._size
        self._hash.update(chunk)
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise BadInput(
                "DISK", f"The file could not be kept: {error.strerror}. Free space, then try again."
            ) from error

    def finish(self) -> Stored:
        """Publish the file under its name; content that arrived before is shared with it.

        Raises:
            BadInput: nothing arrived.
        """
        if not self._size:
            raise BadInput("EMPTY", "The file is empty. Copy or export it again.")
        os.fsync(self._file)
        digest = self._hash.hexdigest()
        twin = next((s for s in _all() if s.sha256 == digest and s.size_bytes == self._size), None)
        reused = twin is not None and _share(twin.path, self._path)
        if reused:
            (self._folder / UNFINISHED).unlink()
        else:
            (self._folder / UNFINISHED).replace(self._path)
        about = {"name": self._name, "file": self._path.name, "sha256": digest, "size_bytes": self._size}
        write_text(self._folder / ABOUT, json.dumps(about, ensure_ascii=False) + "\n")
        return Stored(self.id, self._path, self._name, digest, self._size, reused)

    def close(self) -> None:
        """Let go of the file; what was not finished is removed."""
        os.close(self._file)
        if not (self._folder / ABOUT).is_file():
            shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def arriving(name: str, usage: Usage = shutil.disk_usage) -> Iterator[Arriving]:
    """A file on its way; nothing of it stays when the block ends badly.

    Raises:
        BadInput: files of that kind are not taken.
    """
    file = Arriving(name, usage)
    try:
        yield file
    finally:
        file.close()


def _share(content: Path, name: Path) -> bool:
    """Give content a second name; False where the file system cannot, or the content is gone."""
    with suppress(OSError):
        os.link(content, name)
        return True
    return False


def plain_stem(name: str) -> str:
    """What a stored file is called for people who read reports: letters, digits, - and _ of its own name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name.replace("\\", "/")).stem)[:60].strip("_-") or "file"


def _one_line(name: str) -> str:
    return "".join(c if c.isprintable() else " " for c in name).strip()[-MOST_NAME:]


def stored(identity: str) -> Stored:
    """A file that arrived, by its id as it comes back from a page.

    Raises:
        BadInput: there is no such file.
    """
    try:
        if str(uuid.UUID(identity)) != identity:
            raise ValueError(identity)
        folder = incoming_folder() / identity
        told = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        path = folder / Path(told["file"]).name
        return Stored(identity, path, str(told["name"]), str(told["sha256"]), int(told["size_bytes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput("NOT_FOUND", "That file is no longer on the server. Upload it again.") from error


def _all() -> Iterator[Stored]:
    for about in incoming_folder().glob(f"*/{ABOUT}"):
        with suppress(BadInput):
            yield stored(about.parent.name)


def sweep() -> None:
    """Remove what uploads left half done when the server was killed."""
    for folder in incoming_folder().glob("*"):
        with suppress(OSError):
            if not (folder / ABOUT).is_file() and time.time() - folder.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)


def data_folder() -> Path | None:
    """The folder whose files may be used as they lie there; None where nobody chose one."""
    given = os.environ.get(DATA, "").strip()
    return Path(given).expanduser().resolve() if given else None


def server_files() -> list[str]:
    """Files in the data folder that could be used, as paths relative to it; the first few hundred."""
    root = data_folder()
    if root is None or not root.is_dir():
        return []
    found: list[str] = []
    for seen, (folder, inner, names) in enumerate(os.walk(root)):
        inner[:] = sorted(n for n in inner if not n.startswith(".")) if folder.count(os.sep) < _deepest(root) else []
        here = Path(folder).relative_to(root)
        found += [(here / n).as_posix() for n in sorted(names)[:MOST_SEEN] if Path(n.lower()).suffix in LARGEST]
        if len(found) >= MOST_LISTED or seen >= MOST_SEEN:
            break
    return found[:MOST_LISTED]


def _deepest(root: Path) -> int:
    return str(root).count(os.sep) + DEEPEST


def server_file(relative: str) -> Path:
    """A file of the data folder, by its path relative to it.

    Raises:
        BadInput: there is no data folder, the path leads out of it, or names no file of a kind that is taken.
    """
    root = data_folder()
    if root is None:
        raise BadInput("NO_DATA_FOLDER", f"The server has no data folder. Start it with {DATA}=/path/to/folder.")
    try:
        path = (root / relative).resolve()
        inside = path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise BadInput("NOT_FOUND", f"There is no file {_one_line(relative)} in the data folder of the server.")
    kind_of(path.name)
    return path
