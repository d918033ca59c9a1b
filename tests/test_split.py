"""Training and validation share no pixel, within a scene and between scenes; the count is measured."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from affine import Affine
from hypothesis import event, given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from minedetect.blocks import SceneSplit
from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import Window, whole
from minedetect.places import ground_clusters
from minedetect.split import Split, make_split, measure_shared, training_area

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


BASES = ((28.0, -12.5), (-68.9, -22.3), (179.995, -17.0), (25.0, 66.0))
"""Zambia, Atacama, Fiji on the antimeridian, Lapland."""


def utm(lon: float, lat: float) -> str:
    return f"EPSG:{(32700 if lat < 0 else 32600) + int((lon + 180) % 360 // 6) + 1}"


@st.composite
def grids_near(draw: st.DrawFn, base: tuple[float, float]) -> GeoBox:
    """A scene some pixels off a base, in degrees, UTM or the neighbouring UTM zone, with 8 to 15 m pixels."""
    shape = draw(st.integers(30, 150)), draw(st.sampled_from([40, 64, 100, 220]))
    lon, lat = (v + draw(st.integers(-40, 40)) * 1e-3 for v in base)
    crs = draw(st.sampled_from(["EPSG:4326", utm(lon, lat), utm(lon + 6, lat)]))
    size_m = draw(st.sampled_from([8.0, 10.0, 15.0]))
    if crs == "EPSG:4326":
        lon -= draw(st.sampled_from([0, 360])) if lon > 179 else 0
        size = size_m / 111_000
        return GeoBox(shape, Affine(size, 0, lon, 0, -size, lat), crs)
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    return GeoBox(shape, Affine(size_m, 0, x, 0, -size_m, y), crs)


@st.composite
def labels_on(draw: st.DrawFn, shape: tuple[int, int]) -> np.ndarray:
    """Some mines of any size, perhaps half of the scene unknown, perhaps specks of unknown."""
    mask = np.zeros(shape, np.uint8)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    largest = draw(st.sampled_from([4, 20, 90]))
    for _ in range(draw(st.sampled_from([1, 2, 5, 9]))):
        row, col = (int(rng.integers(0, n)) for n in shape)
        height, width = rng.integers(1, largest + 1, 2)
        mask[row : row + height, col : col + width] = 1
    unknown = draw(st.sampled_from(["none", "none", "specks", "left", "top", "all"]))
    if unknown == "specks":
        mask[rng.random(shape) < 0.3] = 255
    if unknown == "left":
        mask[:, : shape[1] // 2] = 255
    if unknown == "top":
        mask[: shape[0] // 2] = 255
    if unknown == "all":
        mask[:] = 255
    return mask


asked = st.builds(
    TileSettings,
    tile_px=st.sampled_from([64, 96]),
    tile_overlap=st.sampled_from([0.0, 0.5]),
    validation_share=st.sampled_from([0.05, 0.2, 0.5]),
    max_gap_px=st.sampled_from([0, 10, 64, 256]),
    test_share=st.sampled_from([0.0, 0.0, 0.1, 0.4]),
    leave_mine_out=st.sampled_from([0, 0, 0, 1, 2, 40]),
)


def try_split(grids: Sequence[GeoBox], masks: Sequence[np.ndarray], settings: TileSettings) -> Split | None:
    """The split, or None where it is refused in a sentence."""
    try:
        split = make_split(grids, masks, settings, 0)
    except SplitError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        event("refused")
        assert len(refusal) > 40, "a refusal says why"
        assert refusal.endswith(".")
        return None
    event("split")
    assert split == make_split(grids, [m.copy() for m in masks], settings, 0), "the same each time"
    return split


def painted(shape: tuple[int, ...], part: SceneSplit) -> dict[str, np.ndarray]:
    """Pixels of each part, painted window by window."""
    areas = {name: np.zeros(shape, bool) for name in ("training", "validation", "test")}
    for name, area in areas.items():
        for window in getattr(part, name):
            assert whole(shape).intersection(window) == window, "whole and inside the scene"
            area[window.slices] = True
    return areas


def assert_parts_are_sound(split: Split, masks: Sequence[np.ndarray], settings: TileSettings) -> None:
    """Every part holds mines and other ground, tiles have their size and teach, and figures are as painted."""
    areas = [painted(m.shape, part) for m, part in zip(masks, split.scenes, strict=True)]
    mine = {name: sum(int((m[a[name]] == 1).sum()) for m, a in zip(masks, areas, strict=True)) for name in areas[0]}
    other = {name: sum(int((m[a[name]] == 0).sum()) for m, a in zip(masks, areas, strict=True)) for name in areas[0]}
    for name in ("training", "validation", *(["test"] if settings.test_share else [])):
        assert mine[name] > 0
        assert other[name] > 0
    for mask, part, area in zip(masks, split.scenes, areas, strict=True):
        for window in part.training:
            assert (window.height, window.width) == tuple(min(n, settings.tile_px) for n in mask.shape)
            assert (mask[window.slices] != 255).any(), "a tile without a known pixel teaches nothing"
        assert all((mask[w.slices] == 0).any() for w in (*part.validation, *part.test))
        for first, second in (("training", "validation"), ("training", "test"), ("validation", "test")):
            assert not (area[first] & area[second]).any()
    total = sum(int((m == 1).sum()) for m in masks)
    assert split.mine_share == pytest.approx(mine["validation"] / total)
    assert split.test_mine_share == pytest.approx(mine["test"] / total)
    unused = sum(int((~(a["training"] | a["validation"] | a["test"])).sum()) for a in areas)
    assert split.unused_share == pytest.approx(unused / sum(m.size for m in masks), abs=1e-9)
    names = [f"s{i}" for i in range(len(masks))]
    content = json.loads(json.dumps(split.to_json(names)))
    for name, part in zip(names, split.scenes, strict=True):
        told = content["scenes"][name]
        assert part == SceneSplit(*(tuple(Window(*w) for w in told[k]) for k in ("training", "validation", "test")))


@given(st.data(), st.sampled_from([(70, 900), (900, 70), (64, 100), (200, 200), (300, 420)]), asked)
def test_one_scene_keeps_its_parts_apart_or_says_why(
    data: st.DataObject, shape: tuple[int, int], settings: TileSettings
) -> None:
    mask = data.draw(labels_on(shape))
    if (split := try_split([at(0, 0, shape)], [mask], settings)) is None:
        return
    assert_parts_are_sound(split, [mask], settings)
    (part,) = split.scenes
    area = painted(mask.shape, part)
    for block, others in ((*part.validation, ("training", "test")), *((t, ("training",)) for t in part.test)):
        near = Window(
            max(0, block.row - split.gap_px),
            max(0, block.col - split.gap_px),
            block.height + split.gap_px + min(block.row, split.gap_px),
            block.width + split.gap_px + min(block.col, split.gap_px),
        )
        assert not any(area[name][near.slices].any() for name in others), "the gap is kept on all sides"


@given(st.data(), st.sampled_from(BASES), st.integers(3, 7), asked)
def test_scenes_anywhere_share_no_ground_by_reprojecting_pixels(
    data: st.DataObject, base: tuple[float, float], count: int, settings: TileSettings
) -> None:
    grids = [data.draw(grids_near(base)) for _ in range(count)]
    masks = [data.draw(labels_on(tuple(g.shape))) for g in grids]
    if (split := try_split(grids, masks, settings)) is None:
        return
    assert_parts_are_sound(split, masks, settings)
    parts = [painted(m.shape, part) for m, part in zip(masks, split.scenes, strict=True)]
    for i, j in ((i, j) for i in range(count) for j in range(count) if i != j):
        for name, area in parts[i].items():
            others = np.any([a for other, a in parts[j].items() if other != name], axis=0)
            assert not lands_in(grids[i], area, grids[j], others), f"{name} ground of scene {i} in scene {j}"


def lands_in(grid: GeoBox, area: np.ndarray, other: GeoBox, others: np.ndarray) -> bool:
    """Whether the centre of a pixel of one area lies in the other scene's area."""
    rows, cols = np.nonzero(area)
    if not len(rows) or not others.any():
        return False
    x, y = grid.transform @ (cols + 0.5, rows + 0.5)
    lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    if str(other.crs) == "EPSG:4326":
        lon = other.transform.c + (lon - other.transform.c + 180) % 360 - 180
    x, y = Transformer.from_crs("EPSG:4326", str(other.crs), always_xy=True).transform(lon, lat)
    col, row = (np.floor(np.asarray(v)).astype(int) for v in ~other.transform @ (x, y))
    inside = (row >= 0) & (row < other.shape[0]) & (col >= 0) & (col < other.shape[1])
    return bool(others[row[inside], col[inside]].any())


