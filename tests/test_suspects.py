"""Suspected missing labels: what is told, what is not, and the files about it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from odc.geo.geobox import GeoBox
from shapely.geometry import Point, shape

from minedetect.config import SuspectSettings
from minedetect.errors import GridMismatch
from minedetect.grid import Window
from minedetect.measure import hectares
from minedetect.raster import IGNORE
from minedetect.runs import SUSPECTS, SUSPECTS_PICTURE, Run
from minedetect.suspects import BORDER_PX, Suspect, find_suspects, sentence, write_suspects

SHAPE = (160, 120)
GRID = GeoBox.from_bbox((500_000, 8_600_000, 501_200, 8_601_600), crs="EPSG:32735", shape=SHAPE)
LABELLED = (slice(100, 140), slice(60, 100))
MISSED = (slice(10, 50), slice(20, 60))

Classes = npt.NDArray[np.uint8]


def scene() -> tuple[Classes, Classes, npt.NDArray[np.float32]]:
    """Two mines found, one of them labelled: classes, labels, probability."""
    classes, labels = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    classes[LABELLED] = labels[LABELLED] = 1
    classes[MISSED] = 1
    return classes, labels, np.where(classes == 1, np.float32(0.97), np.float32(0.02))


def suspects(
    classes: Classes, labels: Classes, probability: npt.NDArray[np.float32], **settings: Any
) -> tuple[Suspect, ...]:
    return find_suspects(classes, labels, GRID, lambda band: probability[band.rows], SuspectSettings(**settings))


def test_a_mine_that_nobody_labelled_is_told_with_its_true_area_and_a_point_inside() -> None:
    classes, labels, probability = scene()
    (found,) = suspects(classes, labels, probability)
    assert found.hectares == pytest.approx(hectares(classes, GRID, 1) / 2, rel=1e-3)
    assert found.mean_probability == pytest.approx(0.97)
    assert found.window == Window(10, 20, 40, 40)
    told = found.to_json()
    assert set(told) == {"id", "hectares", "mean_probability", "lon", "lat"}
    assert found.geometry.contains(Point(told["lon"], told["lat"]))


def test_with_every_mine_labelled_there_is_nothing_to_tell() -> None:
    classes, _, probability = scene()
    assert suspects(classes, classes, probability) == ()
    assert suspects(classes * 0, classes, probability) == ()


@pytest.mark.parametrize(("gap_px", "told"), [(0, 0), (BORDER_PX - 1, 0), (BORDER_PX, 1), (BORDER_PX + 5, 1)])
def test_what_begins_near_an_outline_belongs_to_it(gap_px: int, told: int) -> None:
    classes, labels, probability = scene()
    labels[MISSED[0], 60 + gap_px : 75] = 1
    assert len(suspects(classes, labels, probability)) == told


def test_a_patch_that_reaches_a_mine_over_unknown_ground_belongs_to_that_mine() -> None:
    classes, labels, probability = scene()
    classes[50:100, 55:65] = 1
    labels[45:100, 50:70] = IGNORE
    assert suspects(classes, labels, probability) == ()


def test_unknown_labels_count_neither_for_area_nor_for_probability() -> None:
    classes, labels, probability = scene()
    labels[10:30] = IGNORE
    probability[10:30] = 0.6
    (found,) = suspects(classes, labels, probability)
    assert found.hectares == pytest.approx(8.0, rel=1e-2)
    assert found.mean_probability == pytest.approx(0.97)
    labels[MISSED] = IGNORE
    assert suspects(classes, labels, probability) == ()


def test_only_sure_and_large_places_are_told() -> None:
    classes, labels, probability = scene()
    assert len(suspects(classes, labels, probability, suspect_min_ha=15.9)) == 1
    assert suspects(classes, labels, probability, suspect_min_ha=16.1) == ()
    assert len(suspects(classes, labels, probability, suspect_probability=0.96)) == 1
    assert suspects(classes, labels, probability, suspect_probability=0.98) == ()


def test_unobserved_probability_is_left_out_of_the_mean() -> None:
    classes, labels, probability = scene()
    probability[20:25, 20:60] = np.nan
    (found,) = suspects(classes, labels, probability)
    assert found.mean_probability == pytest.approx(0.97)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6), st.integers(2, 12)), max_size=12), st.data())
def test_places_are_sorted_disjoint_from_labels_and_add_up(
    squares: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    classes, labels, probability = scene()
    for row, col, side in squares:
        classes[16 * row : 16 * row + side, 16 * col : 16 * col + side] = 1
    labels[:, : data.draw(st.integers(0, 60))] = IGNORE
    found = suspects(classes, labels, probability, suspect_probability=0.5, suspect_min_ha=0.2)
    areas = [s.hectares for s in found]
    assert areas == sorted(areas, reverse=True)
    assert [s.id for s in found] == list(range(1, len(found) + 1))
    chosen = np.zeros(SHAPE, np.uint8)
    for one in found:
        assert (labels[one.window.slices][one.pixels] == 0).all()
        assert (classes[one.window.slices][one.pixels] == 1).all()
        chosen[one.window.slices] += one.pixels
    assert chosen.max(initial=0) <= 1
    assert sum(areas) == pytest.approx(hectares(chosen, GRID, 1))
    assert min(areas, default=1.0) >= 0.2


def test_the_files_hold_every_place_and_the_picture_outlines_it(tmp_path: Path) -> None:
    classes, labels, probability = scene()
    classes[60:75, 5:25] = probability[60:75, 5:25] = 1
    found = suspects(classes, labels, probability)
    run = Run(tmp_path)

    def colours(window: Window) -> npt.NDArray[np.float32]:
        return np.full((window.height, window.width, 3), 0.3, np.float32)

    write_suspects(run, found, GRID, colours)
    features = json.loads(run.path(SUSPECTS).read_text())["features"]
    assert [f["properties"]["id"] for f in features] == [1, 2]
    assert set(features[0]["properties"]) == {"id", "hectares", "mean_probability"}
    for feature, one in zip(features, found, strict=True):
        told = one.to_json()
        assert shape(feature["geometry"]).contains(Point(told["lon"], told["lat"]))
    picture = imread(run.path(SUSPECTS_PICTURE))[..., :3]
    yellow = np.abs(picture - np.array([0xF2, 0xC1, 0x4E]) / 255).max(axis=-1) < 0.05
    left, right = yellow[:, : yellow.shape[1] // 2], yellow[:, yellow.shape[1] // 2 :]
    assert min(left.sum(), right.sum()) > 200, "each place is outlined"


def test_a_place_at_the_scene_s_corner_is_drawn(tmp_path: Path) -> None:
    classes, labels, probability = scene()
    classes[MISSED] = 0
    classes[:20, :15] = probability[:20, :15] = 1
    found = suspects(classes, labels, probability)
    assert len(found) == 1
    write_suspects(Run(tmp_path), found, GRID, lambda w: np.full((w.height, w.width, 3), 0.3, np.float32))
    assert imread(tmp_path / SUSPECTS_PICTURE).shape[0] > 300


def test_nothing_found_writes_nothing_and_says_nothing(tmp_path: Path) -> None:
    write_suspects(Run(tmp_path), (), GRID, lambda w: np.zeros((w.height, w.width, 3), np.float32))
    assert not list(tmp_path.iterdir())
    assert sentence(()) == ()


def test_the_sentence_counts_places_and_hectares() -> None:
    classes, labels, probability = scene()
    (one,) = sentence(suspects(classes, labels, probability))
    assert one.startswith("The model finds 1 place, 16.0 ha, that looks like a mine outside all outlines")
    classes[60:75, 5:25] = probability[60:75, 5:25] = 1
    (two,) = sentence(suspects(classes, labels, probability))
    assert two.startswith("The model finds 2 places, 19.0 ha, that look like mines")


def test_rasters_of_another_shape_are_refused() -> None:
    classes, labels, probability = scene()
    with pytest.raises(GridMismatch):
        suspects(classes[:-1], labels, probability)
