"""Training and validation share no pixel, within a scene and between scenes; the count is measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from minedetect.blocks import SceneSplit
from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import Window, whole
from minedetect.split import ground_clusters, make_split, measure_shared, training_area

SETTINGS = TileSettings(tile_px=64)


def at(col_px: int, row_px: int = 0, shape: tuple[int, int] = (100, 120), crs: str = "EPSG:32735") -> GeoBox:
    """A scene whose corner lies so many pixels right and down of a common origin."""
    return GeoBox(shape, Affine(10, 0, 600_000 + 10 * col_px, 0, -10, 8_600_000 - 10 * row_px), crs)


def mined(shape: tuple[int, int], side_px: int = 20) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[10 : 10 + side_px, 10 : 10 + side_px] = 1
    return mask


def patchy(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Ten small mines anywhere."""
    mask, rng = np.zeros(shape, np.uint8), np.random.default_rng(seed)
    for row, col in zip(rng.integers(0, shape[0], 10), rng.integers(0, shape[1], 10), strict=True):
        mask[row : row + 12, col : col + 12] = 1
    return mask


scenes = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.booleans()).map(lambda p: (p[0] * 60, p[1] * 50, p[2])),
    min_size=2,
    max_size=6,
)


@given(scenes, st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 3))
def test_scenes_share_no_ground_by_painting(places: list[tuple[int, int, bool]], share: float, seed: int) -> None:
    grids = [at(col, row) for col, row, _ in places]
    masks = [mined((100, 120), 20 if has_mines else 0) for *_, has_mines in places]
    try:
        split = make_split(grids, masks, TileSettings(tile_px=64, validation_share=share), seed)
    except SplitError:
        return
    ground = {side: np.zeros((300, 800), bool) for side in ("training", "validation")}
    held = dict.fromkeys(ground, 0)
    for (col, row, _), mask, part in zip(places, masks, split.scenes, strict=True):
        for side, windows in (("training", part.training), ("validation", part.validation)):
            for window in windows:
                assert whole(mask.shape).intersection(window) == window
                ground[side][window.shifted(row, col).slices] = True
                held[side] += int((mask[window.slices] == 1).sum())
    assert not (ground["training"] & ground["validation"]).any()
    assert split.shared_pixels == 0
    assert held["training"] > 0
    assert held["validation"] > 0
    assert split.mine_share == pytest.approx(held["validation"] / sum(int(m.sum()) for m in masks))


@given(st.integers(130, 400), st.integers(130, 400), st.integers(0, 999))
def test_one_scene_is_split_by_painting(height: int, width: int, seed: int) -> None:
    mask = patchy((height, width), seed)
    try:
        split = make_split([at(0, 0, (height, width))], [mask], SETTINGS, 0)
    except SplitError:
        return
    (part,) = split.scenes
    painted = np.zeros(mask.shape, bool)
    for tile in part.training:
        painted[tile.slices] = True
    assert split.shared_pixels == sum(int(painted[w.slices].sum()) for w in part.validation) == 0
    assert split.gap_m == pytest.approx(split.gap_px * 10, rel=1e-2)
    assert split.blocks == 1
    assert split.mines > 0


def test_shared_pixels_are_counted_within_a_scene() -> None:
    part = SceneSplit((Window(0, 0, 64, 64), Window(0, 32, 64, 64)), (Window(50, 90, 50, 30),))
    assert measure_shared([at(0)], [part]) == (64 - 50) * (96 - 90)


@pytest.mark.parametrize(("col", "row", "shared"), [(120, 0, 0), (119, 0, 100), (60, 50, 60 * 50), (0, 0, 12_000)])
def test_shared_pixels_are_counted_between_scenes(col: int, row: int, shared: int) -> None:
    parts = [SceneSplit((Window(0, 0, 64, 64),), ()), SceneSplit((), (whole((100, 120)),))]
    assert measure_shared([at(0), at(col, row)], parts) == shared


def test_shared_ground_is_seen_across_coordinate_systems() -> None:
    parts = [SceneSplit((Window(0, 0, 64, 64),), ()), SceneSplit((), (whole((100, 120)),))]
    there = at(60).to_crs("EPSG:4326")
    parts_there = [parts[0], SceneSplit((), (whole(tuple(there.shape)),))]
    assert measure_shared([at(0), there], parts_there) == pytest.approx(60 * 100, rel=0.1)
    far = GeoBox((100, 120), Affine(10, 0, 500_000, 0, -10, 4_600_000), "EPSG:32617")
    assert measure_shared([at(0), far], parts) == 0


