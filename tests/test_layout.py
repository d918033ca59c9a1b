"""The split in polygons and pictures: nothing counted twice, nothing missing, every part to be seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from odc.geo.geobox import GeoBox
from shapely.geometry import shape

from minedetect.blocks import SceneSplit
from minedetect.config import TileSettings
from minedetect.grid import Window, crop, shape_of, whole
from minedetect.layout import LOOKS, ScenePicture, draw_places, draw_split, split_areas
from minedetect.measure import polygon_hectares, zone_hectares
from minedetect.split import TEST, TRAINING, VALIDATION, Split, make_split

GRIDS = {
    "degrees": GeoBox((200, 240), Affine(1e-4, 0, 28, 0, -1e-4, -12.5), "EPSG:4326"),
    "utm": GeoBox((200, 240), Affine(10, 0, 300_000, 0, -10, 7_500_000), "EPSG:32635"),
    "antimeridian": GeoBox((200, 240), Affine(10, 0, 816_000, 0, -10, 8_120_000), "EPSG:32760"),
}


def mined(rows: int, cols: int) -> np.ndarray:
    mask = np.zeros((rows, cols), np.uint8)
    for row in range(10, rows - 20, 45):
        for col in range(10, cols - 20, 45):
            mask[row : row + 15, col : col + 15] = 1
    return mask


def footprint_ha(grid: GeoBox) -> float:
    return float(zone_hectares(np.ones(shape_of(grid), np.uint8), grid, 2)[1])


@given(st.sampled_from(list(GRIDS)), st.sampled_from([0.0, 0.2]), st.sampled_from([0, 64]))
def test_areas_tile_the_scene(name: str, test_share: float, gap_px: int) -> None:
    grid = GRIDS[name]
    split = make_split([grid], [mined(200, 240)], TileSettings(tile_px=64, test_share=test_share, max_gap_px=gap_px), 0)
    content = json.loads(json.dumps(split_areas([grid], ["kitwe"], split)))
    told = [(f["properties"], shape(f["geometry"])) for f in content["features"]]
    assert all(p["scene"] == "kitwe" for p, _ in told)
    parts = [p["part"] for p, _ in told]
    assert parts.count("training") == parts.count("validation") == 1
    assert parts.count("test") == (test_share > 0)
    assert sum(p["hectares"] for p, _ in told) == pytest.approx(footprint_ha(grid), rel=1e-4)
    for properties, outline in told:
        assert outline.is_valid
        assert polygon_hectares(outline) == pytest.approx(properties["hectares"], rel=1e-3)
        west, south, east, north = outline.bounds
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
    (block,) = split.scenes[0].validation
    told_ha = next(p["hectares"] for p, _ in told if p["part"] == "validation")
    assert told_ha == pytest.approx(footprint_ha(crop(grid, block)), rel=1e-4)


def colours_of(path: Path) -> dict[int, int]:
    """Pixels of a picture near each part's colour."""
    picture = imread(path)[..., :3]
    want = {bit: [int(look.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for bit, look in LOOKS.items()}
    return {bit: int((np.abs(picture - np.array(rgb)).max(axis=-1) < 0.03).sum()) for bit, rgb in want.items()}


@pytest.mark.parametrize("size", [(64, 700), (1000, 200)])
def test_the_picture_shows_each_block(tmp_path: Path, size: tuple[int, int]) -> None:
    mask = mined(*size)
    grid = GeoBox(size, Affine(10, 0, 300_000, 0, -10, 7_500_000), "EPSG:32635")
    step = -(-max(size) // 900)
    rgb = np.full((*mask[::step, ::step].shape, 3), 0.4, np.float32)
    picture = ScenePicture(rgb, mask, grid, r"a name with $\frac{$")
    split = make_split([grid], [mask], TileSettings(tile_px=64, test_share=0.2, max_gap_px=16), 0)
    (part,) = split.scenes
    draw_split(tmp_path / "three.png", picture, part, split.gap_px)
    draw_split(tmp_path / "two.png", picture, SceneSplit(part.training, part.validation), split.gap_px)
    three, two = (colours_of(tmp_path / name) for name in ("three.png", "two.png"))
    assert three[VALIDATION] > 500
    assert two[VALIDATION] > 500
    assert three[TEST] > 500
    assert two[TEST] < 50


def test_a_scene_without_blocks_or_mines_is_drawn_too(tmp_path: Path) -> None:
    picture = ScenePicture(np.full((200, 240, 3), 0.4, np.float32), np.zeros((200, 240), np.uint8), GRIDS["utm"], "x")
    for part in (SceneSplit((), (whole((200, 240)),)), SceneSplit((Window(0, 0, 64, 64),), ()), SceneSplit((), ())):
        draw_split(tmp_path / "split.png", picture, part, 0)
        assert (tmp_path / "split.png").stat().st_size > 1000


@pytest.mark.parametrize("count", [3, 40])
def test_the_map_shows_every_part(tmp_path: Path, count: int) -> None:
    grids = [GeoBox((64, 64), Affine(10, 0, 300_000 + 2000 * i, 0, -10, 7_500_000), "EPSG:32635") for i in range(count)]
    kinds = [
        SceneSplit((whole((64, 64)),), ()),
        SceneSplit((), (whole((64, 64)),)),
        SceneSplit((), (), (whole((64, 64)),)),
    ]
    split = Split(tuple(kinds[i % 3] for i in range(count)), 0, 0.0, 0, 0.3, 3)
    draw_places(tmp_path / "split.png", grids, [f"scene $x_{i}" for i in range(count)], split)
    found = colours_of(tmp_path / "split.png")
    assert min(found[bit] for bit in (TRAINING, VALIDATION, TEST)) > 20
