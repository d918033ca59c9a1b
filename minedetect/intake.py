"""The door for files that come from users: each is examined once, in a child process with limits.

The child reads every block of an image and every polygon of a label file. A file that kills it, hangs it or fills its
memory is refused in words like any other; this process never parses a file that the child has not read to its end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasterio.errors import RasterioError

from minedetect.environment import guard_gdal
from minedetect.errors import BadInput
from minedetect.raster import RASTER_SUFFIXES, Raster, open_raster, read_through
from minedetect.tiff import Limits

if TYPE_CHECKING:
    from minedetect.labels import Labels

MEMORY_BYTES = 3 * 2**30
CPU_S, WALL_S = 20, 30
BYTES_PER_S = 40 * 2**20
"""Slowest decoding of an honest image; large ones get more time by it."""
KILLED_FOR_TIME = {-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL}


@dataclass(frozen=True)
class Identity:
    """A file's content as far as the file system tells: a changed file is examined again."""

    path: str
    device: int
    inode: int
    size: int
    modified_ns: int
    layer: str
    limits: Limits

    @classmethod
    def of(cls, path: Path, limits: Limits, layer: str) -> Identity:
        try:
            told = path.stat()
        except OSError as error:
            raise BadInput("NOT_FOUND", f"{path} cannot be read: {error.strerror}. Check the path.") from error
        chosen = layer if path.suffix.lower() == ".gpkg" else ""
        return cls(str(path.absolute()), told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, chosen, limits)


@dataclass(frozen=True)
class Findings:
    """What the examination of one file found.

    Args:
        labels: outlines of a polygon file; None for a GeoTIFF.
    """

    labels: Labels | None


_admitted: dict[Identity, Findings] = {}


def admit(paths: Iterable[Path], limits: Limits | None = None, layer: str = "") -> None:
    """Have files examined, all in one child process; those examined before are not read again.

    Args:
        paths: images, masks and polygon files; the suffix picks the parser.
        limits: the largest image to accept.
        layer: which layer of a GeoPackage to read.

    Raises:
        BadInput: the first file that cannot be used, in words.
    """
    limits = limits or Limits()
    wanted = {Identity.of(path, limits, layer): path for path in paths}
    new = [(identity, path) for identity, path in wanted.items() if identity not in _admitted]
    for (identity, path), findings in zip(new, _examined([p for _, p in new], limits, layer), strict=True):
        if identity != Identity.of(path, limits, layer):
            raise BadInput("CHANGED", f"{path} changed while it was read. Wait until it is written, then try again.")
        _admitted[identity] = findings


def open_image(path: Path, limits: Limits | None = None) -> Raster:
    """Admit an image, then open it.

    Raises:
        BadInput: it cannot be used.
    """
    admit([path], limits)
    return open_raster(path, limits)


def open_user_labels(
    path: Path, mine_classes: Sequence[int] = (), layer: str = "", limits: Limits | None = None
) -> Labels:
    """Admit labels, then hand them on; as `labels.open_labels`, but read by the child.

    Raises:
        BadInput: they cannot be used.
    """
    from minedetect.labels import open_labels

    admit([path], limits, layer)
    found = _admitted[Identity.of(path, limits or Limits(), layer)].labels
    return open_labels(path, mine_classes) if found is None else found


def examine(path: Path, limits: Limits, layer: str = "") -> Findings:
    """Read one file to its end, in this process.

    Raises:
        BadInput: it cannot be used.
    """
    try:
        if path.suffix.lower() in RASTER_SUFFIXES:
            read_through(open_raster(path, limits))
            return Findings(None)
        return Findings(_outlines(path, layer))
    except (
        RasterioError,
        zlib.error,
        UnicodeError,
        NotImplementedError,
        OverflowError,
        MemoryError,
        RecursionError,
        OSError,
        ValueError,
        SystemError,
    ) as error:
        raise BadInput("CORRUPT", f"{path} is damaged or not what its name says ({error}). Export it again.") from error


def _outlines(path: Path, layer: str) -> Labels:
    """Outlines of a polygon file, in this process."""
    from shapely.errors import ShapelyError  # what reads outlines loads slowly, and images do without

    from minedetect.labels import open_labels

    try:
        return open_labels(path, layer=layer)
    except ShapelyError as error:
        raise BadInput("CORRUPT", f"{path} holds shapes that cannot be mended ({error}). Draw them again.") from error


def _examined(paths: list[Path], limits: Limits, layer: str) -> Iterator[Findings]:
    """Findings of each file in turn, from one child process."""
    if not paths:
        return
    places = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in places if p),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    guard_gdal(environment, force=True)
    request = {"paths": [str(p.absolute()) for p in paths], "limits": asdict(limits), "layer": layer}
    child = subprocess.run(
        [sys.executable, "-P", "-m", "minedetect.intake"],
        input=json.dumps(request).encode(),
        capture_output=True,
        env=environment,
        check=False,
    )
    answers = child.stdout.splitlines(keepends=True)
    for number, path in enumerate(paths):
        if number >= len(answers) or not answers[number].endswith(b"\n"):
            raise _death(path, child.returncode)
        yield _findings(path, json.loads(answers[number]))


def _death(path: Path, returncode: int) -> BadInput:
    if returncode in KILLED_FOR_TIME:
        return BadInput("TOO_SLOW", f"{path} takes far too long to read: it is damaged or not what it claims to be.")
    return BadInput("CORRUPT", f"{path} cannot be read without harm: it is damaged or too large. Export it again.")


def _findings(path: Path, answer: dict[str, Any]) -> Findings:
    if "code" in answer:
        raise BadInput(answer["code"], answer["message"])
    told = answer["labels"]
    if told is None:
        return Findings(None)
    import shapely

    from minedetect.labels import Labels, Outline

    outlines = tuple(Outline(**{**o, "geometry": shapely.from_wkb(o["geometry"])}) for o in told["outlines"])
    return Findings(Labels(path, outlines, tuple(told["notes"]), undecided=told["undecided"]))


def _plain(labels: Labels | None) -> dict[str, Any] | None:
    if labels is None:
        return None
    import shapely

    outlines = [{**vars(o), "geometry": shapely.to_wkb(o.geometry, hex=True)} for o in labels.outlines]
    return {"outlines": outlines, "notes": labels.notes, "undecided": labels.undecided}


def _answer(path: Path, limits: Limits, layer: str) -> dict[str, Any]:
    try:
        return {"labels": _plain(examine(path, limits, layer).labels)}
    except BadInput as error:
        return {"code": error.code, "message": str(error)}


def _allow(path: Path, limits: Limits) -> None:
    """Time for one more file: a fixed part, and what an honest image of that size needs."""
    size = path.stat().st_size if path.is_file() else 0
    extra_s = min(limits.image_bytes, 100 * size) // BYTES_PER_S if path.suffix.lower() in RASTER_SUFFIXES else 0
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent_s = int(used.ru_utime + used.ru_stime) + 1
    _limit(resource.RLIMIT_CPU, spent_s + CPU_S + extra_s)
    signal.alarm(WALL_S + 2 * extra_s)


def _limit(what: int, most: int) -> None:
    """Lower a limit of this process; one that is lower already stays."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _main() -> None:
    """The child: one request on stdin, one line of answer a file on stdout."""
    request = json.loads(sys.stdin.buffer.read())
    limits = Limits(**request["limits"])
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    for name in request["paths"]:
        path = Path(name)
        _allow(path, limits)
        sys.stdout.write(json.dumps(_answer(path, limits, request["layer"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
