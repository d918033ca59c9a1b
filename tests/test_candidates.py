"""What makes a block possible, and how its mines are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.candidates import CUT_COST, LONELY_COST, Pool, Wanted
from minedetect.grid import Window
from minedetect.rectangles import Ground, boxes_of


@given(st.integers(0, 999))
def test_cut_mines_are_counted_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((80, 90), np.uint8)
    mines = [Window(20 * (i // 4) + 2, 22 * (i % 4) + 2, *(int(n) for n in rng.integers(1, 18, 2))) for i in range(16)]
    for mine in mines:
        mask[mine.slices] = 1
    corners = rng.integers(0, 40, (20, 2))
    blocks = [Window(int(r), int(c), *(int(n) for n in rng.integers(1, 40, 2))) for r, c in corners]
    pool = Pool.of(Ground.of(mask), boxes_of(blocks))
    for block, cost in zip(blocks, pool.shape_cost, strict=True):
        shared = [block.intersection(mine) for mine in mines]
        cut = sum(part is not None and part != mine for part, mine in zip(shared, mines, strict=True))
        most = [
            part and 2 * part.height > m.height and 2 * part.width > m.width
            for part, m in zip(shared, mines, strict=True)
        ]
        assert cost == pytest.approx(CUT_COST * cut + LONELY_COST * (sum(map(bool, most)) < 2))


def test_a_block_needs_mines_and_ground_that_is_none_and_leaves_some_of_both() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[:60, :60] = 1
    mask[150:, 150:] = 1
    mask[:60, 140:] = 255
    blocks = {
        "all mine": Window(0, 0, 40, 40),
        "no mine": Window(80, 0, 40, 40),
        "unknown": Window(0, 150, 40, 40),
        "good": Window(30, 30, 60, 60),
        "leaves no tile": Window(20, 20, 160, 160),
    }
    cost, _ = Pool.of(Ground.of(mask), boxes_of(list(blocks.values()))).judge(Wanted(0.2, 0, 64))
    assert [name for name, c in zip(blocks, cost, strict=True) if c < np.inf] == ["good"]
