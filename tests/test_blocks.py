"""One scene split in blocks: apart by the gap told, mines on both sides, every tile whole and inside."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import assume, given
from hypothesis import strategies as st

from minedetect.blocks import split_blocks, stride_px
from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import Window, whole


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Scenes of any size from a tile up with some mines, and some ground unknown."""
    shape = draw(st.integers(96, 420)), draw(st.integers(96, 420))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    mask = np.zeros(shape, np.uint8)
    for _ in range(draw(st.integers(0, 6))):
        row, col = (int(rng.integers(0, n)) for n in shape)
        height, width = rng.integers(1, 90, 2)
        mask[row : row + height, col : col + width] = 1
    mask[rng.random(shape) < 0.01] = 255
    return mask


settings = st.builds(
    TileSettings,
    test_share=st.sampled_from([0.0, 0.0, 0.2]),
    tile_px=st.sampled_from([64, 96]),
    tile_overlap=st.sampled_from([0.0, 0.5, 0.75]),
    validation_share=st.sampled_from([0.1, 0.2, 0.4]),
    max_gap_px=st.sampled_from([0, 20, 64, 256]),
)


@given(masks(), settings)
def test_parts_keep_their_distance_and_all_hold_mines(mask: np.ndarray, chosen: TileSettings) -> None:
    try:
        part, gap = split_blocks(mask, chosen)
    except SplitError:
        assume(False)
    learned = np.zeros(mask.shape, bool)
    for tile in part.training:
        learned[tile.slices] = True
    blocks = [*part.validation, *part.test]
    assert len(blocks) == (2 if chosen.test_share else 1)
    assert 0 <= gap <= chosen.max_gap_px
    assert (mask[learned] == 1).any()
    for block in blocks:
        assert (mask[block.slices] == 1).any()
        low, high = (np.maximum(0, (block.row - gap, block.col - gap)), (block.row_end + gap, block.col_end + gap))
        near = Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))
        assert not learned[near.slices].any()
        assert not any(near.intersection(other) for other in blocks if other != block)


@given(masks(), settings)
def test_every_tile_and_block_lies_whole_inside_the_scene(mask: np.ndarray, chosen: TileSettings) -> None:
    try:
        part, _ = split_blocks(mask, chosen)
    except SplitError:
        assume(False)
    scene = whole(mask.shape)
    assert len(part.validation) == 1
    assert all(scene.intersection(block) == block for block in (*part.validation, *part.test))
    assert len(set(part.training)) == len(part.training) > 0
    for tile in part.training:
        assert scene.intersection(tile) == tile
        assert (tile.height, tile.width) == (chosen.tile_px, chosen.tile_px)


@pytest.mark.parametrize("shape", [(60, 60), (64, 64), (90, 90), (64, 90)])
def test_a_scene_without_room_is_refused_with_advice(shape: tuple[int, int]) -> None:
    with pytest.raises(SplitError, match="--tile-px"):
        split_blocks(np.ones(shape, np.uint8), TileSettings(tile_px=64))


@pytest.mark.parametrize("shape", [(40, 400), (400, 40)])
def test_a_scene_narrower_than_a_tile_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(SplitError, match="--tile-px"):
        split_blocks(np.ones(shape, np.uint8), TileSettings(tile_px=64))


@pytest.mark.parametrize("mine_px", [0, 1])
def test_a_scene_without_two_mine_pixels_is_refused(mine_px: int) -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[150, 150 : 150 + mine_px] = 1
    with pytest.raises(SplitError):
        split_blocks(mask, TileSettings(tile_px=64))


def scattered(shape: tuple[int, int], side_px: int) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    for row in range(30, shape[0] - side_px, 4 * side_px):
        for col in range(30, shape[1] - side_px, 4 * side_px):
            mask[row : row + side_px, col : col + side_px] = 1
    return mask


def held(mask: np.ndarray, block: Window) -> float:
    """Share of the mine area in a block."""
    return float((mask[block.slices] == 1).sum() / (mask == 1).sum())


@pytest.mark.parametrize(("share", "test_share"), [(0.2, 0.1), (0.1, 0.4)])
def test_validation_and_test_hold_about_the_shares_asked_for(share: float, test_share: float) -> None:
    mask = scattered((900, 700), 30)
    asked = TileSettings(tile_px=64, validation_share=share, test_share=test_share)
    part, gap = split_blocks(mask, asked)
    assert held(mask, part.validation[0]) == pytest.approx(share, abs=0.06)
    assert held(mask, part.test[0]) == pytest.approx(test_share, abs=0.06)
    assert gap > 0
    learned = np.zeros(mask.shape, bool)
    for tile in part.training:
        learned[tile.slices] = True
    assert mask[learned].sum() / mask.sum() > 1 - share - test_share - 0.12, "gaps cost little"


