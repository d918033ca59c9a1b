import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.allocation import allocate, points_for_error
from minedetect.errors import SettingError

PIXELS = st.lists(st.integers(0, 10**7), min_size=4, max_size=4).filter(any)


@given(pixels=PIXELS, n=st.integers(8, 5000), minimum=st.integers(2, 200), side=st.floats(0.001, 10))
def test_all_points_are_given_and_no_stratum_gives_more_than_it_has(
    pixels: list[int], n: int, minimum: int, side: float
) -> None:
    have = np.array(pixels)
    points = allocate(n, minimum, have * side, have)
    assert points.sum() == min(n, have.sum())
    assert (points <= have).all()
    assert (points >= np.minimum(have, min(minimum, n // 4))).all()


@given(pixels=PIXELS, n=st.integers(8, 5000), minimum=st.integers(2, 200))
def test_a_larger_stratum_never_gets_fewer_points(pixels: list[int], n: int, minimum: int) -> None:
    have = np.array(sorted(pixels))
    assert (np.diff(allocate(n, minimum, have * 0.01, have)) >= -1).all()  # a point may be lost in rounding


def test_rare_strata_get_the_minimum_and_the_rest_goes_by_area() -> None:
    hectares = np.array([6000.0, 3000.0, 20.0, 10.0])
    points = allocate(1000, 50, hectares, (hectares * 100).astype(np.int64))
    assert points.tolist() == [600, 300, 50, 50]


def test_strata_smaller_than_their_share_give_all_and_the_others_more() -> None:
    hectares = np.array([700.0, 300.0, 0.1, 0.05])
    assert allocate(300, 50, hectares, np.array([70000, 30000, 10, 5])).tolist() == [200, 85, 10, 5]


def test_too_few_points_for_all_minima_are_shared_alike() -> None:
    assert allocate(40, 50, np.array([1e4, 100.0, 1.0, 1.0]), np.full(4, 1000)).tolist() == [10, 10, 10, 10]


def test_too_few_points_for_a_variance_are_refused() -> None:
    with pytest.raises(SettingError, match="--n is 7, too few for 4 strata"):
        allocate(7, 50, np.ones(4), np.full(4, 100))


def test_the_size_of_the_published_example() -> None:
    # Olofsson et al. 2014, section 5.1.1: 641 points for a standard error of 0.01.
    hectares = np.array([0.020, 0.015, 0.320, 0.645]) * 900_000
    assert points_for_error(0.01, hectares, np.full(4, 2_500_000), (0.70, 0.60, 0.90, 0.95)) == pytest.approx(
        641, abs=1
    )


def test_no_more_points_are_asked_for_than_there_are_pixels() -> None:
    assert points_for_error(0.0001, np.array([60.0, 30.0, 6.0, 4.0]), np.array([60, 30, 6, 4])) <= 100
