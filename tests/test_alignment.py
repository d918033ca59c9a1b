"""A shift that was put in is found to a small part of a pixel; where there is none to find, none is claimed."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from minedetect.alignment import BlockShift, Shift, block_shift, clearest_shift, shift_of, shift_windows
from minedetect.grid import whole

Float = npt.NDArray[np.float32]

FINER = 4
"""The ground is made four times finer than the pixels, so that shifts by quarters of a pixel are exact."""
MARGIN_PX = 8


@functools.cache
def ground(side_px: int, seed: int) -> npt.NDArray[np.float64]:
    noise = np.random.default_rng(seed).standard_normal([(side_px + 2 * MARGIN_PX) * FINER] * 2)
    fields = [scipy.ndimage.gaussian_filter(noise, FINER * s, mode="wrap") for s in (1.0, 4.0)]
    return np.sum([f / f.std() for f in fields], axis=0)


def seen(fine: npt.NDArray[np.float64], side_px: int, rows_px: float, cols_px: float) -> Float:
    """Pixels (H, W), each the mean of the ground in it, of a sensor under which the ground moved."""
    top, left = (round((MARGIN_PX - move) * FINER) for move in (rows_px, cols_px))
    part = fine[top : top + side_px * FINER, left : left + side_px * FINER]
    return part.reshape(side_px, FINER, side_px, FINER).mean(axis=(1, 3)).astype(np.float32)


def pair(side_px: int, rows_px: float, cols_px: float, changed: float = 0.0, seed: int = 0) -> tuple[Float, Float]:
    """Two dates with noise, another gain and bias, and a share of the ground changed."""
    rng = np.random.default_rng([seed, 1])
    before = ground(side_px, seed)
    after = before.copy()
    rows = slice(0, round(changed * len(before)))
    after[rows] = 2 + ground(side_px, seed + 1000)[rows]
    first, second = seen(before, side_px, 0, 0), 1.7 * seen(after, side_px, rows_px, cols_px) - 3
    return tuple(  # type: ignore[return-value]
        (image + 0.2 * image.std() * rng.standard_normal(image.shape)).astype(np.float32) for image in (first, second)
    )


def found(first: Float, second: Float) -> Shift:
    return shift_of([block_shift(first[w.slices], second[w.slices]) for w in shift_windows(first.shape)])  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows_px", "cols_px"), [(0, 0), (0.5, -0.25), (-1.5, 2.25), (3.75, 0)])
def test_a_shift_is_found_to_a_twentieth_of_a_pixel(rows_px: float, cols_px: float) -> None:
    shift = found(*pair(256, rows_px, cols_px, changed=0.3))
    assert shift.certain
    assert shift.rows_px == pytest.approx(rows_px, abs=0.05)
    assert shift.cols_px == pytest.approx(cols_px, abs=0.05)
    assert shift.spread_px < 0.3


def test_what_lies_further_down_and_right_on_the_second_date_is_a_positive_shift() -> None:
    first = np.zeros((64, 64), np.float32)
    first[20:24, 30:33] = 1
    shift = block_shift(first, np.roll(first, (2, 5), axis=(0, 1)))
    assert shift is not None
    assert (shift.rows_px, shift.cols_px) == pytest.approx((2, 5), abs=0.05)


@given(st.integers(-3, 3), st.integers(-3, 3), st.floats(0.1, 10), st.floats(-5, 5))
def test_gain_and_bias_do_not_matter_and_swapping_the_dates_turns_the_shift_round(
    rows: int, cols: int, gain: float, bias: float
) -> None:
    first, second = pair(64, rows / 4, cols / 4)
    there, brighter = block_shift(first, second), block_shift(first, np.float32(gain) * second + np.float32(bias))
    back = block_shift(second, first)
    assert there is not None
    assert brighter is not None
    assert back is not None
    assert (brighter.rows_px, brighter.cols_px) == pytest.approx((there.rows_px, there.cols_px), abs=0.01)
    assert (back.rows_px, back.cols_px) == pytest.approx((-there.rows_px, -there.cols_px), abs=0.02)


def test_unobserved_ground_does_not_hold_the_shift_back() -> None:
    first, second = pair(256, 1.25, -0.75)
    first[:, :50] = np.nan
    first[150:200, 100:190], second[150:200, 100:190] = np.nan, np.nan
    second[:30] = np.nan
    shift = found(first, second)
    assert shift.certain
    assert (shift.rows_px, shift.cols_px) == pytest.approx((1.25, -0.75), abs=0.05)


def test_blocks_with_too_little_common_ground_are_not_tried() -> None:
    first, second = pair(64, 0, 0)
    first[:20], second[30:] = np.nan, np.nan
    assert block_shift(first, second) is None
    assert block_shift(np.full_like(first, np.nan), second) is None
    assert block_shift(first[:20, :20], second[:20, :20]) is None


@pytest.mark.parametrize("value", [0.0, 0.3, 1e4])
def test_a_constant_image_has_no_shift(value: float) -> None:
    constant = np.full((64, 64), value, np.float32)
    assert block_shift(constant, constant) is None
    assert block_shift(constant, pair(64, 0, 0)[0]) is None


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_certain_about_images_that_have_nothing_in_common(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((2, 256, 256)).astype(np.float32)
    assert not found(noise[0], noise[1]).certain
    assert not found(pair(256, 0, 0, seed=seed)[0], pair(256, 0, 0, seed=seed + 50)[0]).certain


def blocks(*places: tuple[float, float], peak: float = 30.0) -> list[BlockShift | None]:
    return [BlockShift(rows, cols, peak) for rows, cols in places]


def test_a_few_blocks_gone_astray_do_not_move_the_shift() -> None:
    good = blocks(*[(1.0, -2.0)] * 9)
    shift = shift_of([*good, *blocks((9, 9), (-12, 3), (0.0, 7)), None])
    assert (shift.rows_px, shift.cols_px) == (1.0, -2.0)
    assert (shift.blocks, shift.tried, shift.certain) == (9, 12, True)


def test_too_few_or_divided_or_faint_blocks_are_not_certain() -> None:
    assert not shift_of([]).certain
    assert not shift_of([None]).certain
    assert not shift_of(blocks((1, 1), (1, 1), (1, 1))).certain
    assert not shift_of(blocks(*[(1, 1)] * 5, *[(4.0 * i, 9) for i in range(8)])).certain
    assert not shift_of(blocks(*[(1, 1)] * 9, peak=5.0)).certain


def test_length_and_words() -> None:
    shift = Shift(-3.0, 4.0, 0.1, 9, 10, certain=True)
    assert shift.length_px == 5
    assert shift.length_m(9.8) == pytest.approx(49)
    words = shift.sentence(9.8)
    assert all(part in words for part in ("5.00 px (49.0 m)", "3.00 px up", "4.00 px right", "9 of 10 blocks"))
    assert shift.to_json(9.8)["length_m"] == pytest.approx(49)
    assert "0 of 0 blocks" in shift_of([]).sentence(9.8)


def test_the_clearest_band_speaks_for_a_block() -> None:
    first, second = pair(64, 0.5, 0)
    noise = np.random.default_rng(3).standard_normal((2, 64, 64)).astype(np.float32)
    shift = clearest_shift(np.stack([noise[0], first]), np.stack([noise[1], second]))
    assert shift == block_shift(first, second)
    assert clearest_shift(np.zeros((1, 64, 64), np.float32), np.zeros((1, 64, 64), np.float32)) is None


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_windows_for_the_shift_are_few_and_inside_the_scene(rows: int, cols: int) -> None:
    windows = shift_windows((rows, cols))
    assert 1 <= len(windows) <= 64
    assert len(set(windows)) == len(windows)
    assert all(w.intersection(whole((rows, cols))) == w for w in windows)
    assert min(w.row for w in windows) == min(w.col for w in windows) == 0
