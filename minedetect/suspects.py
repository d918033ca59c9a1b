"""Suspected missing labels: places the model is sure of on the labelled date, outside all outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from minedetect.config import SuspectSettings
from minedetect.edges import widened
from minedetect.figures import DPI, YELLOW, Rgb, plain, save, scale_bar, thinned
from minedetect.findings import counted, shown_ha
from minedetect.grid import Window, crop, pixel_size_m, row_bands
from minedetect.patches import feature_collection, patches_of
from minedetect.raster import IGNORE, MINE, Float, Mask, require_shape
from minedetect.runs import SUSPECTS, SUSPECTS_PICTURE, Run

BORDER_PX = 3
"""Outlines are drawn no better than this: what begins so near to one belongs to it."""
MOST_SHOWN = 8
MARGIN = 0.6
"""Ground around a place on its picture, as a share of the place's longer side."""
LEAST_SIDE_M = 600.0
MOST_CROP_PX = 400
COLUMNS = 4
PANEL_IN = 3.8

Chosen = npt.NDArray[np.bool_]
ReadProbability = Callable[[Window], Float]
"""Gives the calibrated probability, float32 (H, W), of a full-width band of rows; NaN where unobserved."""
ReadColours = Callable[[Window], Rgb]
"""Gives display colours (h, w, 3) of one window."""


@dataclass(frozen=True)
class Suspect:
    """One place that looks like a mine and lies outside all outlines.

    Args:
        id: from 1, the largest first.
        hectares: true ground area.
        mean_probability: mean calibrated probability of its pixels.
        geometry: polygons in longitude, latitude degrees.
        window: the pixels around it.
        pixels: bool (h, w), which of the window's pixels are its own.
    """

    id: int
    hectares: float
    mean_probability: float
    geometry: BaseGeometry
    window: Window
    pixels: Chosen

    def to_json(self) -> dict[str, Any]:
        """What `summary.json` holds of it; the point lies inside the place."""
        inside = self.geometry.representative_point()
        return {**self.properties(), "lon": round(inside.x, 6), "lat": round(inside.y, 6)}

    def properties(self) -> dict[str, Any]:
        """Attributes of its polygon."""
        return {
            "id": self.id,
            "hectares": round(self.hectares, 2),
            "mean_probability": round(self.mean_probability, 4),
        }


def find_suspects(
    classes: Mask, labels: Mask, grid: GeoBox, probability: ReadProbability, settings: SuspectSettings
) -> tuple[Suspect, ...]:
    """Places called mine with high probability on the labelled date, outside all outlines.

    A patch that comes within `BORDER_PX` of a labelled mine belongs to that mine. Of the others, pixels with
    unknown label count neither for the area nor for the mean.

    Args:
        classes: uint8 (H, W), prediction of the labelled date, 0, 1 or 255.
        labels: uint8 (H, W), 0, 1 or 255 for unknown.
        grid: where both lie.
        probability: reads the calibrated probability by bands of rows.
        settings: least area and least mean probability.

    Returns:
        The places, the largest first.

    Raises:
        GridMismatch: an array is not of the grid's shape.
    """
    require_shape(classes, grid)
    require_shape(labels, grid)
    patches = patches_of(_apart(classes == MINE, labels == MINE) & (labels != IGNORE), grid)
    means = _means(patches.zones, probability, len(patches.hectares))
    sure = (patches.hectares >= settings.suspect_min_ha) & (means >= settings.suspect_probability)
    if not sure.any():
        return ()
    outlines, around = patches.geometries, scipy.ndimage.find_objects(patches.zones)
    found = sorted(np.flatnonzero(sure), key=lambda n: -patches.hectares[n])
    return tuple(
        Suspect(
            id=number,
            hectares=float(patches.hectares[n]),
            mean_probability=float(means[n]),
            geometry=outlines[n],
            window=_window(around[n]),
            pixels=patches.zones[around[n]] == n + 1,
        )
        for number, n in enumerate(found, start=1)
    )


def _apart(mine: Chosen, labelled: Chosen) -> Chosen:
    """The 8-connected patches of `mine`, bool (H, W), that stay clear of all labelled pixels."""
    near = labelled
    for _ in range(BORDER_PX):
        near = widened(near)
    zones = np.empty(mine.shape, np.int32)
    count = scipy.ndimage.label(mine, np.ones((3, 3)), output=zones)
    clear = np.ones(count + 1, bool)
    clear[np.unique(zones[near])] = clear[0] = False
    return np.asarray(clear[zones])


