"""The mines of the built-in district: where they lie, how large they are, and what changes between the dates."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from minedetect.terrain import (
    CROP,
    DARK,
    DEFAULT_SIZE_PX,
    F32,
    FRESH,
    GRASS,
    MAX_SIZE_PX,
    POND,
    TAILINGS,
    WOOD,
    Ground,
    Mask,
    Place,
    Window,
    burn,
    radius_of,
    region,
    smooth,
    turned,
    window_of,
)

NEW_PART, GONE_PART, GROWN_PART = 0.15, 0.07, 0.21  # of the first date's mine area


@dataclass(frozen=True)
class _Mine:
    """Plan of a mine.

    Attributes:
        centre: Row and column in pixels.
        area: Pixels on the first date; of a new mine, on the second.
        grown: Pixels that it gains.
        gone: Pixels that turn to grass.
        is_new: Not there on the first date.
    """

    centre: Place
    area: int
    grown: int
    gone: int
    is_new: bool


def draw_mines(rng: Generator, ground: Ground, river: BaseGeometry) -> list[Place]:
    """Draw the mines of both dates, with what they gain and lose.

    Args:
        rng: Source of chance.
        ground: Gets the drawing, (H, W).
        river: Line of x, y in pixels; mines keep off it.

    Returns:
        Centres of the mines in pixels, the new one last.
    """
    rows, cols = ground.structure.shape
    edge = 8 + round(0.03 * min(rows, cols))  # nodata lies along the edges
    inner = shapely.box(edge, edge, cols - edge, rows - edge)
    allowed = burn(inner.difference(river.buffer(12)), (rows, cols))
    mines = _plan_mines(rng, (rows, cols), river)
    for mine in mines:
        _draw_mine(rng, ground, mine, allowed)
    return [mine.centre for mine in mines]


def _plan_mines(rng: Generator, shape: tuple[int, int], river: BaseGeometry) -> list[_Mine]:
    """Areas, changes and scattered centres of the mines, the largest first and the new one last."""
    pixels, usual, most = (float(a * b) for a, b in (shape, DEFAULT_SIZE_PX, MAX_SIZE_PX))
    scale = np.log(pixels / usual) / np.log(most / usual)  # 0 at the default size, 1 at the largest
    total = pixels * min(0.05 * 0.44**scale, 0.058)
    old = 7 if scale > -0.15 else 4 if scale > -0.4 else 2
    sizes = (0.74 - 0.18 * max(scale, 0)) ** np.arange(old)
    growing = {7: (0.5, 0, 0.3, 0, 0.2), 4: (0.7, 0, 0.3), 2: (1.0,)}[old]
    mines: list[_Mine] = []
    for i, area in enumerate([*(sizes / sizes.sum()), NEW_PART]):
        grown = GROWN_PART * growing[i] if i < len(growing) else 0
        gone = GONE_PART if i == 1 else 0
        reach = min(1.5 * radius_of((area + grown) * total) + 0.03 * min(shape) + 8, 0.4 * min(shape))
        draws = rng.uniform(reach, np.array(shape) - reach, (40, 2))
        room = np.full(len(draws), 0.35 * min(shape))
        for mine in mines:
            apart = np.hypot(*(draws - mine.centre).T) - 1.5 * radius_of(mine.area + mine.grown)
            room = np.minimum(room, apart - reach)
        room = np.minimum(room, 3 * (shapely.distance(river, shapely.points(draws[:, ::-1])) - reach))
        row, col = draws[np.argmax(room)]
        mines.append(_Mine((row, col), int(area * total), int(grown * total), int(gone * total), i == old))
    return mines


def _draw_mine(rng: Generator, ground: Ground, mine: _Mine, allowed: Mask) -> None:
    """Draw a mine and its change on both dates, and take its surroundings out of `allowed` (H, W) bool."""
    radius = radius_of(mine.area)
    window, yy, xx = window_of(mine.centre, 2.8 * radius_of(mine.area + mine.grown) + 30, allowed.shape)
    (before, after), room = (cover[window] for cover in ground.covers), allowed[window]
    around = rng.uniform(0, 2 * np.pi) + np.cumsum([0, *rng.uniform(1.2, 2.2, 4)])
    away = radius * np.array([0, *rng.uniform(0.6, 1.0, 4)])
    sizes = radius * np.array([0.8, *rng.uniform(0.4, 0.7, 4)])
    lobes = _lobes(rng, yy, xx, np.column_stack([away * np.sin(around), away * np.cos(around), sizes]))
    whole = old = region(lobes.max(0), room, mine.area)
    if mine.is_new:
        near = old | (ndimage.distance_transform_edt(~old) + 4 * smooth(rng, old.shape, 7) < 14)
        for view in (before, after):
            view[near & (view < CROP)] = WOOD
    _dig(rng, ground, window, old, lobes)
    if not mine.is_new:
        before[old] = after[old]
    if mine.grown:
        rim = np.argwhere(old & ~ndimage.binary_erosion(old))
        first, other = rim[rng.integers(len(rim), size=2)]
        rim = np.stack([first, rim[np.argmax(np.hypot(*(rim - first).T))], other])
        sizes = np.array([1.1, 0.8, 0.7]) * radius_of(mine.grown)
        lobes = _lobes(rng, yy, xx, np.column_stack([yy[tuple(rim.T)], xx[tuple(rim.T)], sizes]))
        whole = region(np.where(old, np.float32(1e6), lobes.max(0)), room, mine.area + mine.grown)
        _dig(rng, ground, window, whole & ~old, lobes)
    if mine.gone:
        side = turned(yy, xx, rng.uniform(0, 2 * np.pi))[0]
        side += 0.25 * radius * smooth(rng, old.shape, radius / 2)
        after[region(side, old, mine.gone)] = GRASS
    room &= ndimage.distance_transform_edt(~whole) > 14


def _lobes(rng: Generator, yy: F32, xx: F32, parts: NDArray[np.float64]) -> F32:
    """(part, H, W) float32 pixels, above 0 inside: bent ellipses of (row, column, radius) in pixels."""
    size = float(parts[:, 2].max())
    bent = [yy.copy(), xx.copy()]
    for axis in bent:
        for amount, scale in ((0.2 * size, 0.9 * size), (0.04 * size, 0.25 * size), (1.0, 7.0)):
            axis += np.float32(amount) * smooth(rng, yy.shape, scale)
    out = []
    for row, col, radius in parts.astype(np.float32):
        along, across = turned(bent[0] - row, bent[1] - col, rng.uniform(0, np.pi))
        longer = np.float32(rng.uniform(1, 1.35))
        out.append(radius - np.hypot(along / longer, across * longer))
    return np.stack(out)


def _dig(rng: Generator, ground: Ground, window: Window, mask: Mask, lobes: F32) -> None:
    """Turn `mask` (H, W) of the window into benches, dumps and ponds of the second date, one object per lobe."""
    cover = np.full(mask.shape, FRESH, np.uint8)
    heaps, rough = smooth(rng, mask.shape, 2.5), smooth(rng, mask.shape, 9)
    bench, lobe = np.zeros(mask.shape, np.float32), lobes.argmax(0)
    for i, kind in enumerate(("pit", "dump", "tailings", "dump", "pit")[: len(lobes)]):
        here = mask & (lobe == i)
        depth = ndimage.distance_transform_edt(here).astype(np.float32)
        deepest = float(depth.max())
        depth += 1.1 * rough
        downhill = np.gradient(ndimage.gaussian_filter(depth, 1.5))
        sun = 0.9 + 0.5 * (downhill[0] - downhill[1])  # in the north-east, as at any mid-morning pass
        wave = np.sin(2 * np.pi * (depth / rng.uniform(5, 8) + rng.random()))
        bench[here] = (1.1 * np.tanh(2 * wave) * sun)[here]
        pond = here & (depth > max(0.75 * deepest, deepest - 12)) & (deepest > 8)
        if kind == "pit" or (kind == "dump" and rng.random() < 0.3):
            cover[here & (depth > 0.4 * deepest + 2 * heaps)] = DARK
        if kind != "dump":
            cover[pond] = POND if kind == "pit" else TAILINGS
    structure = 0.75 * bench + 0.55 * heaps + 0.35 * rough
    haul_road = np.abs(smooth(rng, mask.shape, max(14, 0.25 * np.sqrt(mask.sum())))) < 0.05
    structure[haul_road] = 1.7
    ground.structure[window][mask] = structure[mask]
    ground.objects[window][mask] = ground.used + 1 + lobe[mask]
    ground.used += len(lobes)
    ground.covers[1][window][mask] = cover[mask]
