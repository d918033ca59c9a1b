"""A made-up finished run whose map can be shown: little rasters of known colours, one labelled mine."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry import mapping
from ui_support import SUMMARY, finished_run

from minedetect import runs
from minedetect.cog import CogProfile, write_cog
from minedetect.map_layers import write_outlines, write_thresholds
from minedetect.patches import feature_collection, patches_of
from minedetect.raster import open_raster
from minedetect.runs import Run

GRID = GeoBox((128, 160), Affine(10, 0, 620_000, 0, -10, 8_610_000), "EPSG:32735")
YEARS = ("2016", "2025")
BOTH, FIRST_ALONE, SECOND_ALONE = (
    (slice(20, 60), slice(20, 60)),
    (slice(80, 110), slice(20, 60)),
    (slice(20, 60), slice(90, 140)),
)
"""Where mines of both dates lie, of the first alone and of the second alone."""
NOWHERE = (slice(90, 128), slice(100, 160))
"""Without data."""


def classes_of(date: int) -> npt.NDArray[np.uint8]:
    classes = np.zeros(GRID.shape, np.uint8)
    classes[BOTH] = 1
    classes[SECOND_ALONE if date else FIRST_ALONE] = 1
    classes[NOWHERE] = 255
    return classes


def probability_of(date: int) -> npt.NDArray[np.float32]:
    probability = np.where(classes_of(date) == 1, np.float32(0.8), np.float32(0.29))
    probability[NOWHERE] = np.nan
    return probability


def mapped_run(home: Path, name: str = "mapped", mine: str = "Nchanga", **changes: object) -> Run:
    """A finished run with every layer of the map; `changes` replace keys of its summary."""
    row = {**SUMMARY["per_mine"][0], "mine": mine, "labelled_ha": 16.0}
    run = finished_run(home, name, **{"per_mine": [row, {**row, "mine": "outside the labels"}], **changes})
    before, after = classes_of(0), classes_of(1)
    change = np.where(before == 255, -128, after.astype(int) - before).astype(np.int8)
    _write(run, runs.CHANGE_MAP, change, "int8", -128)
    _write(run, runs.CHANGE_KIND, np.where(change == -128, 255, change != 0).astype(np.uint8), "uint8", 255)
    for date, year in enumerate(YEARS):
        classes = classes_of(date)
        _write(run, runs.prediction_name(year), classes, "uint8", 255)
        _write(run, runs.probability_name(year), probability_of(date), "float32", math.nan)
        colours = np.full((3, *GRID.shape), 90 + 100 * date, np.uint8)
        colours[:, classes == 255] = 0
        profile = CogProfile("uint8", 0, ("red", "green", "blue"), {}, colours=True)
        write_cog(run.path(runs.preview_name(year)), colours, GRID, profile)
        patches = patches_of(classes == 1, GRID)
        told = [{"id": n, "date": year, "hectares": round(float(h), 3)} for n, h in enumerate(patches.hectares, 1)]
        outlines = dict(patches.outlines())
        run.write_geojson(runs.mines_name(year), feature_collection([outlines[one["id"]] for one in told], told))
    write_outlines(run, YEARS)
    first, second = (open_raster(run.path(runs.probability_name(year))) for year in YEARS)
    write_thresholds(run, YEARS, (first, second), 0.5)
    label = np.zeros(GRID.shape, bool)
    label[BOTH] = True
    feature = {"type": "Feature", "properties": {"id": 1, "mine": mine, "hectares": 16.0}}
    feature["geometry"] = mapping(dict(patches_of(label, GRID).outlines())[1])
    run.path(runs.LABELLED_MINES).write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return run


def _write(run: Run, name: str, pixels: npt.NDArray[Any], dtype: str, nodata: float) -> None:
    write_cog(run.path(name), pixels, GRID, CogProfile(dtype, nodata, ("one",), {}))


def tile_of(row: int, column: int, zoom: int = 17) -> tuple[str, tuple[int, int]]:
    """The tile that shows a pixel of the grid, as part of an address, and the pixel's place (x, y) within it."""
    east, north = GRID.transform @ (column + 0.5, row + 0.5)
    lon, lat = Transformer.from_crs("EPSG:32735", "EPSG:4326", always_xy=True).transform(east, north)
    x = (lon + 180) / 360 * 2**zoom
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom
    return f"{zoom}/{int(x)}/{int(y)}", (int(256 * (x % 1)), int(256 * (y % 1)))
