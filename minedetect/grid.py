"""Where pixels lie, and the only window plan: training, prediction, change and area all use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from minedetect.errors import GridMismatch

WGS84 = Geod(ellps="WGS84")
SAME_GRID_TOLERANCE_PX = 1e-3
BAND_ROWS_PX = 512
"""Rows read, written or measured at a time; a multiple of the blocks on disk."""
MAX_LAT_DEG, MAX_LON_DEG = 90.001, 540.0
"""Scenes may reach over the antimeridian; none lies elsewhere than on the Earth."""


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels: rows ``row .. row + height``, columns ``col .. col + width``."""

    row: int
    col: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        return slice(self.row, self.row + self.height)

    @property
    def cols(self) -> slice:
        return slice(self.col, self.col + self.width)

    @property
    def slices(self) -> tuple[slice, slice]:
        return self.rows, self.cols

    @property
    def row_end(self) -> int:
        return self.row + self.height

    @property
    def col_end(self) -> int:
        return self.col + self.width

    def intersection(self, other: Window) -> Window | None:
        """The part both cover, or None when they share no pixel."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row_end, other.row_end) - row
        width = min(self.col_end, other.col_end) - col
        return Window(row, col, height, width) if height > 0 and width > 0 else None

    def shifted(self, rows_px: int, cols_px: int) -> Window:
        return Window(self.row + rows_px, self.col + cols_px, self.height, self.width)


def whole(shape: tuple[int, int]) -> Window:
    """The window that covers an (H, W) raster."""
    return Window(0, 0, shape[0], shape[1])


def starts(length_px: int, tile_px: int, stride_px: int) -> list[int]:
    """Tile starts along one axis; the last tile ends exactly at the last pixel.

    Raises:
        ValueError: a stride that is not in 1 .. tile_px would leave pixels out.
    """
    if not 1 <= stride_px <= tile_px:
        raise ValueError(f"stride {stride_px} px must lie in 1 .. {tile_px} px")
    if length_px <= tile_px:
        return [0]
    regular = list(range(0, length_px - tile_px, stride_px))
    return [*regular, length_px - tile_px]


def plan_windows(shape: tuple[int, int], tile_px: int, stride_px: int) -> list[Window]:
    """Windows that cover every pixel of an (H, W) raster, last row and column included.

    A raster smaller than a tile gives windows cut to its size.
    """
    return [
        Window(row, col, min(tile_px, shape[0]), min(tile_px, shape[1]))
        for row in starts(shape[0], tile_px, stride_px)
        for col in starts(shape[1], tile_px, stride_px)
    ]


def _edges(begins: list[int], tile_px: int, length_px: int) -> list[tuple[int, int]]:
    """Cut [0, length) in the middle of each overlap, one part for each tile start."""
    middles = [(right + left + tile_px) // 2 for left, right in pairwise(begins)]
    return list(pairwise([0, *middles, length_px]))


def cores(shape: tuple[int, int], tile_px: int, stride_px: int) -> list[tuple[Window, Window]]:
    """Each planned window with its core; the cores tile the raster: each pixel lies in one."""
    rows, cols = starts(shape[0], tile_px, stride_px), starts(shape[1], tile_px, stride_px)
    return [
        (
            Window(row, col, min(tile_px, shape[0]), min(tile_px, shape[1])),
            Window(row_0, col_0, row_1 - row_0, col_1 - col_0),
        )
        for row, (row_0, row_1) in zip(rows, _edges(rows, tile_px, shape[0]), strict=True)
        for col, (col_0, col_1) in zip(cols, _edges(cols, tile_px, shape[1]), strict=True)
    ]


def validation_cores(shape: tuple[int, int], tile_px: int) -> list[tuple[Window, Window]]:
    """The tiles that judge an (H, W) block while training: overlapping by a quarter, each judging its core alone."""
    return cores(shape, tile_px, max(1, tile_px * 3 // 4))


def row_bands(shape: tuple[int, int], rows_px: int = BAND_ROWS_PX) -> Iterator[Window]:
    """Full-width bands of at most ``rows_px`` rows, from top to bottom."""
    for row in range(0, shape[0], rows_px):
        yield Window(row, 0, min(rows_px, shape[0] - row), shape[1])


def shape_of(grid: GeoBox) -> tuple[int, int]:
    """(H, W) of a grid as plain integers."""
    return int(grid.shape[0]), int(grid.shape[1])


def crop(grid: GeoBox, window: Window) -> GeoBox:
    """The grid of one window."""
    return grid[window.slices]


def same_grid(a: GeoBox, b: GeoBox) -> bool:
    """Same CRS and shape, corners within a thousandth of a pixel."""
    if a.shape != b.shape or a.crs != b.crs:
        return False
    to_px = ~a.transform
    corners = [(0, 0), (a.shape[1], a.shape[0])]
    return all(
        abs(u - x) < SAME_GRID_TOLERANCE_PX and abs(v - y) < SAME_GRID_TOLERANCE_PX
        for (x, y) in corners
        for (u, v) in [to_px @ (b.transform @ (x, y))]
    )


def require_same_grid(a: GeoBox, b: GeoBox, what: str) -> None:
    """Raise unless both grids are one.

    Raises:
        GridMismatch: naming ``what`` and both grids.
    """
    if not same_grid(a, b):
        raise GridMismatch(
            f"{what} lie on different grids: {describe(a)} and {describe(b)}. "
            "Warp one onto the other first, for example by running both dates through `minedetect run`."
        )


def pixel_sides_m(grid: GeoBox) -> tuple[float, float]:
    """Ground width and height of the centre pixel in metres, in any CRS (geodesic, WGS 84)."""
    row, col = grid.shape[0] / 2, grid.shape[1] / 2
    points = [grid.transform @ (col + dc, row + dr) for dc, dr in ((0, 0), (1, 0), (0, 1))]
    lon, lat = to_lonlat(grid).transform([p[0] for p in points], [p[1] for p in points])
    _, _, distance_m = WGS84.inv([lon[0]] * 2, [lat[0]] * 2, lon[1:], lat[1:])
    return float(distance_m[0]), float(distance_m[1])


def pixel_size_m(grid: GeoBox) -> float:
    """Mean of the sides of the centre pixel in metres, in any CRS."""
    return sum(pixel_sides_m(grid)) / 2


def to_lonlat(grid: GeoBox) -> Transformer:
    """Transformer from the grid's CRS to longitude, latitude in degrees (WGS 84).

    Raises:
        GridMismatch: the grid has no CRS, so nobody can say where it lies.
    """
    if grid.crs is None:
        raise GridMismatch("The image has no coordinate reference system. Assign one, then try again.")
    return Transformer.from_crs(grid.crs.proj, "EPSG:4326", always_xy=True)


def on_earth(grid: GeoBox) -> bool:
    """Whether the corners of a grid have a longitude and a latitude."""
    rows, cols = shape_of(grid)
    corners = [grid.transform @ (col, row) for row in (0, rows) for col in (0, cols)]
    lon, lat = (np.asarray(v) for v in to_lonlat(grid).transform([x for x, _ in corners], [y for _, y in corners]))
    inside = (np.abs(lat) <= MAX_LAT_DEG) & (np.abs(lon) <= MAX_LON_DEG)
    return bool(inside.all())  # NaN and infinity compare false


def crs_name(grid: GeoBox) -> str:
    """EPSG code of a grid's CRS, or its name where it has none."""
    if grid.crs is None:
        return "no CRS"
    return f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else str(grid.crs.proj.name)


def describe(grid: GeoBox) -> str:
    """One line for people: size, CRS and pixel size."""
    return (
        f"{grid.shape[0]} x {grid.shape[1]} px, {crs_name(grid)}, "
        f"origin ({grid.transform.c:.6f}, {grid.transform.f:.6f}), {pixel_size_m(grid):.2f} m pixels"
    )
