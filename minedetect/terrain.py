"""Where things lie in the built-in district but the mines: woodland, river, town, fields and roads."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.random import Generator
from numpy.typing import NDArray
from rasterio import features
from scipy import ndimage, sparse
from shapely.geometry.base import BaseGeometry

DEFAULT_SIZE_PX = (1024, 768)
MIN_SIDE_PX, MAX_SIZE_PX = 192, (5567, 3230)

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]
Place = tuple[float, float]  # row and column in pixels

# Codes of the covers; from FRESH on it is mine.
WOOD, MIOMBO, GRASS, CROP, BARE, STUBBLE, RIVER, TOWN, ROAD, FRESH, DARK, POND, TAILINGS = range(13)
FIELD_USE = ((0.45, 0.2), (0.4, 0.4))  # by date, parts of the field area bare and under crop; the rest is stubble
SETTLEMENTS = (1.0, 0.3, 0.3, 0.3)  # areas of the town and the villages, in towns


@dataclass
class Ground:
    """What is being drawn.

    Attributes:
        covers: (H, W) uint8 codes of the first and the second date.
        objects: (H, W) int32 number of the field, mine part or road, 0 where none.
        structure: (H, W) float32 without unit, spread 1: benches, heaps, roofs.
        used: Highest object number so far.
    """

    covers: tuple[U8, U8]
    objects: NDArray[np.int32]
    structure: F32
    used: int = 0


def wild_ground(rng: Generator, shape: tuple[int, int]) -> tuple[Ground, BaseGeometry]:
    """Ground (H, W) of woodland, grass and a river, and the river's line (x, y in pixels)."""
    side = min(shape)
    parts = ((1.0, side / 6), (0.6, 45.0), (0.45, 14.0), (0.3, 5.0), (0.25, 2.0))
    high = np.sum([weight * smooth(rng, shape, scale) for weight, scale in parts], 0)
    dambo = np.abs(smooth(rng, shape, 55) + 0.1 * smooth(rng, shape, 5)) < 0.07  # grassy valleys
    high[dambo] -= 1.2
    low, mid = np.quantile(high[::5, ::5], [0.3, 0.55])
    cover = np.select([high < low, high < mid], [GRASS, MIOMBO], WOOD).astype(np.uint8)
    steps = np.arange(1200)
    bend = 0.5 * smooth(rng, (1, 1200), 150)[0] + 0.6 * smooth(rng, (1, 1200), 45)[0]
    # A direction that swings as a sine of the way gone is the usual model of meanders (Langbein and Leopold).
    path = np.cumsum(np.exp(1j * (bend + np.sin(steps / 13 + 3 * bend))))
    begin, end = rng.uniform(0.25, 0.75, 2) * shape[0]
    start, stop = -30 + 1j * begin, shape[1] + 30 + 1j * end
    path = start + (path - path[0]) / (path[-1] - path[0]) * (stop - start)
    river = shapely.LineString(np.column_stack([path.real, path.imag]))
    cover[burn(river.buffer(7), shape)] = WOOD
    cover[burn(river.buffer(1.2 + 0.6 * np.log2(side / 128)), shape)] = RIVER
    objects, structure = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    return Ground((cover, cover.copy()), objects, structure), river


def draw_works(rng: Generator, ground: Ground, places: list[Place], river: BaseGeometry) -> None:
    """Draw town, villages, fields and roads where neither mines nor the river lie.

    Args:
        rng: Source of chance.
        ground: Gets the drawing, (H, W); has the mines already.
        places: Centres of the mines in pixels; the last has no road on the first date.
        river: Line of x, y in pixels.
    """
    mined = np.maximum(*ground.covers) >= FRESH
    busy = ndimage.binary_dilation(mined, iterations=7) | burn(river.buffer(10), mined.shape)
    area = 0.009 * busy.size**0.95
    town, *villages = (_draw_town(rng, ground, busy, area * share) for share in SETTLEMENTS)
    _draw_fields(rng, ground, busy)
    _draw_roads(rng, ground, [*villages, *places], town)


