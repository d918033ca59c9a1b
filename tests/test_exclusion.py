from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from conftest import WriteGeojson, WriteTiff
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import box, mapping

from minedetect import prepare
from minedetect.errors import SettingError
from minedetect.exclusion import drawn_mask, own_numbers, sentence, without
from minedetect.labels import Labels, Outline, mask_on, outline_zones
from minedetect.presets import settings_from
from minedetect.raster import IGNORE, MINE
from minedetect.scenes import SceneFiles, admit_scenes, scene_to_check

GRID = GeoBox((40, 40), Affine(1e-4, 0, 27.0, 0, -1e-4, -12.0), "EPSG:4326")
PLACES = [(2, 2, 12, 12), (8, 8, 20, 20), (25, 5, 35, 15), (26, 26, 38, 38)]
"""Left, top, right, bottom in pixels; the first two overlap."""


def shape(place: Sequence[int]) -> object:
    left, top, right, bottom = place
    return box(27 + 1e-4 * left, -12 - 1e-4 * bottom, 27 + 1e-4 * right, -12 - 1e-4 * top)


def labels(count: int = 4) -> Labels:
    outlines = [Outline(n, "", "", "unknown", "", None, shape(p), 0.0) for n, p in enumerate(PLACES[:count], start=1)]
    return Labels(Path("mines.geojson"), tuple(outlines))


@given(st.sets(st.integers(1, 4), max_size=3))
def test_ground_left_out_is_unknown_and_all_else_is_as_before(left_out: set[int]) -> None:
    every, some = labels(), without(labels(), left_out)
    before, after = mask_on(every, GRID), drawn_mask(some, GRID)
    kept = mask_on(some, GRID) == MINE
    assert np.array_equal(after == MINE, kept)
    assert np.array_equal(after == IGNORE, (before == MINE) & ~kept)
    assert np.array_equal(after == 0, before == 0)


def test_kept_outlines_keep_their_numbers() -> None:
    some = without(labels(), [1, 3])
    assert [o.index for o in some.outlines] == [2, 4]
    assert [o.index for o in some.left_out] == [1, 3]
    assert set(np.unique(own_numbers(some)[outline_zones(some, GRID)])) == {0, 2, 4}


@pytest.mark.parametrize(("numbers", "told"), [([5], "no outline 5"), ([1, 2, 3, 4], "at least one")])
def test_what_cannot_be_left_out_is_refused(numbers: list[int], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        without(labels(), numbers)


def test_a_mask_raster_has_no_outlines_to_leave_out() -> None:
    with pytest.raises(SettingError, match="mask raster"):
        without(Labels(Path("mask.tif"), ()), [1])


def test_nothing_left_out_says_nothing() -> None:
    assert without(labels(), ()) == labels()
    assert sentence(labels()) == ""
    assert "outline 3 (" in sentence(without(labels(), [3]))


def test_check_mask_and_the_split_honour_it(write_tiff: WriteTiff, write_geojson: WriteGeojson, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).uniform(0.1, 0.4, (3, 40, 40)).astype(np.float32)
    files = SceneFiles(
        write_tiff(pixels, GRID, bands=("B2", "B3", "B4")), write_geojson([mapping(shape(p)) for p in PLACES]), "scene"
    )
    settings = settings_from({"exclude_mine": [3], "leave_mine_out": 4}, gpu=False)
    scene = scene_to_check(files, settings)
    assert [p["index"] for p in scene.quality.figures["polygons"]] == [1, 2, 4]
    assert [p["index"] for p in scene.quality.figures["left_out"]] == [3]
    assert any(c.name == "left_out" and "outline 3" in c.message for c in scene.quality.checks)
    json.dumps(scene.quality.to_json())
    zones = prepare.mine_numbers([scene], settings)
    assert zones is not None
    assert set(np.unique(zones[0])) == {0, 1, 2, 4}
    written = prepare.write_mask(files, tmp_path / "mask.tif", settings)
    assert written["mine_px"] == int((scene.mask == MINE).sum()) == 100 + 144 - 16 + 144


def test_of_several_scenes_nobody_could_say_which_outline_is_meant(tmp_path: Path) -> None:
    files = [SceneFiles(tmp_path / "a.tif", tmp_path / "a.geojson", name) for name in ("a", "b")]
    with pytest.raises(SettingError, match="of several"):
        admit_scenes(files, settings_from({"exclude_mine": [1]}, gpu=False))
