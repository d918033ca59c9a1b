"""Bands by name, one unit, one scaling fitted on training pixels, one pixel size; nothing guessed in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from minedetect.bands import (
    BandContract,
    canonical,
    filled,
    name_bands,
    reading_of,
    training_bands,
    training_sample,
    value_drift,
    value_limits,
)
from minedetect.errors import BandMismatch
from minedetect.grid import pixel_size_m, whole
from minedetect.raster import Raster, open_raster

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


@pytest.mark.parametrize("name", ["B02", "B2", "b2", " b02 ", "Band 2", "band_02", "BAND2", "2", "02"])
def test_one_band_has_one_name(name: str) -> None:
    assert canonical(name) == "B2"


@pytest.mark.parametrize(
    ("name", "same"), [("B8A", "B8A"), ("b8a", "B8A"), ("B08A", "B8A"), ("B11", "B11"), ("nir", "NIR"), ("B10", "B10")]
)
def test_other_bands_stay_themselves(name: str, same: str) -> None:
    assert canonical(name) == same
    assert canonical(canonical(name)) == same


def test_names_come_from_the_file_then_from_the_user(image: Callable[..., Raster]) -> None:
    named, bare = image(reflectance(), "B02", "b3", "Band 4"), image(reflectance(), name="bare.tif")
    assert name_bands(named, "") == ("B2", "B3", "B4")
    assert name_bands(bare, "b02,B3 ,B11") == ("B2", "B3", "B11")
    assert name_bands(named, "RED,GREEN,BLUE") == ("RED", "GREEN", "BLUE")


def test_given_names_of_a_named_file_choose_among_its_bands(image: Callable[..., Raster]) -> None:
    named = image(reflectance(), "B02", "B03", "B04")
    assert name_bands(named, "B4,B2") == ("B2", "B3", "B4")
    assert training_bands(named, "B4,B2") == ("B4", "B2")
    assert training_bands(named, "") == ("B2", "B3", "B4")


@pytest.mark.parametrize(
    ("count", "names", "given", "words"),
    [
        (5, (), "", "--bands B2,B3,B4,B8,B11"),
        (2, (), "", "--bands NAME1,NAME2"),
        (2, ("B2",), "", "--bands"),
        (3, (), "B2,B3", "has 3 bands, but 2 names"),
        (2, (), "B2,B3,B4", "has 2 bands, but 3 names"),
        (2, (), "B2,B02", "twice"),
        (2, ("B2", "B02"), "", "twice"),
        pytest.param(2, (), "B2,", "name"),
    ],
)
def test_bands_without_usable_names_are_refused(
    image: Callable[..., Raster], count: int, names: tuple[str, ...], given: str, words: str
) -> None:
    with pytest.raises(BandMismatch, match=words):
        name_bands(image(reflectance(count), *names), given)


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


def test_only_valid_training_pixels_are_sampled() -> None:
    pixels = reflectance(2)
    use = np.zeros((40, 56), bool)
    use[:20] = True
    pixels[:, 20:] = 1e6
    pixels[0, 3, 3] = np.nan
    pixels[1, 4, 4] = np.nan
    taken = training_sample(pixels, use, seed=0)
    assert taken.shape == (2, 20 * 56 - 2)
    assert np.isfinite(taken).all()
    assert taken.max() <= 0.5


def test_a_large_sample_is_thinned_the_same_way_each_time() -> None:
    pixels = np.random.default_rng(0).random((1, 1100, 1000), np.float32)
    use = np.ones((1100, 1000), bool)
    first, again, other = (training_sample(pixels, use, seed) for seed in (0, 0, 1))
    assert first.shape == (1, 1_000_000)
    assert (first == again).all()
    assert not (first == other).all()


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
