"""The split as people see it: polygons of its parts, a picture of one scene, a map of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from minedetect.blocks import SceneSplit
from minedetect.figures import DPI, YELLOW, Rgb, overlay, plain, save, scale_bar, thinned
from minedetect.grid import Window, pixel_size_m, shape_of, to_lonlat
from minedetect.measure import zone_hectares
from minedetect.patches import feature_collection, in_degrees, unbroken
from minedetect.places import outline_points
from minedetect.raster import MINE, Mask
from minedetect.split import TEST, TRAINING, VALIDATION, Split, part_map

UNUSED = 0
NAMES = MappingProxyType({TRAINING: "training", VALIDATION: "validation", TEST: "test", UNUSED: "gap"})
NAME_SHARE = 0.14, 0.04
"""Width and height of a name on the map of places, as shares of its span."""


@dataclass(frozen=True)
class _Look:
    """How a part is drawn: colour and pattern, so that either alone tells the parts apart."""

    colour: str
    hatch: str
    marker: str


# Okabe and Ito's colours (2008), told apart with any colour vision.
LOOKS: Mapping[int, _Look] = MappingProxyType(
    {
        TRAINING: _Look("#009E73", "", "o"),
        VALIDATION: _Look("#56B4E9", "//", "s"),
        TEST: _Look("#CC79A7", "xx", "^"),
        UNUSED: _Look("#3A3D44", "..", "x"),
    }
)


def split_areas(grids: Sequence[GeoBox], names: Sequence[str], split: Split) -> dict[str, Any]:
    """The parts of a split as GeoJSON (RFC 7946: longitude, latitude; cut at the antimeridian).

    Each validation and test block is a feature; all training tiles of a scene together are one, and so
    is its ground in no part ("gap").

    Returns:
        A FeatureCollection; properties are part, scene and hectares.
    """
    geometries: list[BaseGeometry] = []
    properties: list[dict[str, Any]] = []
    for grid, name, part in zip(grids, names, split.scenes, strict=True):
        for bit, zones in _pieces(shape_of(grid), part):
            area_ha = float(zone_hectares(zones, grid, 2)[1])
            if area_ha:
                geometries.append(_in_degrees(zones, grid))
                properties.append({"part": NAMES[bit], "scene": name, "hectares": round(area_ha, 2)})
    return feature_collection(geometries, properties)


def _pieces(shape: tuple[int, int], part: SceneSplit) -> list[tuple[int, npt.NDArray[np.uint8]]]:
    """Part and uint8 (H, W) of each feature, 1 inside."""
    painted = part_map(shape, part)
    pieces = [(TRAINING, (painted == TRAINING).astype(np.uint8))]
    for bit, windows in ((VALIDATION, part.validation), (TEST, part.test)):
        pieces += [(bit, _filled(shape, window)) for window in windows]
    return [*pieces, (UNUSED, (painted == UNUSED).astype(np.uint8))]


def _filled(shape: tuple[int, int], window: Window) -> npt.NDArray[np.uint8]:
    zone = np.zeros(shape, np.uint8)
    zone[window.slices] = 1
    return zone


def _in_degrees(zone: npt.NDArray[np.uint8], grid: GeoBox) -> BaseGeometry:
    """Outline of the pixels that are 1, in longitude and latitude from -180 to 180."""
    found = rasterio.features.shapes(zone, mask=zone == 1)
    outline = shapely.union_all([shapely.geometry.shape(g) for g, _ in found])
    return in_degrees(np.array([outline], dtype=object), grid)[0]


@dataclass(frozen=True)
class ScenePicture:
    """What lies under a picture of the split.

    Args:
        rgb: display colours (h, w, 3), thinned as `mask` is here.
        mask: uint8 (H, W), 0, 1 or 255.
        grid: where the mask lies.
        title: the scene's name.
    """

    rgb: Rgb
    mask: Mask
    grid: GeoBox
    title: str


def draw_split(path: Path, picture: ScenePicture, part: SceneSplit, gap_px: int) -> None:
    """`split.png` of one scene: what each part of it is for, with its mines and how much it holds.

    Args:
        path: the PNG.
        picture: image, mask and where they lie.
        part: the scene's part of the split.
        gap_px: kept between the parts.
    """
    shape = shape_of(picture.grid)
    painted = part_map(shape, part)
    small = thinned(painted)
    height_in = 7.0 * min(max(small.shape[0] / small.shape[1], 0.3), 1.6)
    figure = Figure(figsize=(7.6, height_in + 1.7), dpi=DPI, layout="constrained")
    ax = figure.add_subplot()
    ax.set_xticks([])
    ax.set_yticks([])
    shown = overlay(picture.rgb, small == TRAINING, LOOKS[TRAINING].colour, 0.22)
    ax.imshow(overlay(shown, small == UNUSED, LOOKS[UNUSED].colour, 0.72))
    _draw_mines(ax, thinned(picture.mask) == MINE)
    factor = -(-shape[0] // small.shape[0])
    for bit, windows in ((VALIDATION, part.validation), (TEST, part.test)):
        for window in windows:
            ax.add_patch(_rectangle(window, factor, LOOKS[bit]))
            _name(ax, window, factor, NAMES[bit])
    scale_bar(ax, picture.grid, small.shape)
    ax.set_title(plain(f"What each part of the scene is for: {picture.title}"))
    figure.legend(handles=_keys(picture, painted, gap_px), loc="outside lower center", fontsize=9, ncols=1)
    save(figure, path)


def _draw_mines(ax: Axes, mine: npt.NDArray[np.bool_]) -> None:
    if mine.any() and min(mine.shape) > 1:
        padded = np.pad(mine, 1)  # so that a mine at the scene's edge is closed
        rows, cols = (np.arange(-1, n + 1) for n in mine.shape)
        ax.contour(cols, rows, padded, levels=[0.5], colors="black", linewidths=2.2)
        ax.contour(cols, rows, padded, levels=[0.5], colors=YELLOW, linewidths=1.1)
        ax.set_xlim(-0.5, mine.shape[1] - 0.5)
        ax.set_ylim(mine.shape[0] - 0.5, -0.5)


def _rectangle(window: Window, factor: int, look: _Look) -> Rectangle:
    corner = window.col / factor - 0.5, window.row / factor - 0.5
    width, height = window.width / factor, window.height / factor
    return Rectangle(corner, width, height, facecolor="none", edgecolor=look.colour, linewidth=3, hatch=look.hatch)


def _name(ax: Axes, window: Window, factor: int, name: str) -> None:
    corner = window.col / factor, window.row / factor
    box = {"facecolor": "white", "alpha": 0.9, "pad": 2.0, "linewidth": 0}
    ax.annotate(name, corner, xytext=(5, -5), textcoords="offset points", va="top", fontsize=10, bbox=box)


def _keys(picture: ScenePicture, painted: npt.NDArray[np.uint8], gap_px: int) -> list[Patch | Line2D]:
    """One line a part: its share of the mine area, its mines in hectares, its ground in hectares."""
    mine = picture.mask == MINE
    everywhere = zone_hectares(painted, picture.grid, 8)
    mined = zone_hectares(np.where(mine, painted, np.uint8(255)), picture.grid, 8)
    pixels = np.array([np.count_nonzero(mine & (painted == bit)) for bit in range(8)])
    gap_m = gap_px * pixel_size_m(picture.grid)
    words = {
        TRAINING: "training (the network learns from it)",
        VALIDATION: "validation (chooses epoch and threshold)",
        TEST: "test (chooses nothing)",
        UNUSED: f"no part (gap of {gap_px} px, {gap_m:,.0f} m)" if gap_px else "no part (no tile reaches it)",
    }
    keys: list[Patch | Line2D] = []
    for bit, text in words.items():
        if everywhere[bit]:
            share = pixels[bit] / max(int(pixels.sum()), 1)
            told = f"{text}: {share:.1%} of the mine area, {mined[bit]:,.1f} ha of mines on {everywhere[bit]:,.0f} ha"
            keys.append(_key(bit, told))
    return [*keys, Line2D([], [], color=YELLOW, linewidth=2, label="outline of the labelled mines")]


def _key(bit: int, label: str) -> Patch:
    look = LOOKS[bit]
    if bit in (VALIDATION, TEST):
        return Patch(facecolor="white", edgecolor=look.colour, hatch=look.hatch * 2, linewidth=2, label=label)
    return Patch(facecolor=look.colour, alpha=0.6 if bit == TRAINING else 0.8, label=label)


def draw_places(path: Path, grids: Sequence[GeoBox], names: Sequence[str], split: Split) -> None:
    """`split.png` of several scenes: a map of their footprints, coloured by what each is for.

    Args:
        path: the PNG.
        grids: where each scene lies.
        names: of the scenes; left out of the map when there are many.
        split: of these scenes.
    """
    outlines = _footprints(grids)
    bits = [_part_of(part) for part in split.scenes]
    figure = Figure(figsize=(8, 7), dpi=DPI, layout="constrained")
    ax = figure.add_subplot()
    for outline, name, bit in zip(outlines, names, bits, strict=True):
        look = LOOKS[bit]
        ax.add_patch(Polygon(outline, facecolor=look.colour, alpha=0.55, hatch=look.hatch, edgecolor="black"))
        centre = outline.mean(axis=0)
        ax.plot(*centre, look.marker, color=look.colour, markeredgecolor="black", markersize=8)
        if _stands_alone(centre, outlines):
            ax.annotate(plain(name), centre, xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8)
    _frame(ax, np.concatenate(outlines))
    which = f" (network 1 of {len(split.folds)}; the others validate on other scenes)" if split.further else ""
    ax.set_title(f"What each scene is for{which}")
    keys = [_place_key(bit, bits, grids, split) for bit in NAMES if bit in bits]
    figure.legend(handles=keys, loc="outside lower center", fontsize=9)
    save(figure, path)


def _stands_alone(centre: npt.NDArray[np.float64], outlines: Sequence[npt.NDArray[np.float64]]) -> bool:
    """Whether a name fits beside a scene without covering another scene's."""
    centres = np.stack([outline.mean(axis=0) for outline in outlines])
    span = float(np.ptp(np.concatenate(outlines), axis=0).max())
    away = np.abs(centres - centre) / max(span, 1e-9)
    close = (away[:, 0] < NAME_SHARE[0]) & (away[:, 1] < NAME_SHARE[1])
    return int(close.sum()) == 1


