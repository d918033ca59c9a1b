"""What the map of a run shows besides its rasters: pictures of both dates, labelled mines, hectares by threshold.

A web process that had to make these of the user's own files would stand still for seconds: a run makes them at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from minedetect.cog import CogProfile, cog_writer
from minedetect.evidence import Comparison
from minedetect.figures import PANEL_PX, Stretch, shown_bands
from minedetect.grid import pixel_size_m, row_bands, shape_of
from minedetect.manifest import tags
from minedetect.measure import M2_PER_HA, PixelArea
from minedetect.patches import feature_collection, patches_of
from minedetect.raster import MINE, Float, Mask, Raster, open_raster, read
from minedetect.runs import (
    LABELLED_MINES,
    THRESHOLD_HECTARES,
    Run,
    mines_name,
    outlines_name,
    preview_name,
    probability_name,
)
from minedetect.scenes import Scene
from minedetect.tiff import UNLIMITED

PERCENTS = tuple(range(1, 100))
MOST_OUTLINES, MOST_CORNERS = 1000, 50_000
"""A browser stays quick with so many; what is left out is smaller than all that is drawn."""
FINEST_PX, METRES_A_DEGREE = 0.25, 111_320.0
"""Corners closer than a quarter of a pixel are not told apart on the map."""
UNSEEN = 0
"""Value of a preview where nothing was observed; colours run from 1 to 255."""


def write_map_layers(run: Run, comparison: Comparison, per_mine: Sequence[Mapping[str, Any]], threshold: float) -> None:
    """Write the previews of both dates, the labelled mines, the largest outlines and the table of hectares.

    Args:
        run: a run whose probability rasters and mine polygons exist.
        comparison: the two dates.
        per_mine: rows of the table of labelled mines, in the order of the outlines.
        threshold: on calibrated probability, that of this run.
    """
    write_previews(run, comparison)
    write_labelled_mines(run, comparison.scene, per_mine)
    write_outlines(run, comparison.years)
    first, second = (open_raster(run.path(probability_name(year)), UNLIMITED) for year in comparison.years)
    write_thresholds(run, comparison.years, (first, second), threshold)


def write_previews(run: Run, comparison: Comparison) -> None:
    """Write `preview_YEAR.tif` of both dates, on one grid, stretched by the limits of the first."""
    shown = shown_bands(comparison.detector.contract.names)
    stretch = Stretch.of(comparison.readings[0].sample(comparison.rasters[0], PANEL_PX, shown))
    dates = zip(comparison.years, comparison.rasters, comparison.readings, ("before", "after"), strict=True)
    for year, raster, reading, role in dates:
        named = {**tags(run, role), "date": year}
        profile = CogProfile("uint8", UNSEEN, ("red", "green", "blue"), named, colours=True)
        colours = reading.only(shown)
        with cog_writer(run.path(preview_name(year)), comparison.grid, profile) as write:
            for band in row_bands(shape_of(comparison.grid)):
                write(display_bytes(stretch, colours.read(raster, band)), band)


def display_bytes(stretch: Stretch, pixels: Float) -> Mask:
    """Display colours as bytes.

    Args:
        stretch: the limits of display.
        pixels: float32 (3, H, W) in the model's unit, NaN where unobserved.

    Returns:
        uint8 (3, H, W), 1 to 255; `UNSEEN` in all bands where any was not observed.
    """
    rgb = np.moveaxis(stretch(pixels), -1, 0)
    return np.where(np.isnan(pixels).any(axis=0), UNSEEN, 1 + np.rint(254 * rgb)).astype(np.uint8)


def write_labelled_mines(run: Run, scene: Scene, per_mine: Sequence[Mapping[str, Any]]) -> None:
    """Write `labelled_mines.geojson`: numbered as the table of mines is, with its name and hectares."""
    geometries = _labelled(scene)
    properties = [
        {"id": number, "mine": row["mine"], "hectares": round(float(row["labelled_ha"]), 3)}
        for number, row in enumerate(per_mine[: len(geometries)], start=1)
    ]
    run.write_geojson(LABELLED_MINES, feature_collection(geometries, properties))


def _labelled(scene: Scene) -> list[BaseGeometry]:
    """Each labelled mine in degrees; all of them as one where a mask does not say which is which."""
    if scene.labels.is_mask:
        return [
            shapely.union_all([outline for _, outline in patches_of(scene.mask == MINE, scene.raster.grid).outlines()])
        ]
    step_deg = pixel_size_m(scene.raster.grid) * FINEST_PX / METRES_A_DEGREE
    return [outline.geometry.simplify(step_deg) for outline in scene.labels.outlines]


def write_outlines(run: Run, years: tuple[str, str]) -> None:
    """Write `outlines_YEAR.geojson`: the largest of the polygons of each date, and how many there are in all."""
    for year in years:
        found = run.read_json(mines_name(year))["features"]
        largest = sorted(found, key=lambda one: -one["properties"]["hectares"])[:MOST_OUTLINES]
        corners = np.cumsum([shapely.get_num_coordinates(shape(one["geometry"])) for one in largest])
        drawn = largest[: int(np.searchsorted(corners, MOST_CORNERS, side="right"))]
        content = {"type": "FeatureCollection", "total": len(found), "features": drawn}
        run.write_geojson(outlines_name(year), content)


def write_thresholds(
    run: Run, years: tuple[str, str], probabilities: tuple[Raster, Raster], threshold: float
) -> dict[str, Any]:
    """Write `threshold_hectares.json`, and return its content."""
    amounts = hectares_by_percent(probabilities, probabilities[0].grid)
    content = {
        "threshold": threshold,
        "percent": list(PERCENTS),
        "hectares": {year: [round(float(ha), 2) for ha in row] for year, row in zip(years, amounts, strict=True)},
        "note": "Ground that both dates show, at or above each calibrated probability; small patches are not left out.",
    }
    run.write_json(THRESHOLD_HECTARES, content)
    return content


def hectares_by_percent(probabilities: tuple[Raster, Raster], grid: GeoBox) -> npt.NDArray[np.float64]:
    """Hectares at or above each of `PERCENTS`, on the ground that both dates show.

    Args:
        probabilities: rasters of calibrated probability, both on `grid`.
        grid: where they lie.

    Returns:
        float64 (2, 99).
    """
    cuts = np.asarray(PERCENTS, np.float32) / np.float32(100)
    area, total_m2 = PixelArea(grid), np.zeros((2, len(cuts) + 1))
    for band in row_bands(shape_of(grid)):
        values = [read(raster, band)[0] for raster in probabilities]
        both = ~np.isnan(values[0]) & ~np.isnan(values[1])
        weights = area.m2(band)[both]
        for total, value in zip(total_m2, values, strict=True):
            passed = np.searchsorted(cuts, value[both], side="right")
            total += np.bincount(passed, weights, len(cuts) + 1)
    at_least = total_m2[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.asarray(at_least[:, 1:] / M2_PER_HA)
