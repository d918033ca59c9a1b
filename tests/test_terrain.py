"""Ground is drawn to measure: noise of unit spread, regions of the area asked for, works that leave mines alone."""

import numpy as np
import pytest
import shapely
from scipy import ndimage

from minedetect import terrain
from minedetect.terrain import BARE, CROP, FRESH, RIVER, ROAD, STUBBLE, TOWN, burn, draw_works, region, smooth

SHAPE = (256, 300)


@pytest.mark.parametrize("scale", [2, 5, 14.5])
def test_smooth_has_mean_0_and_variance_1(scale: float) -> None:
    field = smooth(np.random.default_rng(0), (600, 500), scale)
    assert field.shape == (600, 500)
    assert field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=0.1)
    assert field.std() == pytest.approx(1, abs=0.1)


def test_smooth_varies_over_its_scale() -> None:
    rng = np.random.default_rng(1)
    steps = [np.abs(np.diff(smooth(rng, SHAPE, scale))).mean() for scale in (2, 5, 20)]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


@pytest.mark.parametrize("area", [1, 50, 1200])
def test_region_is_whole_allowed_and_of_the_area(area: int) -> None:
    allowed = np.ones((80, 90), bool)
    allowed[:, :20] = False
    found = region(smooth(np.random.default_rng(2), (80, 90), 12), allowed, area)
    assert found.sum() == area
    assert not (found & ~allowed).any()
    assert ndimage.label(found, structure=np.ones((3, 3)))[1] == 1


def test_region_takes_all_where_room_is_short() -> None:
    allowed = np.zeros((40, 40), bool)
    allowed[5:10, 5:10] = True
    assert np.array_equal(region(np.ones((40, 40), np.float32), allowed, 400), allowed)


def test_river_crosses_wild_ground_and_both_dates_are_alike() -> None:
    ground, river = terrain.wild_ground(np.random.default_rng(3), SHAPE)
    assert np.array_equal(*ground.covers)
    assert ground.covers[0] is not ground.covers[1]
    wet = ground.covers[0] == RIVER
    assert wet.any(axis=0).mean() > 0.95
    assert not (wet & ~burn(river.buffer(8), SHAPE)).any()


def test_works_leave_mines_and_river_alone() -> None:
    rng = np.random.default_rng(4)
    ground, river = terrain.wild_ground(rng, SHAPE)
    mines = burn(shapely.Point(60, 60).buffer(15) | shapely.Point(230, 200).buffer(9), SHAPE)
    for cover in ground.covers:
        cover[mines] = FRESH
    draw_works(rng, ground, [(60.0, 60.0), (200.0, 230.0)], river)
    before, after = ground.covers
    for cover in ground.covers:
        assert np.array_equal(cover >= FRESH, mines)
        assert {TOWN, ROAD, BARE, CROP, STUBBLE} <= set(np.unique(cover))
    fields = [np.isin(cover, (BARE, CROP, STUBBLE)) for cover in ground.covers]
    assert not (fields[0] & burn(river.buffer(10), SHAPE)).any()
    assert not (fields[0] & ndimage.binary_dilation(mines, iterations=7)).any()
    assert not (fields[1] & ~fields[0]).any()
    new_road = (after == ROAD) & (before != ROAD)
    assert new_road.any()  # to the last mine
    assert not ((before == ROAD) & (after != ROAD)).any()
