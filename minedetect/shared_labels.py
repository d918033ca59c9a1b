"""Labels of scenes that show the same ground: what is drawn on one picture holds on all that are the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import rasterio.warp
from odc.geo.geobox import GeoBox

from minedetect.findings import Check, counted, listed, shown_ha
from minedetect.grid import Window, crop, shape_of, whole
from minedetect.measure import hectares
from minedetect.places import seen_window, shared_ground_px
from minedetect.raster import BACKGROUND, IGNORE, MINE, Float, Mask, valid
from minedetect.scenes import Scene

COMPARED_PX = 512
"""Side of the shared ground on which two pictures are compared."""
SAME_SHARE = 0.99
"""Share of pixels that two cuts of one picture have in common; two dates have next to none."""
LEAST_COMPARED_PX = 64
LEAST_TOLD_HA = 0.05

CONSEQUENCE = {
    (True, True): "The picture is the same, so they count as mine (--no-share-labels: as background).",
    (True, False): "The picture is the same; with --share-labels they would count as mine.",
    (False, True): "The picture is another: right where the dates differ, else complete the outlines.",
}
CONSEQUENCE[False, False] = CONSEQUENCE[False, True]


@dataclass
class _Contradiction:
    """Ground of a scene that is background in its own labels and mine in those of others.

    Args:
        ground: bool (H, W).
        others: names of the scenes that draw it.
    """

    ground: npt.NDArray[np.bool_]
    others: list[str] = field(default_factory=list)


def completed(scenes: Sequence[Scene], share: bool) -> tuple[list[Scene], tuple[str, ...]]:
    """Complete each scene's mask by what others draw on the same picture, and say what contradicts.

    Outlines are often drawn object by object, each on a cut of its own: one cut then calls background what another
    calls mine. Two scenes are the same picture where their pixels are equal, to the pixel's width by which cuts of
    one raster may be displaced; other dates of the same ground never are, and keep their own labels.

    Args:
        scenes: as loaded; only background becomes mine, unknown stays unknown.
        share: whether to complete, or only to say what contradicts.

    Returns:
        The scenes, with a finding more where labels contradict, and a sentence for all of them together.
    """
    done, told_ha = list(scenes), {True: [0.0], False: [0.0]}
    for (number, same), found in _contradictions(scenes).items():
        scene = done[number]
        ground_ha = hectares(found.ground & scene.observed, scene.raster.grid, MINE)
        if ground_ha < LEAST_TOLD_HA:
            continue
        told_ha[same].append(ground_ha)
        words = (
            f"{shown_ha(ground_ha)} are background here and drawn as mine on {listed(found.others)}. "
            f"{CONSEQUENCE[same, share]}"
        )
        checks = (*scene.quality.checks, Check("shared_labels", "warning", words))
        mask = np.where(found.ground, np.uint8(MINE), scene.mask) if same and share else scene.mask
        done[number] = replace(scene, mask=mask, quality=replace(scene.quality, checks=checks))
    together = tuple(
        f"{shown_ha(sum(each))} on {len(each) - 1} of {counted(len(scenes), 'scene')} are background there and drawn "
        f"as mine on another scene of the same ground. {CONSEQUENCE[same, share]}"
        for same, each in told_ha.items()
        if sum(each)
    )
    return done, together


def _contradictions(scenes: Sequence[Scene]) -> dict[tuple[int, bool], _Contradiction]:
    """By the number of a scene, and whether the others show the same picture."""
    found: dict[tuple[int, bool], _Contradiction] = {}
    shared = shared_ground_px([scene.raster.grid for scene in scenes])
    for i, j in np.argwhere(np.triu(shared)).tolist():
        same = None
        for number, other in ((i, scenes[j]), (j, scenes[i])):
            scene = scenes[number]
            window = seen_window(scene.raster.grid, other.raster.grid)
            if window is None:  # a sliver of rounding
                continue
            theirs = _on_grid(other.mask, other.raster.grid, crop(scene.raster.grid, window))
            against = (theirs == MINE) & (scene.mask[window.slices] == BACKGROUND)
            if against.any():
                same = _same_picture(scenes[i], scenes[j]) if same is None else same
                all_of_it = found.setdefault((number, same), _Contradiction(np.zeros(scene.mask.shape, np.bool_)))
                all_of_it.ground[window.slices] |= against
                all_of_it.others.append(other.files.name)
    return found


def _on_grid(mask: Mask, grid: GeoBox, onto: GeoBox) -> Mask:
    """A mask on another grid by nearest neighbour: uint8 (H, W), IGNORE beyond it."""
    found = np.full(shape_of(onto), IGNORE, np.uint8)
    rasterio.warp.reproject(
        mask,
        found,
        src_transform=grid.transform,
        src_crs=str(grid.crs),
        src_nodata=IGNORE,
        dst_transform=onto.transform,
        dst_crs=str(onto.crs),
        dst_nodata=IGNORE,
        resampling=rasterio.warp.Resampling.nearest,
    )
    return found


def _same_picture(scene: Scene, other: Scene) -> bool:
    """Whether two scenes hold equal pixels on the middle of the ground they share."""
    shared = seen_window(scene.raster.grid, other.raster.grid)
    if shared is None:
        return False
    height, width = min(shared.height, COMPARED_PX), min(shared.width, COMPARED_PX)
    row, col = shared.row + (shared.height - height) // 2, shared.col + (shared.width - width) // 2
    window = Window(row, col, height, width)
    ours, theirs = scene.read(window), _grown(other, scene.raster.grid, window)
    around = [theirs[:, down : down + height, right : right + width] for down in range(3) for right in range(3)]
    compared = np.all([valid(pixels) for pixels in (ours, *around)], axis=0)
    equal = np.any([(ours == pixels).all(axis=0) for pixels in around], axis=0)
    enough = int(compared.sum()) >= LEAST_COMPARED_PX and float(np.ptp(ours[:, compared])) > 0
    return enough and float(equal[compared].mean()) >= SAME_SHARE


def _grown(scene: Scene, grid: GeoBox, window: Window) -> Float:
    """A scene's pixels on another grid, by nearest neighbour, one pixel more on each side; NaN beyond the grid."""
    raster = scene.raster.onto(grid, nearest=True)
    around = Window(window.row - 1, window.col - 1, window.height + 2, window.width + 2)
    inside = around.intersection(whole(raster.shape))
    found = np.full((len(scene.names), around.height, around.width), np.nan, np.float32)
    if inside is not None:
        found[:, *inside.shifted(-around.row, -around.col).slices] = scene.reading.read(raster, inside)
    return found
