"""What a rectangle holds, and what tiles reach around blocks, against painting pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minedetect.grid import Window
from minedetect.rectangles import Ground, boxes_of, common, grown, held, reached, window_of, without_tiles


def random_mask(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([0, 1, 255], np.uint8), shape, p=[0.6, 0.3, 0.1])


shapes = st.tuples(st.integers(20, 60), st.integers(20, 60))


def windows(shape: tuple[int, int]) -> st.SearchStrategy[Window]:
    height, width = shape
    corner = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    return corner.flatmap(
        lambda c: st.builds(Window, *map(st.just, c), st.integers(1, height - c[0]), st.integers(1, width - c[1]))
    )


@given(st.data(), shapes, st.integers(0, 99))
def test_a_box_holds_what_is_painted_in_it(data: st.DataObject, shape: tuple[int, int], seed: int) -> None:
    mask = random_mask(shape, seed)
    ground = Ground.of(mask)
    first, second = data.draw(windows(shape)), data.draw(windows(shape))
    assert held(ground.mine, boxes_of([first])) == (mask[first.slices] == 1).sum()
    assert held(ground.known, boxes_of([second])) == (mask[second.slices] != 255).sum()
    both = window_of(common(boxes_of([first]), boxes_of([second]))[0])
    assert both == (first.intersection(second) or Window(0, 0, 0, 0))


@given(st.data(), shapes, st.integers(0, 99), st.integers(0, 12), st.integers(4, 20), st.integers(1, 2))
def test_tiles_reach_what_any_clear_tile_covers(
    data: st.DataObject, shape: tuple[int, int], seed: int, gap_px: int, tile_px: int, count: int
) -> None:
    mask = random_mask(shape, seed)
    ground = Ground.of(mask)
    blocks = [data.draw(windows(shape)) for _ in range(count)]
    blocked = np.zeros(shape, bool)
    for block in blocks:
        near = Window(max(0, block.row - gap_px), max(0, block.col - gap_px), 0, 0)
        blocked[near.row : block.row_end + gap_px, near.col : block.col_end + gap_px] = True
    covered = np.zeros(shape, bool)
    for row in range(shape[0] - tile_px + 1):
        for col in range(shape[1] - tile_px + 1):
            tile = slice(row, row + tile_px), slice(col, col + tile_px)
            if not blocked[tile].any():
                covered[tile] = True
    mine, known = reached(ground, [grown(boxes_of([b]), gap_px) for b in blocks], tile_px)
    assert mine == (covered & (mask == 1)).sum()
    assert known == (covered & (mask != 255)).sum()
    if count == 1:
        alone = window_of(without_tiles(boxes_of(blocks), shape, gap_px, tile_px)[0])
        unreached = np.zeros(shape, bool)
        unreached[alone.slices] = True
        assert (unreached == ~covered).all()
