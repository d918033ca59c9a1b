"""Whole scenes for training, validation and test: which share ground, and which place goes where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from minedetect.blocks import SceneSplit, stride_px, teaching_tiles
from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import WGS84, Window, plan_windows, shape_of, to_lonlat, whole
from minedetect.raster import IGNORE, MINE, Mask
from minedetect.rectangles import running_sums

SUBSET_TRIES = 500
SLIVER_PX = 1e-3
"""Ground under this is rounding: scenes that only touch share none."""
EDGE_STEP_PX = 32
"""Distance of the points by which an edge is bent into another coordinate system."""
NEAR_MARGIN_M = 1000.0

LEARNED, VALIDATED, TESTED = 0, 1, 2
Parts = npt.NDArray[np.int64]
"""int64 (P,): LEARNED, VALIDATED or TESTED for each place."""


def outline_points(grid: GeoBox, segments: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Points along a scene's edge in its own CRS, as many segments down and across: float64 (N, 2), open ring."""
    height, width = shape_of(grid)
    down, across = np.linspace(0, height, segments[0] + 1), np.linspace(0, width, segments[1] + 1)
    cols = np.concatenate([across[:-1], np.full(segments[0], width), across[:0:-1], np.zeros(segments[0])])
    rows = np.concatenate([np.zeros(segments[1]), down[:-1], np.full(segments[1], height), down[:0:-1]])
    t = grid.transform
    return np.stack([t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f], axis=1)


def shared_ground_px(grids: Sequence[GeoBox]) -> npt.NDArray[np.int64]:
    """Ground that each two scenes share, in pixels, the larger of both views: int64 (N, N), 0 on the diagonal."""
    shared = np.zeros((len(grids), len(grids)), dtype=np.int64)
    for i, j in np.argwhere(np.triu(_near(grids), 1)).tolist():
        shared[i, j] = shared[j, i] = max(_seen_from(grids[i], grids[j]), _seen_from(grids[j], grids[i]))
    return shared


def _near(grids: Sequence[GeoBox]) -> npt.NDArray[np.bool_]:
    """Whether the circles around two scenes meet; spares most pairs the exact look."""
    centres, radii_m = np.zeros((len(grids), 2)), np.zeros(len(grids))
    for i, grid in enumerate(grids):
        points = outline_points(grid, (8, 8))
        lon, lat = to_lonlat(grid).transform(*np.vstack([points.mean(axis=0), points]).T)
        _, _, away_m = WGS84.inv(np.full(len(points), lon[0]), np.full(len(points), lat[0]), lon[1:], lat[1:])
        centres[i], radii_m[i] = (lon[0], lat[0]), np.max(away_m)
    first, second = np.indices((len(grids), len(grids))).reshape(2, -1)
    _, _, apart_m = WGS84.inv(*centres[first].T, *centres[second].T)
    reach_m = 1.1 * (radii_m[first] + radii_m[second]) + NEAR_MARGIN_M
    return np.asarray((np.asarray(apart_m) <= reach_m).reshape(len(grids), -1))


def seen_window(a: GeoBox, b: GeoBox) -> Window | None:
    """The rows and columns of `a` in which `b` lies, None where it lies beside it."""
    west, south, east, north = shapely.bounds(_outline_in(a, b)).tolist()
    (left, top), (right, bottom) = ~a.transform @ (west, north), ~a.transform @ (east, south)
    row, col = int(np.floor(top + SLIVER_PX)), int(np.floor(left + SLIVER_PX))
    height, width = int(np.ceil(bottom - SLIVER_PX)) - row, int(np.ceil(right - SLIVER_PX)) - col
    return Window(row, col, height, width).intersection(whole(shape_of(a)))


def _seen_from(a: GeoBox, b: GeoBox) -> int:
    """Pixels of `a` that lie in `b`."""
    common = shapely.intersection(shapely.Polygon(outline_points(a, (1, 1))), _outline_in(a, b))
    return int(np.ceil(common.area / abs(a.transform.determinant) - SLIVER_PX))