def test_blocks_hold_two_mines_where_there_are_enough() -> None:
    mask = np.zeros((600, 600), np.uint8)
    for row, col in ((40, 40), (40, 440), (260, 60), (280, 420), (500, 40), (520, 300), (480, 520)):
        mask[row : row + 40, col : col + 50] = 1
    mask[200:330, 200:300] = 1  # alone worth more than a share
    part, _ = split_blocks(mask, TileSettings(tile_px=64, test_share=0.2))
    for block in (*part.validation, *part.test):
        assert scipy.ndimage.label(mask[block.slices])[1] >= 2


def test_a_small_mine_between_the_regular_edges_is_cut_too() -> None:
    mask = np.zeros((3000, 3000), np.uint8)
    mask[1525:1565, 1525:1565] = 1
    part, _ = split_blocks(mask, TileSettings(tile_px=64))
    assert 0 < held(mask, part.validation[0]) < 1


def test_no_block_is_all_unknown_and_no_tile_either() -> None:
    mask = scattered((600, 900), 30)
    mask[:, 300:] = 255
    part, _ = split_blocks(mask, TileSettings(tile_px=64, test_share=0.1))
    for window in (*part.training, *part.validation, *part.test):
        assert window.col < 300


def mine_of(mask: np.ndarray, number: int) -> np.ndarray:
    return np.asarray(scipy.ndimage.label(mask == 1, np.ones((3, 3)))[0] == number)


@pytest.mark.parametrize("test_share", [0.0, 0.1])
@pytest.mark.parametrize("number", [1, 7, 12])
def test_the_ground_around_one_mine_validates(number: int, test_share: float) -> None:
    mask = scattered((700, 700), 40)
    asked = TileSettings(tile_px=64, leave_mine_out=number, test_share=test_share)
    left_out = mine_of(mask, number)
    part, gap = split_blocks(mask, asked, left_out)
    (block,) = part.validation
    assert left_out[block.slices].sum() == left_out.sum() > 0, "the whole mine"
    assert max(block.height, block.width) <= 40 + 64, "and half a tile around it"
    assert len(part.test) == bool(test_share)
    assert gap > 0
    learned = np.zeros(mask.shape, bool)
    for tile in part.training:
        learned[tile.slices] = True
    assert mask[learned].any()
    assert not learned[left_out].any()


def test_a_mine_that_leaves_nothing_to_learn_from_cannot_be_left_out() -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[20:280, 20:280] = 1
    mask[5:10, 5:10] = 1
    with pytest.raises(SplitError, match="around mine number 2"):
        split_blocks(mask, TileSettings(tile_px=64, leave_mine_out=2), mine_of(mask, 2))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_validation_holds_about_the_share_asked_for(share: float) -> None:
    mask = scattered((900, 700), 30)
    part, _ = split_blocks(mask, TileSettings(tile_px=64, validation_share=share))
    (block,) = part.validation
    assert mask[block.slices].sum() / mask.sum() == pytest.approx(share, abs=0.05)


def test_a_large_scene_keeps_a_wide_gap_and_most_of_its_ground() -> None:
    mask = scattered((2000, 2000), 60)
    part, gap = split_blocks(mask, TileSettings(tile_px=128, max_gap_px=128))
    assert gap >= 64
    learned = np.zeros(mask.shape, bool)
    for tile in part.training:
        learned[tile.slices] = True
    (block,) = part.validation
    assert learned.sum() + block.height * block.width > 0.84 * mask.size


def test_a_single_large_mine_may_be_cut() -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[100:300, 100:300] = 1
    part, _ = split_blocks(mask, TileSettings(tile_px=64))
    inside = mask[part.validation[0].slices].sum()
    assert 0 < inside < mask.sum()


def test_the_gap_asked_for_is_the_widest_kept() -> None:
    mask = scattered((900, 900), 30)
    assert split_blocks(mask, TileSettings(tile_px=64, max_gap_px=0))[1] == 0
    assert split_blocks(mask, TileSettings(tile_px=64, max_gap_px=10))[1] == 10


@pytest.mark.parametrize(("overlap", "stride"), [(0, 256), (0.5, 128), (0.9, 26)])
def test_overlap_is_a_share_of_the_tile(overlap: float, stride: int) -> None:
    assert stride_px(TileSettings(tile_px=256, tile_overlap=overlap)) == stride


def test_the_split_is_the_same_each_time() -> None:
    mask = scattered((500, 600), 30)
    chosen = TileSettings(tile_px=64)
    assert split_blocks(mask, chosen) == split_blocks(mask.copy(), chosen)
    assert all(isinstance(w, Window) for w in split_blocks(mask, chosen)[0].training)
