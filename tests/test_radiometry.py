"""What did not change is found among what did, and the gains and biases put in are read off it."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minedetect.radiometry import Drift, Matching, clipped, compare_radiometry, no_change

Float = npt.NDArray[np.float32]
NAMES = ("B2", "B3", "B4", "B8", "B11")
COUNT = 20_000


def dates(bands: int, noise: float = 0.05, changed: float = 0.3, seed: int = 0) -> tuple[Float, Float]:
    """Two dates float32 (C, N), correlated bands around 0.2; noise as a share of a band's spread."""
    rng = np.random.default_rng([seed, bands])
    ground = 0.7 * rng.standard_normal((1, COUNT)) + 0.4 * rng.standard_normal((bands, COUNT))
    first = 0.2 + 0.05 * ground
    second = first.copy()
    other = rng.random(COUNT) < changed
    second[:, other] = 0.35 + 0.08 * rng.standard_normal((bands, int(other.sum())))
    return tuple((d + 0.05 * noise * rng.standard_normal(d.shape)).astype(np.float32) for d in (first, second))  # type: ignore[return-value]


def matched(first: Float, second: Float) -> Matching:
    found = compare_radiometry(first, second, NAMES[: len(first)])
    assert found.matching is not None, found.reason
    return found.matching


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_gains_and_biases_are_recovered_with_a_third_of_the_ground_changed(bands: int) -> None:
    first, second = dates(bands)
    gain, bias = np.linspace(0.8, 1.3, bands), np.linspace(-0.03, 0.1, bands)
    matching = matched(first, np.float32(gain)[:, None] * second + np.float32(bias)[:, None])
    assert np.array(matching.gain) * gain == pytest.approx(1, abs=0.015)
    assert np.array(matching.gain) * bias + matching.bias == pytest.approx(0, abs=0.004)
    assert min(matching.correlation) > 0.95


@pytest.mark.parametrize("bands", [1, 5])
def test_changed_pixels_are_not_called_invariant(bands: int) -> None:
    first, second = dates(bands)
    moved = np.abs(second - first).max(axis=0) > 0.03
    probability = no_change(first, second).probability
    assert (probability[moved] > 0.95).mean() < 0.001
    assert ((probability >= 0) & (probability <= 1)).all()


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_probabilities_mean_what_they_say_on_ground_without_change(bands: int) -> None:
    """One in twenty unchanged pixels lies above 0.95, whatever the number of bands."""
    found = no_change(*dates(bands, noise=0.2, changed=0.0))
    assert (found.probability > 0.95).mean() == pytest.approx(0.05, abs=0.01)
    assert (found.probability > 0.5).mean() == pytest.approx(0.5, abs=0.03)
    assert found.rounds <= 50


def test_dates_that_are_equal_but_for_noise_need_no_matching() -> None:
    found = compare_radiometry(*dates(5, changed=0.0), NAMES)
    assert found.matching is not None
    assert found.drift is not None
    assert found.matching.gain == pytest.approx([1] * 5, abs=0.02)
    assert found.matching.bias == pytest.approx([0] * 5, abs=0.004)
    assert found.drift.share == pytest.approx([0] * 5, abs=0.01)


def test_one_date_twice_is_matched_by_the_identity() -> None:
    first, _ = dates(3)
    matching = matched(first, first)
    assert matching.gain == pytest.approx([1] * 3)
    assert matching.bias == pytest.approx([0] * 3, abs=1e-9)
    assert matching.pixels == COUNT


def test_an_offset_of_one_band_is_found_in_that_band() -> None:
    first, second = dates(5)
    second[2] += 0.1
    found = compare_radiometry(first, second, NAMES)
    assert found.drift is not None
    assert found.drift.mean == pytest.approx([0, 0, 0.1, 0, 0], abs=0.002)
    low, high = np.percentile(first[2], [1, 99])
    assert found.drift.share[2] == pytest.approx(0.1 / (high - low), abs=0.01)
    assert "B4 +0.100" in found.drift.sentence
    assert found.drift.offset_sign == 0


