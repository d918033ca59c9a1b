"""Class counts to scores, and pixels to hectares on the ellipsoid: the one place either is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from minedetect.errors import GridMismatch
from minedetect.grid import WGS84, Window, on_earth, row_bands, shape_of, to_lonlat

if TYPE_CHECKING:
    from scipy.interpolate import RectBivariateSpline

M2_PER_HA = 10_000.0
LATTICE_PX = 64
BLOCKS_FOR_INTERVAL = 10


@dataclass(frozen=True)
class Counts:
    """Pixels of the mine class against the labels: hits, false alarms, misses, and the rest."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def pixels(self) -> int:
        return self.tp + self.fp + self.fn + self.tn

    @property
    def iou(self) -> float:
        """Intersection over union of the mine class; nan where there is neither label nor prediction."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def dice(self) -> float:
        """Dice coefficient, 2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return _ratio(self.tp, self.tp + self.fn)


def _ratio(part: int, of: int) -> float:
    return part / of if of else float("nan")


def count(predicted: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Counts:
    """Compare 0/1 predictions with 0/1 labels of the same shape; labels above 1 are unknown and left out."""
    known = labels <= 1
    hit = predicted[known].astype(bool)
    mine = labels[known] == 1
    tp = int(np.count_nonzero(hit & mine))
    fp, fn = int(np.count_nonzero(hit)) - tp, int(np.count_nonzero(mine)) - tp
    return Counts(tp, fp, fn, int(mine.size) - tp - fp - fn)


def block_interval(blocks: Sequence[Counts], seed: int, draws: int = 2000) -> tuple[float, float] | None:
    """Block-bootstrap 95 % interval of the pooled IoU (Efron 1979, percentile method).

    Pixels of one block are not independent, so whole blocks are drawn, those without mines too.
    None below ten blocks with mines: fewer say too little about the spread, and even ten make an
    interval that is rather too narrow. Draws with neither label nor prediction have no IoU and are left out.
    """
    with_mines = sum(b.tp + b.fn > 0 for b in blocks)
    if with_mines < BLOCKS_FOR_INTERVAL:
        return None
    table = np.array([(b.tp, b.fp, b.fn) for b in blocks], dtype=np.int64)
    picks = np.random.default_rng(seed).integers(0, len(blocks), (draws, len(blocks)))
    sums = table[picks].sum(axis=1)
    union = sums.sum(axis=1)
    low, high = np.percentile(sums[union > 0, 0] / union[union > 0], [2.5, 97.5])
    return float(low), float(high)


class PixelArea:
    """True ground area of every pixel of a grid, in any CRS.

    A pixel's area is the determinant of the map from pixels to a Lambert azimuthal equal-area
    plane on the WGS 84 ellipsoid, centred on the grid (Snyder 1987, USGS PP 1395, p. 187). It
    varies smoothly, so it is computed on a lattice and interpolated.

    Args:
        grid: where the pixels lie.

    Raises:
        GridMismatch: the grid has no CRS.
    """

    def __init__(self, grid: GeoBox) -> None:
        self._area = _interpolated_area_m2(grid)

    def m2(self, window: Window) -> npt.NDArray[np.float64]:
        """Ground area of each pixel of a window: float64 (H, W), square metres."""
        rows = np.arange(window.row, window.row_end)
        cols = np.arange(window.col, window.col_end)
        area: npt.NDArray[np.float64] = self._area(rows, cols)
        return area


@lru_cache(maxsize=16)  # the zones of a run lie on the same few grids
def _interpolated_area_m2(grid: GeoBox) -> RectBivariateSpline:
    from scipy.interpolate import RectBivariateSpline  # 0.3 s that no child which only examines files should pay

    rows, cols = (np.unique(np.linspace(0, n - 1, max(2, n // LATTICE_PX + 2))) for n in shape_of(grid))
    if len(rows) < 2 or len(cols) < 2:  # one row or column of pixels: extend the lattice past it
        rows, cols = np.union1d(rows, rows + 1), np.union1d(cols, cols + 1)
    area_m2 = _lattice_area_m2(grid, rows, cols)
    return RectBivariateSpline(rows, cols, area_m2, kx=min(3, len(rows) - 1), ky=min(3, len(cols) - 1))


def _lattice_area_m2(
    grid: GeoBox, rows: npt.NDArray[np.float64], cols: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    to_degrees = to_lonlat(grid)
    if not on_earth(grid):
        raise GridMismatch("The image lies outside the Earth by its coordinate system. Assign the right one.")
    centre = to_degrees.transform(*(grid.transform @ (grid.shape[1] / 2, grid.shape[0] / 2)))
    equal_area = f"+proj=laea +lat_0={centre[1]} +lon_0={centre[0]} +datum=WGS84 +units=m +no_defs"
    to_plane = Transformer.from_crs(grid.crs.proj, equal_area, always_xy=True)  # type: ignore[union-attr]
    col, row = np.meshgrid(cols + 0.5, rows + 0.5)

    def plane(dc: float, dr: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        t = grid.transform
        x, y = t.a * (col + dc) + t.b * (row + dr) + t.c, t.d * (col + dc) + t.e * (row + dr) + t.f
        east, north = to_plane.transform(x, y)
        return np.asarray(east), np.asarray(north)

    (ex0, ny0), (ex1, ny1) = plane(-0.5, 0), plane(0.5, 0)
    (ex2, ny2), (ex3, ny3) = plane(0, -0.5), plane(0, 0.5)
    area_m2: npt.NDArray[np.float64] = np.abs((ex1 - ex0) * (ny3 - ny2) - (ny1 - ny0) * (ex3 - ex2))
    if not np.isfinite(area_m2).all():
        raise GridMismatch("Part of the image lies outside the area its coordinate system is made for.")
    return area_m2


def zone_hectares(zones: npt.NDArray[Any], grid: GeoBox, zone_count: int) -> npt.NDArray[np.float64]:
    """Ground area of numbered zones.

    Args:
        zones: integer (H, W), zone numbers; those outside 0 .. zone_count - 1 count for nothing.
        grid: where `zones` lies.
        zone_count: how many zones there are.

    Returns:
        float64 (zone_count,), hectares on the ellipsoid.

    Raises:
        GridMismatch: `zones` is not of the grid's shape.
    """
    if zones.shape != shape_of(grid):
        raise GridMismatch(f"Classes of {zones.shape} px cannot lie on a grid of {shape_of(grid)} px.")
    area = PixelArea(grid)
    total_m2 = np.zeros(zone_count)
    for band in row_bands(shape_of(grid)):
        block = zones[band.slices]
        inside = (block >= 0) & (block < zone_count)
        if inside.any():
            total_m2 += np.bincount(block[inside], weights=area.m2(band)[inside], minlength=zone_count)
    return total_m2 / M2_PER_HA


def hectares(classes: npt.NDArray[Any], grid: GeoBox, class_id: int) -> float:
    """Ground area of one class.

    Args:
        classes: integer (H, W), class ids.
        grid: where `classes` lies.
        class_id: the class to measure.

    Returns:
        Area in hectares on the ellipsoid.

    Raises:
        GridMismatch: `classes` is not of the grid's shape.
    """
    return float(zone_hectares((classes == class_id).astype(np.uint8), grid, 2)[1])


def pixel_hectares(grid: GeoBox) -> float:
    """Ground area of the pixel in the middle of a grid, in hectares."""
    middle = Window(grid.shape[0] // 2, grid.shape[1] // 2, 1, 1)
    return float(PixelArea(grid).m2(middle)[0, 0]) / M2_PER_HA


def polygon_hectares(geometry: BaseGeometry) -> float:
    """Geodesic area of polygons in longitude, latitude degrees (Karney 2013), in hectares, holes taken out."""
    # The sign of a ring's area is its direction: shells must run one way and holes the other.
    area_m2, _ = WGS84.geometry_area_perimeter(shapely.orient_polygons(geometry))
    return abs(float(area_m2)) / M2_PER_HA


@dataclass(frozen=True)
class IndexBaseline:
    """The best any single index with one threshold can do on these labels."""

    name: str
    threshold: float
    above: bool
    iou: float


def best_single_index(
    pixels: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    names: Sequence[str],
    weights: npt.NDArray[np.float64] | None = None,
) -> IndexBaseline:
    """Search bands, their mean and all normalised differences for the best threshold, in both directions.

    What a network must beat to be worth its trouble. The rule is fitted to the very labels it is
    scored on, so no rule of its kind does better there.

    Args:
        pixels: float32 (C, N), any positive unit, no NaN.
        labels: (N,), 0 or 1.
        names: C band names.
        weights: float64 (N,), how many pixels each stands for; None: itself alone.

    Returns:
        The index, threshold and direction of the highest mine IoU.
    """
    best, mine = IndexBaseline("none", 0.0, True, 0.0), labels == 1
    for name, values in _indices(pixels, names) if mine.any() else ():
        for sign in (1, -1):
            iou, threshold = _best_threshold(sign * values, mine, weights)
            if iou > best.iou:
                best = IndexBaseline(name, sign * threshold, sign > 0, iou)
    return best


def _indices(pixels: npt.NDArray[np.float32], names: Sequence[str]) -> list[tuple[str, npt.NDArray[np.float32]]]:
    found = [(name, pixels[i]) for i, name in enumerate(names)]
    found.append(("brightness", pixels.mean(axis=0)))
    for (i, a), (j, b) in combinations(enumerate(names), 2):
        total = pixels[i] + pixels[j]
        difference = (pixels[i] - pixels[j]) / np.where(np.abs(total) < 1e-6, np.float32(1e-6), total)
        found.append((f"({a}-{b})/({a}+{b})", difference))
    return found


def _best_threshold(
    values: npt.NDArray[np.float32], mine: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64] | None
) -> tuple[float, float]:
    """Best IoU of `values >= threshold` and that threshold, over 256 quantiles of all pixels and of the mines.

    The best threshold is always the value of a mine, and rare mines lie between two quantiles of all.
    """
    every, every_above = _ranked(values, weights)
    mines, mines_above = _ranked(values[mine], None if weights is None else weights[mine])
    cuts = np.unique(np.concatenate([v[np.linspace(0, len(v) - 1, 257).astype(int)] for v in (every, mines)]))
    total, hits = every_above[np.searchsorted(every, cuts)], mines_above[np.searchsorted(mines, cuts)]
    iou = hits / np.maximum(total + hits[0] - hits, 1)
    at = int(np.argmax(iou))
    return float(iou[at]), float(cuts[at])


def _ranked(
    values: npt.NDArray[np.float32], weights: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Values in rising order, and what each weighs with all above it; beyond the highest is nothing."""
    if weights is None:
        return np.sort(values), np.arange(len(values), -1, -1)
    order = np.argsort(values)
    return values[order], np.append(weights[order][::-1].cumsum()[::-1], 0)