def _footprints(grids: Sequence[GeoBox]) -> list[npt.NDArray[np.float64]]:
    """Outline of each scene in degrees, all on one side of the antimeridian: float64 (N, 2) each."""
    outlines = []
    for grid in grids:
        outline = np.stack(to_lonlat(grid).transform(*outline_points(grid, (16, 16)).T), axis=1)
        outline[:, 0] = unbroken(outline[:, 0])
        outlines.append(outline)
    for outline in outlines[1:]:
        outline[:, 0] -= 360 * np.round((outline[0, 0] - outlines[0][0, 0]) / 360)
    return outlines


def _part_of(part: SceneSplit) -> int:
    held = ((TRAINING, part.training), (VALIDATION, part.validation), (TEST, part.test))
    return next((bit for bit, windows in held if windows), UNUSED)


def _frame(ax: Axes, points: npt.NDArray[np.float64]) -> None:
    """Axes around all footprints, a degree of longitude as long as it is on the ground."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.06 * float(max(high - low))
    ax.set_xlim(low[0] - margin, high[0] + margin)
    ax.set_ylim(low[1] - margin, high[1] + margin)
    ax.set_aspect(1 / max(float(np.cos(np.radians((low[1] + high[1]) / 2))), 0.1))
    ax.set_xlabel("longitude (degrees)")
    ax.set_ylabel("latitude (degrees)")
    ax.ticklabel_format(useOffset=False)
    ax.grid(alpha=0.3)


def _place_key(bit: int, bits: Sequence[int], grids: Sequence[GeoBox], split: Split) -> Line2D:
    chosen = [grid for grid, of in zip(grids, bits, strict=True) if of == bit]
    area_ha = sum(float(zone_hectares(np.ones(shape_of(g), np.uint8), g, 2)[1]) for g in chosen)
    shares = {VALIDATION: split.mine_share, TEST: split.test_mine_share}
    share = f", {shares[bit]:.1%} of the mine area" if bit in shares else ""
    name = "no part" if bit == UNUSED else NAMES[bit]
    label = f"{name}: {len(chosen)} scene{'s' if len(chosen) != 1 else ''}, {area_ha:,.0f} ha{share}"
    look = LOOKS[bit]
    return Line2D([], [], linestyle="", marker=look.marker, color=look.colour, markeredgecolor="black", label=label)
