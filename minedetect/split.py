"""Training tiles and validation blocks that share no pixel; how many they share is measured, not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from odc.geo.geobox import GeoBox

from minedetect.blocks import SceneSplit, split_blocks, stride_px
from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import Window, pixel_size_m, plan_windows, shape_of, whole
from minedetect.raster import MINE, Mask

SUBSET_TRIES = 500


@dataclass(frozen=True)
class Split:
    """The whole split, in the order of the scenes.

    Args:
        scenes: one entry a scene.
        gap_px: distance kept between training tiles and validation blocks of one scene.
        gap_m: the same in metres; 0 when whole scenes are kept apart.
        shared_pixels: pixels that lie in a training tile and in a validation block, measured.
        mine_share: share of the mine pixels that validation holds.
        mines: labelled patches that validation holds.
    """

    scenes: tuple[SceneSplit, ...]
    gap_px: int
    gap_m: float
    shared_pixels: int
    mine_share: float
    mines: int

    @property
    def blocks(self) -> int:
        return sum(len(s.validation) for s in self.scenes)

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """JSON content; windows are [row, column, height, width] in pixels."""

        def plain(windows: Sequence[Window]) -> list[list[int]]:
            return [[w.row, w.col, w.height, w.width] for w in windows]

        return {
            "shared_pixels": self.shared_pixels,
            "gap_px": self.gap_px,
            "gap_m": round(self.gap_m, 1),
            "validation_mine_share": round(self.mine_share, 4),
            "validation_blocks": self.blocks,
            "validation_mines": self.mines,
            "training_tiles": sum(len(s.training) for s in self.scenes),
            "scenes": {
                name: {"training": plain(s.training), "validation": plain(s.validation)}
                for name, s in zip(names, self.scenes, strict=True)
            },
        }


def make_split(grids: Sequence[GeoBox], masks: Sequence[Mask], settings: TileSettings, seed: int) -> Split:
    """Split one scene into blocks, or several scenes into whole ones.

    Args:
        grids: where each scene lies.
        masks: uint8 (H, W) a scene, 0, 1 or 255.
        settings: tile size, overlap, shares.
        seed: of the choice among whole scenes.

    Raises:
        SplitError: the scenes leave no way to keep training and validation apart.
    """
    if len(grids) == 1:
        only, gap = split_blocks(masks[0], settings)
        parts = [only]
    else:
        parts, gap = _split_scenes(grids, masks, settings, seed), 0
    shared = measure_shared(grids, parts)
    if shared:
        raise SplitError(f"Training and validation would share {shared:,} pixels. Use scenes of different places.")
    return _summarize(grids, masks, parts, gap, shared)


def _summarize(
    grids: Sequence[GeoBox], masks: Sequence[Mask], parts: Sequence[SceneSplit], gap_px: int, shared: int
) -> Split:
    inside = [mask[w.slices] == MINE for mask, part in zip(masks, parts, strict=True) for w in part.validation]
    total = sum(int((mask == MINE).sum()) for mask in masks)
    return Split(
        scenes=tuple(parts),
        gap_px=gap_px,
        gap_m=gap_px * pixel_size_m(grids[0]),
        shared_pixels=shared,
        mine_share=sum(int(b.sum()) for b in inside) / max(total, 1),
        mines=sum(int(scipy.ndimage.label(b, np.ones((3, 3)))[1]) for b in inside),
    )


def training_area(shape: tuple[int, int], tiles: Sequence[Window]) -> npt.NDArray[np.bool_]:
    """Pixels that lie in any of the tiles: bool (H, W)."""
    area = np.zeros(shape, dtype=bool)
    for tile in tiles:
        area[tile.slices] = True
    return area


def measure_shared(grids: Sequence[GeoBox], parts: Sequence[SceneSplit]) -> int:
    """Pixels in both a training tile and a validation block, over all scenes.

    Within a scene they are counted one by one; between scenes the ground that both footprints
    cover is counted in pixels of the validation scene.
    """
    shared = 0
    for grid, part in zip(grids, parts, strict=True):
        area = training_area(shape_of(grid), part.training)
        shared += sum(int(area[w.slices].sum()) for w in part.validation)
    for i, validating in enumerate(parts):
        for j, training in enumerate(parts):
            if i != j and validating.validation and training.training:
                shared += _ground_overlap_px(grids[i], grids[j])
    return shared


def _ground_overlap_px(a: GeoBox, b: GeoBox) -> int:
    """Ground shared by two scenes in pixels, the larger of both views; slivers under a thousandth are none."""
    return max(_seen_from(a, b), _seen_from(b, a))


def _seen_from(a: GeoBox, b: GeoBox) -> int:
    common = a.extent & b.extent.to_crs(a.crs or "EPSG:4326", resolution="auto")
    pixels = common.area / abs(a.transform.a * a.transform.e)
    return int(np.ceil(pixels - 1e-3))


def _split_scenes(
    grids: Sequence[GeoBox], masks: Sequence[Mask], settings: TileSettings, seed: int
) -> list[SceneSplit]:
    """Whole scenes, those that overlap on the ground kept on one side, mine area near the share asked for."""
    groups = ground_clusters(grids)
    mine_px = np.array([sum(int((masks[i] == MINE).sum()) for i in g) for g in groups], dtype=float)
    scene_count = np.array([len(g) for g in groups], dtype=float)
    if np.count_nonzero(mine_px) < 2:
        raise SplitError(
            f"The {len(grids)} scenes form {len(groups)} separate place(s), and fewer than two of them hold mines. "
            "Add scenes of other places with mines, or train on one scene alone."
        )
    chosen = _balanced_subset(mine_px, scene_count, settings.validation_share, seed)
    validating = {i for g, c in zip(groups, chosen, strict=True) if c for i in g}
    stride = stride_px(settings)
    return [
        SceneSplit((), (whole(shape_of(grid)),))
        if i in validating
        else SceneSplit(tuple(plan_windows(shape_of(grid), settings.tile_px, stride)), ())
        for i, grid in enumerate(grids)
    ]


def _balanced_subset(
    mine_px: npt.NDArray[np.float64], scenes: npt.NDArray[np.float64], share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """The subset of places nearest the share of mine area and of scenes, both sides holding mines."""
    rng = np.random.default_rng(seed)
    best, best_cost = None, np.inf
    for _ in range(SUBSET_TRIES):
        order = rng.permutation(len(mine_px))
        reached = np.cumsum(mine_px[order]) / mine_px.sum()
        taken = max(1, int(np.argmin(np.abs(reached - share))) + 1)
        chosen = np.zeros(len(mine_px), dtype=bool)
        chosen[order[:taken]] = True
        inside = mine_px[chosen].sum() / mine_px.sum()
        if not 0 < inside < 1:
            continue
        cost = abs(inside - share) + 0.5 * abs(scenes[chosen].sum() / scenes.sum() - share)
        if cost < best_cost:
            best, best_cost = chosen, cost
    if best is None:
        raise SplitError("No choice of scenes leaves mines on both sides. Add scenes with mines.")
    return best


def ground_clusters(grids: Sequence[GeoBox]) -> list[list[int]]:
    """Scene numbers grouped so that scenes that overlap on the ground are together."""
    groups: list[list[int]] = []
    for i, grid in enumerate(grids):
        touching = [g for g in groups if any(_ground_overlap_px(grid, grids[j]) for j in g)]
        groups = [g for g in groups if g not in touching] + [sorted([i, *(j for g in touching for j in g)])]
    return sorted(groups)
