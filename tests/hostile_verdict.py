"""What minedetect says of one file of the corpus: each kind through the functions that the commands use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hostile import outline_of
from hostile_case import Case, Kind, Site

from minedetect import quality
from minedetect.bands import name_bands, reading_of
from minedetect.grid import Window
from minedetect.intake import examine
from minedetect.labels import Labels, mask_on
from minedetect.model import load
from minedetect.raster import MINE, Raster, onto_first, open_raster, read
from minedetect.tiff import Limits

TILE_PX = 64


def told_of(case: Case, site: Site) -> list[str]:
    """Examine a case's file and use it; the sentences that a user is told.

    Raises:
        MinedetectError: it is refused.
    """
    return USES[case.kind](case, site)


def _image(case: Case, site: Site) -> list[str]:
    examine(case.path(site), Limits())
    raster = open_raster(case.path(site))
    labels = examine(outline_of(case, site), Limits()).labels
    assert labels is not None
    return [*raster.notes, *_drawn(labels, raster)]


def _pair(case: Case, site: Site) -> list[str]:
    examine(case.path(site), Limits())
    first = open_raster(case.other(site))
    second, sentence = onto_first(first, open_raster(case.path(site)))
    wanted = name_bands(first, "")
    readings = [reading_of(raster, name_bands(raster, ""), wanted) for raster in (first, second)]
    medians = [np.nanmedian(d.read(r, Window(0, 0, *r.shape))) for d, r in zip(readings, (first, second), strict=True)]
    assert max(medians) < 10 * min(medians), "one date is in another unit"
    return [sentence, *readings[0].notes, *readings[1].notes]


def _outlines(case: Case, site: Site) -> list[str]:
    labels = examine(case.path(site), Limits()).labels
    assert labels is not None
    return [*labels.notes, labels.undecided, *_drawn(labels, open_raster(case.other(site)))]


def _drawn(labels: Labels, raster: Raster) -> list[str]:
    """Draw outlines on an image and check them, as `minedetect check` does."""
    mask = mask_on(labels, raster.grid)
    assert (mask == MINE).any()
    pixels = read(raster, Window(0, 0, min(64, raster.shape[0]), min(64, raster.shape[1])))
    assert pixels.dtype == np.float32
    subject = quality.Subject(raster.grid, np.ones(raster.shape, np.bool_), mask, labels, TILE_PX)
    return [check.message for check in quality.check(subject).checks if check.verdict != "ok"]


def _model(case: Case, site: Site) -> list[str]:
    torch.set_num_threads(1)  # a fork has no use of its parent's threads
    load(case.path(site))
    return []


USES: dict[Kind, Callable[[Case, Site], list[str]]] = {
    "raster": _image,
    "pair": _pair,
    "vector": _outlines,
    "archive": _outlines,
    "ckpt": _model,
}