def _draw_town(rng: Generator, ground: Ground, busy: Mask, area: float) -> Place:
    """Draw streets, roofs and trees, mark them in `busy` (H, W), and give the centre (row, column)."""
    far = ndimage.distance_transform_edt(~np.pad(busy[2::4, 2::4], 1, constant_values=True))[1:-1, 1:-1]
    row, col = np.unravel_index(int(np.argmax(far)), far.shape)
    centre = (4.0 * row + 2, 4.0 * col + 2)
    window, yy, xx = window_of(centre, 2.2 * radius_of(area) + 10, busy.shape)
    height = 0.3 * radius_of(area) * smooth(rng, yy.shape, 0.6 * radius_of(area)) - np.hypot(yy, 1.3 * xx)
    town = region(height, ~busy[window], int(area))
    u, v = turned(yy, xx, rng.uniform(0, np.pi / 2))
    roofs = rng.standard_normal((97, 89), np.float32)[(u // 2.4).astype(int) % 97, (v // 2).astype(int) % 89]
    lots = 0.85 * roofs + 0.5 * smooth(rng, town.shape, 15)
    street = (np.mod(u, 18) < 1.3) | (np.mod(v, 9) < 1.2)
    cover = np.select([street, lots < -0.8], [ROAD, MIOMBO], TOWN)
    for view in ground.covers:
        view[window][town] = cover[town]
    ground.structure[window][town] = lots[town]
    busy[window] |= ndimage.binary_dilation(town, iterations=3)
    return centre


def _draw_fields(rng: Generator, ground: Ground, busy: Mask) -> None:
    """Draw blocks of straight-edged fields where not `busy` (H, W), with what each bears on each date."""
    wanted = max(0.14, 4 * float((ground.covers[0] >= FRESH).mean())) * busy.size
    areas: dict[int, int] = {}  # object: pixels
    for _ in range(4000):
        if sum(areas.values()) > wanted:
            break
        length = rng.uniform(50, min(180, 0.45 * min(busy.shape)))
        centre = (rng.uniform(0, busy.shape[0]), rng.uniform(0, busy.shape[1]))
        window, yy, xx = window_of(centre, 0.75 * length, busy.shape)
        rings = _block(rng, length, float(rng.choice([13, 22, 36])))
        shapes = [(shapely.Polygon(ring - [xx[0, 0], yy[0, 0]]), i) for i, ring in enumerate(rings, 1)]
        ids = np.asarray(features.rasterize(shapes, yy.shape, dtype="int32"))
        counts = np.bincount(ids.ravel(), minlength=len(rings) + 1)
        good = (np.bincount(ids.ravel(), busy[window].ravel(), len(rings) + 1) == 0) & (counts > 25)
        good[0] = False
        fields = good[ids]
        for view in ground.covers:
            view[window][ndimage.binary_dilation(fields) & ~busy[window]] = GRASS
        ground.objects[window][fields] = ids[fields] + ground.used
        areas |= {ground.used + int(i): int(counts[i]) for i in np.flatnonzero(good)}
        ground.used += len(rings)
        busy[window] |= ndimage.binary_dilation(fields, iterations=2)
    for cover, (bare, crop) in zip(ground.covers, FIELD_USE, strict=True):
        turn = rng.permutation(list(areas))
        part = np.cumsum([areas[i] for i in turn]) / sum(areas.values())
        use = np.zeros(ground.used + 1, np.uint8)
        use[turn] = np.select([part <= bare, part <= bare + crop], [BARE, CROP], STUBBLE)
        drawn = use[ground.objects]
        np.copyto(cover, drawn, where=drawn > 0)


def _block(rng: Generator, length: float, field: float) -> list[NDArray[np.float64]]:
    """Rings (4, 2) of the fields of a turned rectangle: x, y in pixels from the middle of its square."""
    angle = rng.uniform(0, np.pi / 2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    whole = np.array([[-1, -1], [1, rng.uniform(-0.2, 1)]]) * length / 2
    todo, rings = [(whole[0], whole[1])], []
    while todo:
        low, high = todo.pop()
        axis = int(np.argmax(high - low))
        if (high - low)[axis] < field * rng.uniform(0.9, 2):
            (x0, y0), (x1, y1) = low + 0.5, high - 0.5
            ring = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) + rng.uniform(-0.6, 0.6, (4, 2))
            rings.append(ring @ turn)
            continue
        cut_high, cut_low = high.copy(), low.copy()
        cut_high[axis] = cut_low[axis] = low[axis] + (high - low)[axis] * rng.uniform(0.35, 0.65)
        todo += [(low, cut_high), (cut_low, high)]
    return rings


def _draw_roads(rng: Generator, ground: Ground, places: list[Place], town: Place) -> None:
    """Draw roads from the town to the edges, and to each place from the nearest one already reached."""
    rows, cols = ground.structure.shape
    t = np.linspace(0, 1, 160)[:, None]
    edges = [(-9.0, rng.uniform(0, cols)), (rows + 9.0, rng.uniform(0, cols)), (rng.uniform(0, rows), -9.0)]
    near_first = sorted(places[:-1], key=lambda place: float(np.hypot(*np.subtract(place, town))))
    ends, reached = [*edges, *near_first, places[-1]], [town]
    for i, end in enumerate(ends):
        start = min(reached, key=lambda place: float(np.hypot(*np.subtract(place, end))))
        gap = np.subtract(end, start)
        sway = 0.07 * smooth(rng, (2, 160), 60).T + 0.006 * smooth(rng, (2, 160), 15).T
        path = start + gap * t + sway * np.sin(np.pi * t) * np.hypot(*gap)
        road = burn(shapely.LineString(path[:, ::-1]).buffer(1.2 if i < len(edges) else 0.85), (rows, cols))
        ground.used += 1
        to_new = i == len(ends) - 1  # not there yet on the first date
        for cover in ground.covers[1:] if to_new else ground.covers:
            paved = road & (cover < FRESH) & (cover != TOWN)
            cover[paved] = ROAD
            if not to_new:
                ground.objects[paved] = ground.used
        reached += [end] if i >= len(edges) else []


def _spline(count: int, step: float) -> sparse.csr_array:
    """(count, knots) float32 weights of the cubic B-spline with a knot every `step` pixels."""
    left, t = np.divmod(np.arange(count) / step, 1)
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    rows, cols = np.repeat(np.arange(count), 4), (left.astype(int)[:, None] + np.arange(4)).ravel()
    return sparse.csr_array((weights.ravel().astype(np.float32), (rows, cols)), (count, int(left[-1]) + 4))


def smooth(rng: Generator, shape: tuple[int, ...], scale: float) -> F32:
    """(H, W) float32, no unit, mean 0, variance 1: a random field that varies over about `scale` pixels."""
    rows, cols = (_spline(count, scale) for count in shape)
    knots = rng.standard_normal((rows.shape[1], cols.shape[1]), dtype=np.float32)
    out: F32 = rows @ np.ascontiguousarray((cols @ knots.T).T)
    return out / np.float32(151 / 315)  # mean squared weight of the spline along one axis


def burn(geometry: BaseGeometry, shape: tuple[int, int]) -> Mask:
    """(H, W) bool: the pixels whose centre lies in a geometry (x, y in pixels)."""
    return np.asarray(features.rasterize([(geometry, 1)], shape, dtype="uint8"), bool)


def window_of(centre: Place, half: float, shape: tuple[int, ...]) -> tuple[Window, F32, F32]:
    """Window around a centre (row, column), and (H, W) float32 rows and columns in pixels from there."""
    (y, x), (rows, cols) = centre, shape
    row = slice(max(int(y - half), 0), min(int(y + half), rows))
    col = slice(max(int(x - half), 0), min(int(x + half), cols))
    yy, xx = np.mgrid[row, col].astype(np.float32)
    return (row, col), yy - np.float32(y), xx - np.float32(x)


def turned(yy: F32, xx: F32, angle: float) -> tuple[F32, F32]:
    """(H, W) float32 coordinates along and across a direction, same unit as given."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return xx * cos + yy * sin, yy * cos - xx * sin


def radius_of(area: float) -> float:
    """Radius in pixels of the disc of an area in pixels."""
    return float(np.sqrt(area / np.pi))


def region(height: F32, allowed: Mask, area: int) -> Mask:
    """(H, W) bool: the highest connected part of `height` (H, W) that is allowed, without holes, of `area` pixels."""
    height = np.where(allowed, height, -np.inf)
    peak = np.unravel_index(int(np.argmax(height)), height.shape)
    low, high = float(height[allowed].min()), float(height[peak])
    hill = height >= high
    for _ in range(18):
        level = (low + high) / 2
        labels, _ = ndimage.label(height >= level)
        wider = ndimage.binary_fill_holes(labels == labels[peak]) & allowed
        if wider.sum() > area:
            low = level
        else:
            high, hill = level, wider
    # Where two hills meet, the area jumps past the one wanted: take the rest from around the smaller hill.
    gap = np.where(allowed, ndimage.distance_transform_edt(~hill), np.inf)
    nearest = np.argsort(gap, axis=None, kind="stable")
    hill.flat[nearest[: min(area, int(allowed.sum()))]] = True
    return hill