def test_scenes_that_overlap_on_the_ground_are_together() -> None:
    far = GeoBox((100, 120), Affine(10, 0, 500_000, 0, -10, 4_600_000), "EPSG:32617")
    assert ground_clusters([at(0), at(500), at(119), far, at(620), at(60, 50)]) == [[0, 2, 5], [1], [3], [4]]
    chain = [at(0), at(200), at(100)]
    assert ground_clusters(chain) == [[0, 1, 2]]
    assert ground_clusters([at(0), at(60).to_crs("EPSG:4326")]) == [[0, 1]]


def test_neighbours_that_share_no_pixel_are_two_places() -> None:
    assert ground_clusters([at(0), at(120, 30)]) == [[0], [1]]


def test_overlapping_scenes_alone_cannot_be_split() -> None:
    with pytest.raises(SplitError, match="1 separate place"):
        make_split([at(0), at(60)], [mined((100, 120))] * 2, SETTINGS, 0)


def test_scenes_need_mines_on_both_sides() -> None:
    empty = np.zeros((100, 120), np.uint8)
    with pytest.raises(SplitError, match="fewer than two"):
        make_split([at(0), at(200), at(400)], [mined((100, 120)), empty, empty], SETTINGS, 0)


def test_mine_area_comes_near_the_share_asked_for() -> None:
    grids = [at(200 * i) for i in range(10)]
    split = make_split(grids, [mined((100, 120))] * 10, SETTINGS, 0)
    assert split.mine_share == pytest.approx(0.2)
    assert sum(bool(s.validation) for s in split.scenes) == 2
    assert split.gap_px == 0
    assert split.gap_m == 0


def test_the_seed_alone_decides_among_scenes() -> None:
    grids, masks = [at(200 * i) for i in range(12)], [mined((100, 120))] * 12
    first, again = (make_split(grids, masks, SETTINGS, 3) for _ in range(2))
    assert first == again
    assert len({make_split(grids, masks, SETTINGS, seed).scenes for seed in range(4)}) > 1


def test_training_area_is_what_tiles_paint() -> None:
    area = training_area((5, 6), [Window(0, 0, 2, 2), Window(1, 1, 2, 3)])
    assert area.sum() == 4 + 6 - 1
    assert area[1, 1]
    assert not area[0, 2]


def test_json_says_what_was_split() -> None:
    mask = patchy((300, 300), 0)
    split = make_split([at(0, 0, (300, 300))], [mask], SETTINGS, 0)
    content = json.loads(json.dumps(split.to_json(["chingola"])))
    assert content["shared_pixels"] == 0
    assert content["training_tiles"] == len(split.scenes[0].training)
    assert content["validation_blocks"] == 1
    told = content["scenes"]["chingola"]
    assert [Window(*w) for w in told["training"]] == list(split.scenes[0].training)
    assert [Window(*w) for w in told["validation"]] == list(split.scenes[0].validation)


@pytest.mark.parametrize("side", ["north", "south"])
def test_ground_shared_along_a_curved_edge_is_seen(side: str) -> None:
    tile = GeoBox((10980, 10980), Affine(10, 0, 300_000, 0, -10, 4_900_020), "EPSG:32719")  # 46 degrees south
    y = 4_900_020 if side == "north" else 4_900_020 - 109_800
    lon, lat = Transformer.from_crs("EPSG:32719", "EPSG:4326", always_xy=True).transform(354_900, y)
    inward, outward = (lat - 0.0005, lat + 0.01) if side == "north" else (lat + 0.0005, lat - 0.01)
    small = GeoBox.from_bbox((lon, min(inward, outward), lon + 0.01, max(inward, outward)), "EPSG:4326", shape=(64, 64))
    beyond = GeoBox.from_bbox((lon, outward, lon + 0.01, outward + 0.001), "EPSG:4326", shape=(64, 64))
    assert ground_clusters([tile, small]) == [[0, 1]]
    assert ground_clusters([tile, beyond]) == [[0], [1]]