def test_three_parts_among_places() -> None:
    grids = [at(200 * i) for i in range(10)]
    settings = TileSettings(tile_px=64, test_share=0.3)
    split = make_split(grids, [mined((100, 120))] * 10, settings, 0)
    assert (split.mine_share, split.test_mine_share) == pytest.approx((0.2, 0.3))
    assert [sum(bool(getattr(s, p)) for s in split.scenes) for p in ("training", "validation", "test")] == [5, 2, 3]
    assert split.shared_pixels == 0
    content = split.to_json([str(i) for i in range(10)])
    assert (content["test_blocks"], content["test_mines"], content["unused_share"]) == (3, 3, 0)


@pytest.mark.parametrize("sides", [(20, 20, 60), (60, 20, 20), (5, 60, 5)])
def test_three_places_make_three_parts(sides: tuple[int, int, int]) -> None:
    grids = [at(200 * i) for i in range(3)]
    split = make_split(
        grids, [mined((100, 120), s) for s in sides], TileSettings(tile_px=64, validation_share=0.3, test_share=0.3), 0
    )
    assert sum(bool(s.training) for s in split.scenes) == split.blocks == split.test_blocks == 1
    largest = split.scenes[sides.index(max(sides))]
    assert largest.training, "the most mines teach"


def test_two_places_cannot_make_three_parts() -> None:
    with pytest.raises(SplitError, match=r"fewer than three.*--test-share 0"):
        make_split([at(0), at(200)], [mined((100, 120))] * 2, TileSettings(tile_px=64, test_share=0.2), 0)