@settings(max_examples=8)
@given(st.lists(st.floats(0.2, 5), min_size=3, max_size=3), st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_matched_values_do_not_depend_on_the_unit_of_the_second_date(gain: list[float], bias: list[float]) -> None:
    first, second = (d.astype(np.float64) for d in dates(3, changed=0.1))
    plain = matched(first, second)  # type: ignore[arg-type]
    other = np.array(gain)[:, None] * second + np.array(bias)[:, None]
    bent = matched(first, other)  # type: ignore[arg-type]
    assert bent.pixels == pytest.approx(plain.pixels, abs=2)
    np.testing.assert_allclose(bent.apply(other), plain.apply(second), atol=2e-4)  # type: ignore[arg-type]


def test_matching_keeps_shape_and_unobserved_pixels() -> None:
    matching = Matching((2.0, 0.5), (0.1, 0.0), (1.0, 1.0), 1000)
    pixels = np.ones((2, 3, 4), np.float32)
    pixels[1, 2, 3] = np.nan
    after = matching.apply(pixels)
    assert after.shape == pixels.shape
    assert after.dtype == np.float32
    assert after[0] == pytest.approx(2.1)
    assert np.isnan(after).sum() == np.isnan(after[1, 2, 3]) == 1


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_dates_without_anything_in_common_are_refused(bands: int) -> None:
    noise = np.random.default_rng(bands).standard_normal((2, bands, COUNT)).astype(np.float32)
    found = compare_radiometry(noise[0], noise[1], NAMES[:bands])
    assert found.drift is None
    assert found.matching is None
    assert "hardly resemble" in found.reason


def test_too_few_pixels_are_refused() -> None:
    first, second = dates(3)
    assert "only 400 pixels" in compare_radiometry(first[:, :400], second[:, :400], NAMES[:3]).reason
    assert "look unchanged" in compare_radiometry(first[:, :4000], second[:, :4000], NAMES[:3]).reason
    empty = compare_radiometry(first[:, :0], second[:, :0], NAMES[:3])
    assert (empty.drift, empty.matching) == (None, None)


def test_a_band_that_is_noise_on_one_date_cannot_be_matched_and_is_named() -> None:
    first, second = dates(3)
    second[1] = np.random.default_rng(9).standard_normal(COUNT)
    found = compare_radiometry(first, second, NAMES[:3])
    assert found.matching is None
    assert "B3" in found.reason


def test_a_constant_band_spoils_neither_the_rest_nor_the_numbers() -> None:
    first, second = dates(3)
    second[1] = 0.3
    found = compare_radiometry(first, second, NAMES[:3])
    assert found.matching is None
    assert "B3" in found.reason
    assert found.drift is not None
    assert found.drift.names == ("B2", "B4")
    constant = compare_radiometry(np.full_like(first, 0.3), second, NAMES[:3])
    assert (constant.drift, constant.matching) == (None, None)
    assert "constant" in constant.reason


def test_two_bands_that_are_one_are_no_obstacle() -> None:
    first, second = dates(2)
    first, second = (np.concatenate([d, d[:1]]) for d in (first, second))
    matching = matched(first, np.float32(1.25) * second)
    assert matching.gain == pytest.approx([0.8] * 3, rel=0.02)


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]), st.floats(0, 1), st.booleans())
def test_no_figure_is_ever_nan(seed: int, bands: int, changed: float, coarse: bool) -> None:
    first, second = (d[:, :4_000] for d in dates(bands, changed=changed, seed=seed))
    if coarse:
        first, second = (np.round(d, 1) for d in (first, second))
    found = compare_radiometry(first, second, NAMES[:bands])
    json.dumps(found.to_json(), allow_nan=False)
    assert np.isfinite(no_change(first, second).probability).all()
    assert bool(found.reason) == (found.matching is None)


def test_the_offset_of_newer_products_is_recognised() -> None:
    def sign(*mean: float) -> int:
        return Drift(NAMES[: len(mean)], mean, mean, 1000).offset_sign

    assert sign(0.097, 0.099, 0.085, 0.159, 0.085) == 1
    assert sign(-0.103, -0.101, -0.115, -0.05, -0.115) == -1
    assert sign(-0.003, -0.001, -0.015, 0.06, -0.015) == 0
    assert sign(0.1, 0.1, 0.1, 0.01) == 0


def test_values_at_a_sensors_limit_are_told() -> None:
    samples = np.random.default_rng(0).random((2, 1000)).astype(np.float32)
    assert not clipped(samples).any()
    samples[1, :50] = 1.6
    assert clipped(samples).nonzero()[0].tolist() == list(range(50))
    assert not clipped(np.zeros((2, 10), np.float32)).any()
    assert clipped(np.zeros((2, 0), np.float32)).shape == (0,)
