"""One spelling of a band's name; names come from the file or from the user, and a check goes on without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect.band_names import (
    PROPOSALS,
    bands_to_check,
    canonical,
    name_bands,
    proposal,
    stand_ins,
    training_bands,
)
from minedetect.errors import BandMismatch
from minedetect.raster import Raster, open_raster

GRID = GeoBox((4, 6), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
Make = Callable[..., Path]


def reflectance(bands: int = 3) -> np.ndarray:
    return np.full((bands, 4, 6), 0.2, np.float32)


@pytest.fixture
def image(write_tiff: Make) -> Callable[..., Raster]:
    def make(pixels: np.ndarray, *bands: str, name: str = "image.tif") -> Raster:
        return open_raster(write_tiff(pixels, GRID, name, bands=bands))

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


@given(st.text(max_size=12) | st.text("Bb aA_0128R.-\x1f\t", max_size=8))
def test_a_spelling_is_settled_at_once(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)


@given(st.integers(1, 99), st.sampled_from(["", "A"]), st.integers(0, 3))
def test_zeros_and_case_tell_no_bands_apart(number: int, letter: str, zeros: int) -> None:
    spellings = {f"{b}{'0' * zeros}{number}{a}" for b in ("B", "b", "Band ", "band_") for a in (letter, letter.lower())}
    assert {canonical(s) for s in spellings} == {f"B{number}{letter}"}


def test_a_name_that_the_file_lacks_is_no_choice_among_its_bands(image: Callable[..., Raster]) -> None:
    named = image(reflectance(), "B2", "B3", "B4")
    with pytest.raises(BandMismatch, match="B8 of --bands is not among them"):
        name_bands(named, "B2,B8")


@given(st.integers(1, 20))
def test_a_proposal_names_each_band_once(count: int) -> None:
    names = proposal(count).split(",")
    assert len(names) == len(set(names)) == count
    assert [canonical(n) for n in names] == names
    assert len(set(stand_ins(count))) == count
    assert proposal(5) == PROPOSALS[5] == "B2,B3,B4,B8,B11"


def test_a_check_goes_on_without_names_and_says_what_to_do(image: Callable[..., Raster]) -> None:
    names, missing = bands_to_check(image(reflectance(5)), "")
    assert names == stand_ins(5)
    assert "--bands B2,B3,B4,B8,B11" in missing
    assert missing.endswith(("B11", "."))


def test_a_check_uses_names_where_there_are_any(image: Callable[..., Raster]) -> None:
    named, bare = image(reflectance(), "B02", "B3", "B4"), image(reflectance(), name="bare.tif")
    assert bands_to_check(named, "") == (("B2", "B3", "B4"), "")
    assert bands_to_check(bare, "B2,B3,B8") == (("B2", "B3", "B8"), "")
    with pytest.raises(BandMismatch, match="2 names"):
        bands_to_check(bare, "B2,B3")


def test_a_nameless_second_date_is_checked_in_the_first_one_s_order(image: Callable[..., Raster]) -> None:
    bare = image(reflectance())
    names, missing = bands_to_check(bare, "", ("B8", "B4", "B3"))
    assert names == ("B8", "B4", "B3")
    assert "other date's order" in missing
    assert bands_to_check(bare, "", ("B8", "B4"))[0] == stand_ins(3), "another number of bands is no help"


def test_a_named_second_date_takes_the_order_of_a_nameless_first(image: Callable[..., Raster]) -> None:
    names, missing = bands_to_check(image(reflectance(), "B2", "B3", "B4"), "", stand_ins(3))
    assert names == stand_ins(3)
    assert "The first date has no band names" in missing


@pytest.mark.parametrize("told", [("Band 1", "Band 2", "Band 3"), ("band_1", "band_2", "band_3")])
def test_names_that_only_count_are_no_names(image: Callable[..., Raster], told: tuple[str, ...]) -> None:
    counted = image(reflectance(), *told)
    with pytest.raises(BandMismatch, match="not all of them named"):
        name_bands(counted, "")
    assert name_bands(counted, "B2,B3,B8") == ("B2", "B3", "B8")
    assert name_bands(image(reflectance(), "Band 2", "Band 3", "Band 4", name="named.tif"), "") == ("B2", "B3", "B4")