@pytest.mark.parametrize("test_share", [0.0, 0.3])
@pytest.mark.parametrize("number", [1, 4, 6])
def test_the_place_of_the_mine_left_out_validates(number: int, test_share: float) -> None:
    grids = [at(200 * i) for i in range(6)]
    settings = TileSettings(tile_px=64, leave_mine_out=number, test_share=test_share)
    split = make_split(grids, [mined((100, 120))] * 6, settings, 0)
    assert [bool(s.validation) for s in split.scenes] == [i == number - 1 for i in range(6)]
    assert (split.test_blocks > 0) == (test_share > 0)
    assert split.left_out_mine == number


def test_mines_go_by_the_numbers_given() -> None:
    mask = np.zeros((300, 300), np.uint8)
    zones = np.zeros((300, 300), np.int32)
    for number, (row, col) in {5: (30, 30), 9: (30, 230), 2: (220, 120)}.items():
        mask[row : row + 30, col : col + 30] = 1
        zones[row - 5 : row + 35, col - 5 : col + 35] = number
    split = make_split([at(0, 0, (300, 300))], [mask], TileSettings(tile_px=64, leave_mine_out=9), 0, [zones])
    (block,) = split.scenes[0].validation
    assert block.row <= 30 < 60 <= block.row_end
    assert block.col <= 230 < 260 <= block.col_end
    with pytest.raises(SplitError, match=r"no mine number 1 .* 3 \(number 2, 5, 9\)"):
        make_split([at(0, 0, (300, 300))], [mask], TileSettings(tile_px=64, leave_mine_out=1), 0, [zones])


def test_the_only_mine_cannot_be_left_out() -> None:
    for count in (1, 3):
        masks = [mined((100, 120)), *[np.zeros((100, 120), np.uint8)] * (count - 1)]
        with pytest.raises(SplitError, match=r"would leave none.* 1 \(number 1\)"):
            make_split([at(200 * i) for i in range(count)], masks, TileSettings(tile_px=64, leave_mine_out=1), 0)


def test_the_place_of_all_mines_cannot_be_left_out() -> None:
    masks = [patchy((100, 120), 0), np.zeros((100, 120), np.uint8)]
    with pytest.raises(SplitError, match="Besides the place of mine number 2"):
        make_split([at(0), at(200)], masks, TileSettings(tile_px=64, leave_mine_out=2), 0)


@pytest.mark.parametrize(("value", "words"), [(255, "labelled and observed"), (0, "is a mine"), (1, "are mine")])
def test_labels_of_one_kind_are_refused(value: int, words: str) -> None:
    for count in (1, 2):
        with pytest.raises(SplitError, match=words):
            make_split([at(200 * i) for i in range(count)], [np.full((100, 120), value, np.uint8)] * count, SETTINGS, 0)


def test_shared_pixels_count_all_pairs_of_parts() -> None:
    part = SceneSplit((Window(0, 0, 64, 64),), (Window(60, 60, 20, 20),), (Window(62, 62, 20, 20),))
    assert measure_shared([at(0)], [part]) == 4 * 4 + 2 * 2 + 18 * 18
    whole_scene = (whole((100, 120)),)
    parts = [SceneSplit((), (), whole_scene), SceneSplit((), whole_scene), SceneSplit((Window(0, 0, 64, 64),), ())]
    assert measure_shared([at(0), at(119), at(400)], parts) == 100
    assert measure_shared([at(0), at(400), at(119)], parts) == 100


def test_one_place_is_seen_across_the_antimeridian() -> None:
    east = GeoBox((100, 100), Affine(1e-4, 0, 179.995, 0, -1e-4, -17), "EPSG:4326")
    west = GeoBox((100, 100), Affine(1e-4, 0, -180.005, 0, -1e-4, -17), "EPSG:4326")
    zone = GeoBox.from_bbox(tuple(east.to_crs("EPSG:32760").extent.boundingbox), "EPSG:32760", shape=(100, 100))
    beside = GeoBox((100, 100), Affine(1e-4, 0, -179.995, 0, -1e-4, -17), "EPSG:4326")
    assert ground_clusters([east, west]) == [[0, 1]]
    assert ground_clusters([west, zone]) == [[0, 1]]
    assert ground_clusters([east, beside]) == [[0], [1]]
