"""What one hostile or odd file is: its name, how it is made, and what must come of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["raster", "vector", "archive", "pair", "ckpt"]


@dataclass(frozen=True)
class Site:
    """Where a corpus lies, and what its files try to reach.

    Args:
        root: holds one folder a kind, `secret` with another user's files, and `marks`, which must stay empty.
        url: of a local listener that nobody may call.
    """

    root: Path
    url: str

    @property
    def secret(self) -> Path:
        return self.root / "secret"

    @property
    def marks(self) -> Path:
        return self.root / "marks"

    def fill(self, text: str) -> str:
        """Text with `@SECRET@`, `@MARKS@` and `@URL@` replaced."""
        for word, value in (("@SECRET@", self.secret), ("@MARKS@", self.marks), ("@URL@", self.url)):
            text = text.replace(word, str(value))
        return text


Make = Callable[[Path, Site], None]
"""Writes a case's file, and perhaps others beside it."""


@dataclass(frozen=True)
class Case:
    """One file and the verdict it must get.

    Args:
        kind: what the file claims to be; names its folder.
        id: unique.
        file: its name.
        what: what is odd about it.
        make: writes it.
        refuse: the codes it may be refused with; () when it must be accepted.
        told: a pattern that one of the sentences about it must match, whatever its case.
        beside: another file of the corpus that it is used with; labels, an image, or the second date.
    """

    kind: Kind
    id: str
    file: str
    what: str
    make: Make
    refuse: tuple[str, ...] = ()
    told: str = ""
    beside: str = ""

    def path(self, site: Site) -> Path:
        return site.root / self.kind / self.file

    def other(self, site: Site) -> Path:
        return site.root / self.beside


def text(content: str) -> Make:
    """A text file; see `Site.fill` for its placeholders."""
    return lambda path, site: data(site.fill(content).encode())(path, site)


def data(content: bytes) -> Make:
    """A file of these bytes."""

    def make(path: Path, site: Site) -> None:
        path.write_bytes(content)

    return make


def altered(make: Make, change: Callable[[bytes], bytes]) -> Make:
    """A good file with its bytes changed."""

    def write(path: Path, site: Site) -> None:
        make(path, site)
        path.write_bytes(change(path.read_bytes()))

    return write


def beside(make: Make, ending: str, other: Make) -> Make:
    """A file and a second one, whose name is the first one's with another ending (".tfw") or a longer one ("+.ovr")."""

    def write(path: Path, site: Site) -> None:
        make(path, site)
        name = path.name + ending[1:] if ending.startswith("+") else path.stem + ending
        other(path.with_name(name), site)

    return write


def cut(share: float) -> Callable[[bytes], bytes]:
    """The first part of a file."""
    return lambda content: content[: int(len(content) * share)]


def put(offset: int, new: bytes) -> Callable[[bytes], bytes]:
    """A file with bytes at an offset replaced; a negative offset counts from the end."""

    def change(content: bytes) -> bytes:
        start = offset % len(content)
        return content[:start] + new + content[start + len(new) :]

    return change


def made(make: Make, name: str) -> dict[str, bytes]:
    """All files that a maker leaves in an empty folder, by name."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / name, Site(Path(folder), "http://127.0.0.1:9"))
        return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def write_cases(cases: Iterable[Case], site: Site) -> None:
    """Make the files of some cases."""
    for case in cases:
        case.path(site).parent.mkdir(parents=True, exist_ok=True)
        case.make(case.path(site), site)
