"""Which layers of a run can be shown, under ids that say nothing of paths."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minedetect import runs
from minedetect.errors import BadInput
from minedetect.files import sha256_of
from minedetect.runs import Run
from minedetect.ui.mercator import TiledRaster

Kind = Literal["picture", "mine", "probability", "change", "kinds", "mines", "labels"]
RASTERS: tuple[Kind, ...] = ("picture", "mine", "probability", "change", "kinds")
Stamp = tuple[int, int, int]
"""What differs when a file was replaced: inode, size, time of the last change."""


@dataclass(frozen=True)
class Layer:
    """One layer of a run as it was when a page showed it.

    Args:
        id: what addresses name it by.
        kind: how it is drawn.
        files: what it is drawn from; the change map also needs the classes of the first date.
        stamps: of each file; where they differ the layer is another one.
        rasters: headers of the files, where they are rasters.
    """

    id: str
    kind: Kind
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]
    rasters: tuple[TiledRaster, ...] = ()

    def is_current(self) -> bool:
        """Whether the files are those that were registered."""
        try:
            return self.stamps == tuple(_stamp(path) for path in self.files)
        except OSError:
            return False


_known: dict[str, Layer] = {}


def find(layer_id: str) -> Layer | None:
    """The layer of an address, while its files are what they were; None for all else."""
    layer = _known.get(layer_id)
    return layer if layer is not None and layer.is_current() else None


def register(run: Run, kind: Kind, name: str, with_classes: str = "") -> Layer:
    """Give a file of a run an address.

    Args:
        run: the run.
        kind: how the file is drawn.
        name: of the file.
        with_classes: name of the class raster that a change map is drawn with.

    Raises:
        BadInput: it is not there, or a raster cannot be read.
    """
    files = tuple(run.path(one) for one in (name, with_classes) if one)
    try:
        stamps = tuple(_stamp(path) for path in files)
        content = [_sha256(path, stamp) for path, stamp in zip(files, stamps, strict=True)]
    except OSError as error:
        raise BadInput("NOT_FOUND", f"{name} cannot be read: {error.strerror}.") from error
    seen = zip(files, stamps, strict=True) if kind in RASTERS else ()
    rasters = tuple(_header(path, stamp) for path, stamp in seen)
    told = "\0".join((run.name, kind, name, *content))
    layer = Layer(hashlib.sha256(told.encode()).hexdigest()[:32], kind, files, stamps, rasters)
    _known[layer.id] = layer
    return layer


def dates_of(summary: dict[str, object]) -> tuple[str, str] | None:
    """The labels of both dates; None where they could not be part of file names."""
    years = summary.get("years")
    if not isinstance(years, list) or len(years) != 2:
        return None
    first, second = (str(year) for year in years)
    fit = all(re.fullmatch(r"[\w-]{1,30}", year) for year in (first, second))
    return (first, second) if fit else None


def names_of(years: tuple[str, str]) -> list[tuple[Kind, str, int | None]]:
    """Kind, file and date (0, 1, or None for both) of every layer, in the order they are listed."""
    listed: list[tuple[Kind, str, int | None]] = [
        ("change", runs.CHANGE_MAP, None),
        ("kinds", runs.CHANGE_KIND, None),
        ("labels", runs.LABELLED_MINES, None),
    ]
    for date, year in enumerate(years):
        listed += [
            ("picture", runs.preview_name(year), date),
            ("mines", runs.outlines_name(year), date),
            ("mine", runs.prediction_name(year), date),
            ("probability", runs.probability_name(year), date),
        ]
    return listed


def _stamp(path: Path) -> Stamp:
    seen = path.stat()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


@functools.lru_cache(1024)
def _sha256(path: Path, stamp: Stamp) -> str:  # noqa: ARG001 (part of the cache key)
    return sha256_of(path)


@functools.lru_cache(1024)
def _header(path: Path, stamp: Stamp) -> TiledRaster:  # noqa: ARG001 (part of the cache key)
    return TiledRaster.of(path)
