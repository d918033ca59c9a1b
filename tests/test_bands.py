"""Bands by name, one unit, one scaling fitted on training pixels, one pixel size; nothing guessed in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from conftest import upside_down
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect.band_names import name_bands
from minedetect.bands import (
    BandContract,
    Reading,
    filled,
    reading_of,
    sample_pixels,
    value_drift,
    value_limits,
)
from minedetect.errors import BandMismatch
from minedetect.grid import Window, pixel_size_m, whole
from minedetect.raster import Raster, open_raster, read

GRID = GeoBox((40, 56), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
Make = Callable[..., Path]


def reflectance(bands: int = 3) -> np.ndarray:
    """float32 (C, H, W) with steps of 1e-4, so that integers hold the same."""
    return (np.random.default_rng(0).integers(100, 5000, (bands, 40, 56)) / 10_000).astype(np.float32)


def contract(**fields: object) -> BandContract:
    told = {"names": ("B2", "B4"), "unit": "reflectance", "low": (0.0, 0.1), "high": (0.5, 0.3), "pixel_m": 10.0}
    return BandContract(**{**told, **fields})  # type: ignore[arg-type]


@pytest.fixture
def image(write_tiff: Make) -> Callable[..., Raster]:
    def make(pixels: np.ndarray, *bands: str, grid: GeoBox = GRID, name: str = "image.tif") -> Raster:
        return open_raster(write_tiff(pixels, grid, name, bands=bands))

    return make


def test_bands_are_picked_and_ordered_by_name(image: Callable[..., Raster]) -> None:
    pixels = reflectance(4)
    raster = image(pixels, "B11", "B4", "B3", "B2")
    reading = reading_of(raster, name_bands(raster, ""), ("B2", "B4"))
    assert reading.positions == (3, 1)
    assert reading.read(raster, whole(GRID.shape)) == pytest.approx(pixels[[3, 1]], abs=1e-6)
    assert any("picked by name" in note for note in reading.notes)
    assert not reading_of(raster, name_bands(raster, ""), ("B11", "B4", "B3", "B2")).notes


def test_missing_bands_are_listed(image: Callable[..., Raster]) -> None:
    raster = image(reflectance(2), "B2", "B3")
    with pytest.raises(BandMismatch, match=r"lacks B8, B11: it has B2, B3"):
        reading_of(raster, ("B2", "B3"), ("B2", "B8", "B11"))


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_integer_and_float_reflectance_are_one(image: Callable[..., Raster], dtype: str, offset: int) -> None:
    pixels = reflectance(2)
    integers = image(np.rint(pixels * 10_000 + offset).astype(dtype), "B2", "B4", name="integers.tif")
    floats = image(pixels, "B2", "B4", name="floats.tif")
    read_int = contract().reading(integers, offset=offset)
    read_float = contract().reading(floats)
    assert read_int.read(integers, whole(GRID.shape)) == pytest.approx(
        read_float.read(floats, whole(GRID.shape)), abs=1e-6
    )
    assert any("times 10000" in note for note in read_int.notes)
    assert not read_float.notes


def test_an_offset_that_shows_is_warned_about(image: Callable[..., Raster]) -> None:
    shifted = image(np.rint(reflectance(1) * 10_000 + 1000).astype("uint16"), "B2")
    assert any("--reflectance-offset 1000" in note for note in reading_of(shifted, ("B2",), ("B2",)).notes)
    assert not any("offset" in note for note in reading_of(shifted, ("B2",), ("B2",), 1000).notes)


@pytest.mark.parametrize(
    "offset",
    [
        1000,
        -1000,
    ],
)
def test_an_offset_on_float_reflectance_is_refused(image: Callable[..., Raster], offset: int) -> None:
    with pytest.raises(BandMismatch, match="--reflectance-offset"):
        reading_of(image(reflectance(1), "B2"), ("B2",), ("B2",), offset)


def test_eight_bit_values_are_another_unit(image: Callable[..., Raster]) -> None:
    raster = image(np.full((2, 40, 56), 51, np.uint8), "B2", "B4")
    reading = reading_of(raster, ("B2", "B4"), ("B2", "B4"))
    assert reading.read(raster, whole(GRID.shape)) == pytest.approx(0.2)
    with pytest.raises(BandMismatch, match="uint8 values; the model learned reflectance"):
        contract().reading(raster)


def test_nodata_stays_unread_in_any_unit(write_tiff: Make) -> None:
    pixels = np.rint(reflectance(2) * 10_000).astype(np.uint16)
    pixels[:, 3, 4] = 0
    raster = open_raster(write_tiff(pixels, GRID, bands=("B2", "B4"), nodata=0))
    seen = contract().scale(contract().reading(raster).read(raster, whole(GRID.shape)))
    assert np.argwhere(np.isnan(seen)).tolist() == [[0, 3, 4], [1, 3, 4]]


def samples() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.gamma(2, 0.1, (3, n)).astype(np.float32) for n in (4000, 2500, 700)]


def test_the_order_of_scenes_is_irrelevant() -> None:
    a, b, c = samples()
    assert value_limits([a, b, c]) == value_limits([c, a, b]) == value_limits([b, c, a])


def test_each_band_has_its_own_limits() -> None:
    (first,) = samples()[:1]
    low, high = value_limits([first])
    for band in range(3):
        assert (low[band], high[band]) == pytest.approx(tuple(np.percentile(first[band], [0.1, 99.9])))
    other = first.copy()
    other[1] *= 7
    assert value_limits([other])[0][::2] == low[::2]
    assert value_limits([other])[1][::2] == high[::2]


@pytest.mark.parametrize(
    "value",
    [
        0.0,
        1.0,
        pytest.param(300.0),
    ],
)
def test_a_constant_band_scales_to_finite_values(value: float) -> None:
    low, high = value_limits([np.full((1, 50), value, np.float32)])
    assert high[0] > low[0]
    scaled = contract(names=("B2",), low=low, high=high).scale(np.full((1, 2, 2), value, np.float32))
    assert np.isfinite(scaled).all()


def of(pixels: np.ndarray) -> Callable[[Window], np.ndarray]:
    return lambda window: pixels[:, window.rows, window.cols]


def test_only_valid_pixels_of_the_area_are_sampled() -> None:
    pixels = reflectance(2)
    use = np.zeros((40, 56), bool)
    use[:20] = True
    pixels[:, 20:] = 1e6
    pixels[0, 3, 3] = np.nan
    pixels[1, 4, 4] = np.nan
    taken = sample_pixels(of(pixels), use, seed=0)
    assert taken.shape == (2, 20 * 56 - 2)
    assert np.isfinite(taken).all()
    assert taken.max() <= 0.5
    assert (taken == pixels[:, use & ~np.isnan(pixels).any(axis=0)]).all()


def test_an_empty_area_gives_an_empty_sample() -> None:
    assert sample_pixels(of(reflectance(2)), np.zeros((40, 56), bool), seed=0).size == 0


@given(st.integers(1, 3000), st.integers(0, 5))
def test_a_sample_is_thinned_evenly_to_about_as_many_as_are_enough(most: int, seed: int) -> None:
    numbered = np.arange(1100 * 30, dtype=np.float32).reshape(1, 1100, 30)
    use = np.ones((1100, 30), bool)
    taken = sample_pixels(of(numbered), use, seed, most)[0]
    assert abs(taken.size - most) <= 5 * np.sqrt(most)
    assert np.unique(taken).size == taken.size
    if most >= 300:
        assert np.median(taken) == pytest.approx(numbered.size / 2, rel=0.25)


def test_a_sample_is_thinned_the_same_way_each_time() -> None:
    pixels = np.random.default_rng(0).random((1, 1100, 100), np.float32)
    use = np.ones((1100, 100), bool)
    first, again, other = (sample_pixels(of(pixels), use, seed, 5000) for seed in (0, 0, 1))
    assert (first == again).all()
    assert first.size != other.size or not (first == other).all()


def test_scaling_maps_limits_to_zero_and_one_and_bounds_faults() -> None:
    values = np.array([[[0.0, 0.5, 99, np.nan]], [[0.1, 0.3, -99, 0.2]]], np.float32)
    scaled = contract().scale(values)
    assert scaled.dtype == np.float32
    assert scaled[:, 0, :3] == pytest.approx(np.array([[0, 1, 2], [0, 1, -1]]), abs=1e-6)
    assert np.isnan(scaled[0, 0, 3])
    assert scaled[1, 0, 3] == pytest.approx(0.5)


def test_a_contract_round_trips_through_json() -> None:
    low, high = value_limits(samples())
    told = contract(names=("B2", "B8A", "B11"), low=low, high=high, pixel_m=9.97)
    assert BandContract.from_json(json.loads(json.dumps(told.to_json()))) == told


def of_size(side_m: float) -> GeoBox:
    return GeoBox((40, 56), Affine(side_m, 0, 500_000, 0, -side_m, 8_600_000), "EPSG:32735")


@pytest.mark.parametrize("side_m", [8.1, 10, 11.9])
def test_a_pixel_size_within_a_fifth_is_read_as_it_is(image: Callable[..., Raster], side_m: float) -> None:
    raster = image(reflectance(2), "B2", "B4", grid=of_size(side_m))
    assert contract().at_pixel_size(raster, resample=True) == (raster, ())


@pytest.mark.parametrize("side_m", [7.9, 12.1, 30])
def test_another_pixel_size_is_refused_or_resampled_and_that_is_said(
    image: Callable[..., Raster], side_m: float
) -> None:
    raster = image(reflectance(2), "B2", "B4", grid=of_size(side_m))
    with pytest.raises(BandMismatch, match="--resample"):
        contract().at_pixel_size(raster, resample=False)
    resampled, notes = contract().at_pixel_size(raster, resample=True)
    assert pixel_size_m(resampled.grid) == pytest.approx(10, rel=0.05)
    assert resampled.grid.extent.boundingbox == pytest.approx(raster.grid.extent.boundingbox, abs=1.01 * 10)
    assert len(notes) == 1
    assert "10.0 m" in notes[0]


def test_drift_is_the_share_far_outside_the_training_limits(image: Callable[..., Raster]) -> None:
    pixels = reflectance(2)
    low, high = value_limits([pixels.reshape(2, -1)])
    learned = contract(low=low, high=high)
    pixels[1, :10] += 1
    raster = image(pixels, "B2", "B4")
    drift = value_drift(learned, learned.reading(raster), raster)
    assert drift["B2"] == 0
    assert drift["B4"] == pytest.approx(0.25, abs=0.002)


def test_an_image_without_observation_shows_no_drift(image: Callable[..., Raster]) -> None:
    raster = image(np.full((2, 40, 56), np.nan, np.float32), "B2", "B4")
    assert value_drift(contract(), contract().reading(raster), raster) == {"B2": 0, "B4": 0}


def test_unobserved_pixels_take_the_mean_of_the_observed() -> None:
    scaled = np.array([[[0.0, 1.0], [np.nan, 0.5]], [[2.0, 2.0], [5.0, 2.0]]], np.float32)
    whole = filled(scaled)
    assert whole[:, 1, 0].tolist() == [0.5, 2.0]
    assert np.isnan(scaled[0, 1, 0]), "the input is left alone"
    assert (filled(np.full((2, 3, 3), np.nan, np.float32)) == 0).all()
    assert filled(whole) is whole


def reading(**fields: object) -> Reading:
    told = {"positions": (2, 0), "unit": "reflectance", "scale": 10_000.0, "offset": 0.0}
    return Reading(**{**told, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_matching_is_a_gain_and_a_bias_of_each_band_in_the_unit(image: Callable[..., Raster], offset: float) -> None:
    raster = image(np.rint(reflectance() * 10_000 + offset).astype("uint16"), "B2", "B3", "B4")
    plain, matched = reading(offset=offset), reading(offset=offset, matching=((1.5, 0.01), (0.5, -0.2)))
    seen = plain.read(raster, whole(GRID.shape))
    expected = seen * np.float32([[[1.5]], [[0.5]]]) + np.float32([[[0.01]], [[-0.2]]])
    assert matched.read(raster, whole(GRID.shape)) == pytest.approx(expected, abs=1e-6)
    same = reading(offset=offset, matching=((1.0, 0.0), (1.0, 0.0)))
    assert (same.read(raster, whole(GRID.shape)) == seen).all()


def test_matching_keeps_what_is_unobserved(write_tiff: Make) -> None:
    pixels = reflectance()
    pixels[0, 3, 4] = np.nan
    raster = open_raster(write_tiff(pixels, GRID))
    seen = reading(scale=1.0, matching=((2.0, 1.0), (0.0, 5.0))).read(raster, whole(GRID.shape))
    assert np.argwhere(np.isnan(seen)).tolist() == [[1, 3, 4]]


@given(st.permutations([0, 1, 2]), st.integers(1, 3))
def test_some_bands_are_read_as_all_are(order: list[int], count: int) -> None:
    every = reading(positions=(4, 1, 3), matching=((1.5, 0.1), (0.5, -0.2), (2.0, 0.0)))
    chosen = order[:count]
    stored = np.random.default_rng(0).random((5, 4, 6), np.float32)
    part = every.only(chosen)
    whole_stack = every.converted(stored[list(every.positions)])
    assert np.array_equal(part.converted(stored[list(part.positions)]), whole_stack[chosen])
    assert part.only(range(count)) == part


@pytest.mark.parametrize("bands", [None, (1,), (1, 0)])
@pytest.mark.parametrize("most_px", [7, 20, 56, 900])
def test_a_sample_of_a_reading_is_every_nth_of_what_it_reads(
    image: Callable[..., Raster], most_px: int, bands: tuple[int, ...] | None
) -> None:
    raster = image(np.rint(reflectance() * 10_000).astype("uint16"), "B2", "B3", "B4")
    matched = reading(matching=((1.5, 0.01), (0.5, -0.2)))
    step = max(1, -(-56 // most_px))
    expected = matched.read(raster, whole(GRID.shape))[:, ::step, ::step]
    assert np.array_equal(matched.sample(raster, most_px, bands), expected[list(bands or (0, 1))])
    assert max(expected.shape[1:]) <= most_px


def test_what_was_said_of_the_file_is_said_of_its_reading(write_tiff: Make) -> None:
    raster = open_raster(write_tiff(reflectance(2)[:, ::-1], upside_down(GRID), bands=("B2", "B4")))
    plan = reading_of(raster, ("B2", "B4"), ("B2", "B4"))
    assert any("flipped" in note for note in plan.notes)
    assert np.array_equal(plan.read(raster, whole(GRID.shape)), read(raster, whole(GRID.shape)))


def test_names_against_the_file_s_own_are_told(image: Callable[..., Raster]) -> None:
    raster = image(reflectance(2), "B2", "B4")
    assert any("as asked" in note for note in reading_of(raster, ("RED", "NIR"), ("RED", "NIR")).notes)
    assert not reading_of(raster, ("B2", "B4"), ("B2", "B4")).notes


def test_untagged_fill_does_not_hide_the_unit(image: Callable[..., Raster]) -> None:
    pixels = np.full((3, 40, 40), 2500, np.float32)
    pixels[:, :25] = 0  # more than half of the image
    reading = reading_of(image(pixels, "B2", "B3", "B4"), ("B2", "B3", "B4"), ("B2", "B3", "B4"))
    assert reading.scale == 10_000
