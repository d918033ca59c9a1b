"""Mines cover the share asked for, stay in the room given and change as planned, at any size of district."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from minedetect.mines import GONE_PART, GROWN_PART, NEW_PART, draw_mines
from minedetect.terrain import FRESH, Ground, Place, burn, wild_ground

SHAPES = [(192, 192), (256, 300), (640, 512)]


def mined(shape: tuple[int, int]) -> tuple[Ground, list[Place], list[NDArray[np.bool_]], NDArray[np.bool_]]:
    """Ground with mines, their centres, where they lie on both dates, and the river's banks (H, W) bool."""
    rng = np.random.default_rng(5)
    ground, river = wild_ground(rng, shape)
    places = draw_mines(rng, ground, river)
    return ground, places, [cover >= FRESH for cover in ground.covers], burn(river.buffer(12), shape)


@pytest.mark.parametrize(("shape", "count"), [(SHAPES[0], 3), (SHAPES[1], 3), (SHAPES[2], 5)])
def test_mines_change_by_the_parts_planned(shape: tuple[int, int], count: int) -> None:
    _, places, (before, after), _ = mined(shape)
    assert len(places) == count
    assert before.mean() == pytest.approx(0.055, abs=0.01)
    assert (after & ~before).sum() / before.sum() == pytest.approx(NEW_PART + GROWN_PART, abs=0.01)
    assert (before & ~after).sum() / before.sum() == pytest.approx(GONE_PART, abs=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_mines_keep_apart_and_off_edges_and_river(shape: tuple[int, int]) -> None:
    _, places, (before, after), banks = mined(shape)
    ever = before | after
    assert ndimage.label(ever, structure=np.ones((3, 3)))[1] == len(places)
    assert not (ever & banks).any()
    assert not ever[:8].any()
    assert not ever[-8:].any()
    assert not ever[:, :8].any()
    assert not ever[:, -8:].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_last_mine_is_new(shape: tuple[int, int]) -> None:
    _, _, (before, after), _ = mined(shape)
    labels, count = ndimage.label(before | after, structure=np.ones((3, 3)))
    had, has = (np.bincount(labels.ravel(), date.ravel(), count + 1)[1:] for date in (before, after))
    assert np.sum(had == 0) == 1
    assert (has > 0).all()


def test_every_mine_pixel_has_an_object() -> None:
    ground, _, dates, _ = mined((256, 300))
    assert ((ground.objects > 0) == (dates[0] | dates[1])).all()
    assert ground.objects.max() <= ground.used