def _means(zones: npt.NDArray[np.int32], probability: ReadProbability, count: int) -> npt.NDArray[np.float64]:
    """Mean probability of each numbered zone: float64 (N,)."""
    total, pixels = np.zeros(count + 1), np.zeros(count + 1)
    for band in row_bands((zones.shape[0], zones.shape[1])):
        values = probability(band)
        known = ~np.isnan(values)
        total += np.bincount(zones[band.rows][known], values[known], count + 1)
        pixels += np.bincount(zones[band.rows][known], minlength=count + 1)
    return np.asarray(total[1:] / np.maximum(pixels[1:], 1))


def _window(slices: tuple[slice, ...]) -> Window:
    rows, cols = slices
    return Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)


def sentence(suspects: Sequence[Suspect]) -> tuple[str, ...]:
    """The note for people; none where nothing was found."""
    if not suspects:
        return ()
    area = shown_ha(sum(s.hectares for s in suspects))
    look, them = ("looks like a mine", "it") if len(suspects) == 1 else ("look like mines", "them")
    return (
        f"The model finds {counted(len(suspects), 'place')}, {area}, that {look} outside all outlines: look at {them} "
        f"before you trust the scores; add {them} to the labels or leave {them} out.",
    )


def write_suspects(run: Run, suspects: Sequence[Suspect], grid: GeoBox, colours: ReadColours) -> None:
    """Write `suspected_missing_labels.geojson` and `.png`; neither where nothing was found."""
    if not suspects:
        return
    collection = feature_collection([s.geometry for s in suspects], [s.properties() for s in suspects])
    run.write_geojson(SUSPECTS, collection)
    draw_suspects(run.path(SUSPECTS_PICTURE), suspects, grid, colours)


def draw_suspects(path: Path, suspects: Sequence[Suspect], grid: GeoBox, colours: ReadColours) -> None:
    """`suspected_missing_labels.png`: the largest places on the first image, outlined, on one sheet.

    Args:
        path: the PNG.
        suspects: the largest first.
        grid: of the whole scene.
        colours: reads the first image.
    """
    shown = suspects[:MOST_SHOWN]
    columns, rows = min(COLUMNS, len(shown)), -(-len(shown) // COLUMNS)
    size_in = max(columns, 2) * PANEL_IN, rows * (PANEL_IN + 0.35) + 0.5
    figure = Figure(figsize=size_in, dpi=DPI, layout="constrained")
    for number, suspect in enumerate(shown, start=1):
        _draw_one(figure.add_subplot(rows, columns, number), suspect, grid, colours)
    part = "" if len(suspects) == len(shown) else f", the largest {len(shown)} of {len(suspects)}"
    figure.suptitle(plain(f"Outlined: looks like a mine, but lies outside all labels{part}"), fontsize=12)
    save(figure, path)


def _draw_one(ax: Axes, suspect: Suspect, grid: GeoBox, colours: ReadColours) -> None:
    window = _around(suspect.window, grid)
    rgb = np.moveaxis(thinned(np.moveaxis(colours(window), -1, 0), MOST_CROP_PX), 0, -1)
    ax.imshow(rgb, extent=(0, window.width, window.height, 0))
    _outline(ax, suspect, window)
    ax.set_title(
        f"{suspect.id}: {shown_ha(suspect.hectares)}, mean probability {suspect.mean_probability:.2f}", fontsize=11
    )
    ax.set_xticks([])
    ax.set_yticks([])
    scale_bar(ax, crop(grid, window), (window.height, window.width))


def _outline(ax: Axes, suspect: Suspect, window: Window) -> None:
    """A line along the place's border, so that its own pixels stay to be seen."""
    padded = np.pad(suspect.pixels, 1)  # a border that runs along the scene's edge is drawn too
    rows = np.arange(padded.shape[0]) - 0.5 + suspect.window.row - window.row
    cols = np.arange(padded.shape[1]) - 0.5 + suspect.window.col - window.col
    for colour, width in (("black", 3.0), (YELLOW, 1.5)):
        ax.contour(cols, rows, padded, levels=[0.5], colors=[colour], linewidths=[width])


def _around(window: Window, grid: GeoBox) -> Window:
    """A square of ground around a place, moved inside the scene."""
    rows, cols = grid.shape
    longer = max(window.height, window.width)
    side = max(int(longer * (1 + 2 * MARGIN)), int(LEAST_SIDE_M / pixel_size_m(grid)), 8)
    height, width = min(side, rows), min(side, cols)
    row = window.row + (window.height - height) // 2
    col = window.col + (window.width - width) // 2
    return Window(min(max(0, row), rows - height), min(max(0, col), cols - width), height, width)
