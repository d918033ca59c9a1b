"""A finished comparison written by hand, and an interpreter who knows the truth."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from minedetect.change import difference
from minedetect.cog import CogProfile, write_cog
from minedetect.raster import CHANGE_NODATA, IGNORE, Mask
from minedetect.runs import CHANGE_MAP, SUMMARY, Run, prediction_name

GRID = GeoBox((300, 240), Affine.translation(27.8, -12.5) @ Affine.scale(9e-5, -9e-5), "EPSG:4326")
WORDS = {(0, 0): "other_both", (1, 1): "mine_both", (0, 1): "new", (1, 0): "gone"}


def truth() -> tuple[Mask, Mask]:
    """Both dates of a place with a mine that moves to the right."""
    before, after = np.zeros((2, 300, 240), np.uint8)
    before[60:180, 40:110] = 1
    after[60:180, 60:140] = 1
    return before, after


def mapped() -> tuple[Mask, Mask]:
    """The same as a map shows it: a pixel off, with a false patch, and a corner without data."""
    before, after = (np.roll(date, 1, axis=(0, 1)) for date in truth())
    after[220:250, 150:190] = 1
    before[:20, :20] = IGNORE
    return before, after


def write_run(root: Path, classes: tuple[Mask, Mask] | None = None, grid: GeoBox = GRID) -> Run:
    """A run folder with all that `sample` needs but images."""
    run, (before, after) = Run(root), classes or mapped()
    write_cog(run.path(prediction_name("2016")), before, grid, CogProfile("uint8", IGNORE, ("mine",), {}))
    change = difference(before, after)
    write_cog(run.path(CHANGE_MAP), change, grid, CogProfile("int8", CHANGE_NODATA, ("change",), {}))
    run.path(SUMMARY).write_text(json.dumps({"years": ["2016", "2025"], "mine_definition": "pits and {dumps}"}))
    return run


def filled(table: Path, dates: tuple[Mask, Mask]) -> list[dict[str, str]]:
    """The rows of a sample.csv as somebody fills them in who knows the truth."""
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    for row in rows:
        at = int(row["row"]), int(row["col"])
        row["reference"] = WORDS[int(dates[0][at]), int(dates[1][at])]
    return rows


def as_csv(rows: list[dict[str, str]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