def _outline_in(a: GeoBox, b: GeoBox) -> BaseGeometry:
    """The outline of `b` in the CRS of `a`; longitudes go on over the antimeridian where `a` does."""
    bent = a.crs != b.crs
    height, width = (max(1, -(-n // EDGE_STEP_PX)) if bent else 1 for n in shape_of(b))
    points = outline_points(b, (height, width))
    if bent and a.crs and b.crs:
        to_a = Transformer.from_crs(b.crs.proj, a.crs.proj, always_xy=True)
        points = np.stack(to_a.transform(*points.T), axis=1)
    if not np.isfinite(points).all():  # near, yet beyond what the CRS of `a` can say: taken as shared
        return shapely.Polygon(outline_points(a, (1, 1)))
    if a.crs and a.crs.geographic:
        turns = np.round((points[:, 0] - outline_points(a, (1, 1))[:, 0].mean()) / 360)
        points[:, 0] -= 360 * turns
    return shapely.make_valid(shapely.Polygon(points))


def ground_clusters(grids: Sequence[GeoBox]) -> list[list[int]]:
    """Scene numbers grouped so that scenes that overlap on the ground are together."""
    shared = shared_ground_px(grids)
    groups: list[list[int]] = []
    for i in range(len(grids)):
        touching = [g for g in groups if any(shared[i, j] for j in g)]
        groups = [g for g in groups if g not in touching] + [sorted([i, *(j for g in touching for j in g)])]
    return sorted(groups)


def split_scenes(
    grids: Sequence[GeoBox], masks: Sequence[Mask], settings: TileSettings, seed: int, holds: Sequence[bool] = ()
) -> list[list[SceneSplit]]:
    """Whole scenes, those that overlap on the ground kept in one part, mine area near the shares asked for.

    Args:
        grids: where each scene lies.
        masks: uint8 (H, W) a scene, 0, 1 or 255.
        settings: tile size, overlap, shares.
        seed: of the choice among places.
        holds: whether each scene holds the mine that validation is to hold; empty to hold a share.

    Raises:
        SplitError: no choice of places leaves mines in every part.
    """
    groups = ground_clusters(grids)
    places = _Places.of(groups, masks)
    fixed = np.array([any(holds[i] for i in g) for g in groups]) if holds else np.zeros(len(groups), dtype=bool)
    tested = {TESTED: settings.test_share} if settings.test_share else {}
    if settings.folds == 1 or fixed.any():
        folds = [_balanced(places, fixed, {VALIDATED: settings.validation_share, **tested}, settings, seed)]
    else:
        folds = _folded(places, _balanced(places, fixed, tested, settings, seed), settings, seed)
    return [
        [_scene(shape_of(grids[i]), masks[i], part, settings) for i, part in enumerate(_of_scenes(groups, parts))]
        for parts in folds
    ]


def _of_scenes(groups: Sequence[Sequence[int]], parts: Parts) -> list[int]:
    part_of = {i: int(part) for g, part in zip(groups, parts, strict=True) for i in g}
    return [part_of[i] for i in range(len(part_of))]


def _scene(shape: tuple[int, int], mask: Mask, part: int, settings: TileSettings) -> SceneSplit:
    if part == LEARNED:
        tiles = plan_windows(shape, settings.tile_px, stride_px(settings))
        return SceneSplit(teaching_tiles(tiles, running_sums(mask != IGNORE)), ())
    block = (whole(shape),) if _judges(mask) else ()
    return SceneSplit((), block, ()) if part == VALIDATED else SceneSplit((), (), block)


def _judges(mask: Mask) -> bool:
    """Whether a scene can be a block: without known background nothing in it can be mistaken for a mine."""
    return bool((mask < MINE).any())


@dataclass(frozen=True)
class _Places:
    """Places, P of them: scenes, mine pixels, those in scenes that can be a block, and background pixels."""

    scenes: npt.NDArray[np.float64]
    mine: npt.NDArray[np.float64]
    judged: npt.NDArray[np.float64]
    background: npt.NDArray[np.float64]

    @classmethod
    def of(cls, groups: Sequence[Sequence[int]], masks: Sequence[Mask]) -> _Places:
        mine = [int((m == MINE).sum()) for m in masks]
        background = [int((m < MINE).sum()) for m in masks]
        judged = [px if other else 0 for px, other in zip(mine, background, strict=True)]
        return cls(
            *(
                np.array([sum(of[i] for i in g) for g in groups], float)
                for of in ([1] * len(masks), mine, judged, background)
            )
        )

    def serves(self, parts: Parts, wanted: Sequence[int]) -> bool:
        """Whether every part holds mines, and ground that is none."""
        learned = parts == LEARNED
        judged = all(self.judged[parts == part].sum() > 0 for part in wanted)
        return judged and self.mine[learned].sum() > 0 and self.background[learned].sum() > 0


def _folded(places: _Places, parts: Parts, settings: TileSettings, seed: int) -> list[Parts]:
    """All places but those of the test dealt into folds, each of which is validation once.

    Of many ways to deal them, each place to the fold that has least so far, the most even one is taken.

    Raises:
        SplitError: fewer than two places can judge, or none of the ways leaves mines in every fold.
    """
    dealt = np.flatnonzero(parts == LEARNED)
    count = min(settings.folds, int((places.judged[dealt] > 0).sum()))
    _require_enough(places, np.zeros(len(parts), dtype=bool), 1 + bool(settings.test_share), settings)
    load = places.mine / places.mine.sum() + 0.5 * places.scenes / places.scenes.sum()
    rng = np.random.default_rng(seed)
    best, least = None, np.inf
    for _ in range(SUBSET_TRIES if count > 1 else 0):
        fold_of, held = np.full(len(parts), -1), np.zeros(count)
        for place in rng.permutation(dealt):
            fold_of[place] = int(held.argmin())
            held[fold_of[place]] += load[place]
        folds = [np.where(fold_of == fold, VALIDATED, parts) for fold in range(count)]
        if np.ptp(held) < least and all(places.serves(fold, [VALIDATED]) for fold in folds):
            best, least = folds, float(np.ptp(held))
    if best is None:
        raise SplitError(
            f"No way to deal {len(dealt)} places into {settings.folds} folds leaves mines, and ground that is none, in "
            "each. Choose fewer --folds, or add scenes of other places with both."
        )
    return best


def _balanced(
    places: _Places, fixed: npt.NDArray[np.bool_], shares: Mapping[int, float], settings: TileSettings, seed: int
) -> Parts:
    """The choice of places nearest the shares of mine area and of scenes, every part holding mines."""
    open_shares = {part: share for part, share in shares.items() if part != VALIDATED or not fixed.any()}
    _require_enough(places, fixed, len(open_shares), settings)
    rng = np.random.default_rng(seed)
    best, best_cost = None, np.inf
    for _ in range(SUBSET_TRIES if open_shares else 1):
        parts = _drawn(places, fixed, open_shares, rng)
        if not places.serves(parts, list(shares)):
            continue
        cost = sum(
            abs(places.mine[parts == part].sum() / places.mine.sum() - share)
            + 0.5 * abs(places.scenes[parts == part].sum() / places.scenes.sum() - share)
            for part, share in open_shares.items()
        )
        if cost < best_cost:
            best, best_cost = parts, cost
    if best is None:
        raise SplitError(
            "No choice of scenes leaves mines, and ground that is none, in every part. "
            "Add scenes of other places with both."
        )
    return best


def _drawn(places: _Places, fixed: npt.NDArray[np.bool_], shares: dict[int, float], rng: np.random.Generator) -> Parts:
    """One draw: places in random order, each part taking them until it is nearest its share."""
    parts = np.where(fixed, VALIDATED, LEARNED)
    order = np.flatnonzero(~fixed)[rng.permutation(int((~fixed).sum()))]
    for number, (part, share) in enumerate(shares.items()):
        mined_after = np.cumsum(places.mine[order][::-1] > 0)[::-1]  # with this one and those after it
        most = np.flatnonzero(mined_after >= len(shares) - number)  # the rest of the parts need one each
        reached = np.cumsum(places.mine[order]) / places.mine.sum()
        taken = max(1, min(int(np.argmin(np.abs(reached - share))) + 1, int(most[-1]) if len(most) else 1))
        parts[order[:taken]] = part
        order = order[taken:]
        if not len(order):
            break
    return parts


def _require_enough(places: _Places, fixed: npt.NDArray[np.bool_], wanted: int, settings: TileSettings) -> None:
    mined = places.mine > 0
    needed, left = 1 + wanted, int(mined[~fixed].sum())
    if left >= needed:
        return
    words = {1: "one", 2: "two", 3: "three"}[needed]
    seen = (
        f"Besides the place of mine number {settings.leave_mine_out}, fewer than {words} of the {len(mined)} separate "
        "place(s) hold mines."
        if fixed.any()
        else f"The {int(places.scenes.sum())} scenes form {len(mined)} separate place(s), "
        f"and fewer than {words} of them hold mines."
    )
    without = ", choose --test-share 0" if settings.test_share else ""
    raise SplitError(f"{seen} Add scenes of other places with mines{without}, or train on one scene alone.")
