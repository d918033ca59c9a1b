"""The shape of a mask: its patches, its holes, and what one pixel of border is worth in hectares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from odc.geo.geobox import GeoBox

from minedetect.grid import Window, crop, row_bands
from minedetect.measure import zone_hectares
from minedetect.raster import BACKGROUND, MINE, Mask

Chosen = npt.NDArray[np.bool_]

SMALL_PATCH_PX = 50
"""Half a hectare of 10 m pixels: smaller patches are sieved away after prediction."""


@dataclass(frozen=True)
class Patched:
    """Connected patches of chosen pixels.

    Args:
        window: the part of the raster that holds them all.
        zones: int32 (h, w) on that window, patch number from 1; 0 outside.
        size_px: int64 (N,), pixels of each patch.
    """

    window: Window
    zones: npt.NDArray[np.int32]
    size_px: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(self.size_px)

    @property
    def small(self) -> int:
        """How many are so small that they look like noise."""
        return int((self.size_px < SMALL_PATCH_PX).sum())

    def hectares(self, grid: GeoBox) -> npt.NDArray[np.float64]:
        """Ground area of each patch, where `grid` is the grid of the whole raster: float64 (N,)."""
        if not self.count:
            return np.zeros(0)
        return zone_hectares(self.zones, crop(grid, self.window), self.count + 1)[1:]

    def largest(self) -> Window | None:
        """The window around the patch of most pixels, None when there is none."""
        if not self.count:
            return None
        inner = window_of(self.zones == int(np.argmax(self.size_px)) + 1)
        return inner.shifted(self.window.row, self.window.col)


def window_of(chosen: Chosen, margin_px: int = 0) -> Window:
    """The smallest window around the chosen pixels of a bool (H, W), widened by a margin inside the raster.

    Without any chosen pixel it is empty.
    """
    rows, cols = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    if not len(rows):
        return Window(0, 0, 0, 0)
    top, left = max(0, int(rows[0]) - margin_px), max(0, int(cols[0]) - margin_px)
    bottom = min(chosen.shape[0], int(rows[-1]) + 1 + margin_px)
    right = min(chosen.shape[1], int(cols[-1]) + 1 + margin_px)
    return Window(top, left, bottom - top, right - left)


def widened(chosen: Chosen) -> Chosen:
    """Chosen pixels of a bool (H, W) and their eight neighbours."""
    tall = chosen.copy()
    tall[1:] |= chosen[:-1]
    tall[:-1] |= chosen[1:]
    wide = tall.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def patches(mask: Mask) -> Patched:
    """The patches of mine pixels of a uint8 (H, W), 8-connected."""
    mine = mask == MINE
    window = window_of(mine)
    return _patched(mine[window.slices], window, diagonal=True)


def holes(mask: Mask) -> Patched:
    """Ground that mine pixels enclose on all sides, background or unknown, 4-connected.

    Ground that reaches the raster's edge is not enclosed: nobody knows what lies beyond.
    """
    mine = mask == MINE
    window = window_of(mine)
    ground = _patched(~mine[window.slices], window, diagonal=False)
    if not ground.count:
        return ground
    # Whatever touches the border of the window around all mines goes on outside it.
    open_ground = np.unique(np.concatenate([*ground.zones[[0, -1]], *ground.zones[:, [0, -1]].T]))
    number = np.ones(ground.count + 1, np.int32)
    number[open_ground] = number[0] = 0
    kept = number[1:].astype(bool)
    number[1:][kept] = np.arange(1, kept.sum() + 1)
    return Patched(window, number[ground.zones], ground.size_px[kept])


def _patched(chosen: Chosen, window: Window, diagonal: bool) -> Patched:
    zones = np.zeros(chosen.shape, np.int32)
    if not chosen.size:
        return Patched(window, zones, np.zeros(0, np.int64))
    structure = np.ones((3, 3)) if diagonal else None
    count = int(scipy.ndimage.label(chosen, structure, output=zones))
    size_px = np.zeros(count + 1, np.int64)
    for band in row_bands((window.height, window.width)):  # bincount copies what it counts to eight bytes a pixel
        size_px += np.bincount(zones[band.rows].ravel(), minlength=count + 1)
    return Patched(window, zones, size_px[1:])


@dataclass(frozen=True)
class Border:
    """What the course of a mask's border decides.

    Args:
        edge_px: mine pixels with background beside them.
        wider_ha: hectares gained by drawing the border one pixel further out.
        narrower_ha: hectares lost by drawing it one pixel further in.
    """

    edge_px: int
    wider_ha: float
    narrower_ha: float

    def sentence(self) -> str:
        return f"A border drawn one pixel wider or narrower means +{self.wider_ha:,.1f} or -{self.narrower_ha:,.1f} ha."


def border_of(mask: Mask, grid: GeoBox) -> Border:
    """Measure one pixel of border on both sides, diagonal neighbours included.

    Unknown pixels and the raster's edge are no border: what lies there was not drawn.

    Args:
        mask: uint8 (H, W), 0, 1 or 255.
        grid: where it lies.
    """
    window = window_of(mask == MINE, margin_px=1)
    if not window.height:
        return Border(0, 0.0, 0.0)
    near = mask[window.slices]
    mine, ground = near == MINE, near == BACKGROUND
    inner, outer = mine & widened(ground), ground & widened(mine)
    codes = inner.view(np.uint8) + 2 * outer.view(np.uint8)
    _, narrower_ha, wider_ha = zone_hectares(codes, crop(grid, window), 3)
    return Border(int(inner.sum()), float(wider_ha), float(narrower_ha))
