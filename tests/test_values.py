"""The tally of an image's values: the same in bands of any height, silent on good images, clear on faults."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.raster import Float
from minedetect.synthetic import BANDS, make_district
from minedetect.values import ValueTally

NAMES = ("B2", "B3", "B4", "B8")


def ground(shape: tuple[int, int] = (120, 100), seed: int = 0) -> Float:
    """Reflectance of some soil as integers store it: float32 (4, H, W)."""
    rng = np.random.default_rng(seed)
    light = rng.gamma(9, 0.15, shape)
    mean = np.array([0.06, 0.09, 0.12, 0.25])[:, None, None]
    return np.rint(1e4 * mean * light * rng.normal(1, 0.03, (4, *shape))).astype(np.float32) / np.float32(1e4)


def tallied(pixels: Float, rows_px: int = 50, **fields: Any) -> ValueTally:
    tally = ValueTally(**{"names": NAMES[: len(pixels)], "unit": "reflectance", "zero": 0.0, **fields})
    for row in range(0, pixels.shape[1], rows_px):
        tally.add(pixels[:, row : row + rows_px])
    return tally


def doubtful(tally: ValueTally) -> dict[str, str]:
    return {c.name: c.message for c in tally.checks() if c.verdict != "ok"}


@pytest.mark.parametrize("seed", range(3))
def test_the_built_in_district_is_beyond_reproach(seed: int) -> None:
    district = make_district((320, 256), seed)
    for pixels in (district.before, district.after):
        assert doubtful(tallied(pixels, names=BANDS)) == {}


@given(st.integers(0, 2**31), st.integers(1, 120), st.sampled_from(["soil", "few values", "gaps", "fill"]))
def test_the_tally_does_not_depend_on_how_the_image_is_cut(seed: int, rows_px: int, kind: str) -> None:
    pixels = ground(seed=seed)
    if kind == "few values":
        pixels = np.rint(pixels * 100) / np.float32(100)
    if kind == "gaps":
        pixels[np.random.default_rng(seed).random(pixels.shape) < 0.3] = np.nan
    if kind == "fill":
        pixels[:, 40:] = 0
    whole, cut = tallied(pixels, 120, full=1.0), tallied(pixels, rows_px, full=1.0)
    assert whole.figures() == cut.figures()
    assert whole.checks() == cut.checks()


@given(st.integers(0, 2**31))
def test_counts_are_those_of_the_whole_image(seed: int) -> None:
    pixels = ground(seed=seed) - np.float32(0.02)
    pixels[:, 3:9, 5:20] = np.nan
    pixels[1, 30:33] = np.inf
    figures = tallied(pixels).figures()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["pixels"] == 12_000
    assert figures["unobserved_share"] == pytest.approx((6 * 15 + 300) / 12_000)
    assert figures["partly_observed_share"] == pytest.approx(300 / 12_000)
    for name, plane in zip(NAMES, pixels, strict=True):
        seen, band = plane[np.isfinite(plane)], figures["bands"][name]
        assert (band["observed"], band["min"], band["max"]) == (seen.size, seen.min(), seen.max())
        assert band["negative_share"] == pytest.approx((seen < 0).mean())
        assert band["at_max_share"] == pytest.approx((seen == seen.max()).mean())


def with_fill(pixels: Float) -> Float:
    pixels[:, :10, :50] = 0
    return pixels


def with_clouds(pixels: Float) -> Float:
    pixels[:, 20:40, 20:40] = 0.6 + pixels[:, 20:40, 20:40] / 10
    return pixels


def with_white_roofs(pixels: Float) -> Float:
    pixels[:, 20:25, 20:25] = 0.6 + pixels[:, 20:25, 20:25] / 10
    return pixels


def with_bright_tailings(pixels: Float) -> Float:
    texture = pixels[:, 20:80, 20:80] / 10
    pixels[:, 20:80, 20:80] = np.array([0.33, 0.40, 0.47, 0.5], np.float32)[:, None, None] + texture
    return pixels


def with_gaps_in_one_band(pixels: Float) -> Float:
    pixels[3, :5] = np.nan
    return pixels


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        (lambda p: p, set(), ""),
        (with_fill, {"zero_fill"}, "4.17% of the pixels"),
        (with_clouds, {"clouds"}, "3.33% of the image"),
        (with_white_roofs, set(), ""),
        (with_bright_tailings, set(), ""),
        (with_gaps_in_one_band, {"partly_observed"}, "B8 show less ground"),
        (lambda p: np.minimum(p, np.float32(0.3)), {"saturation"}, "B8 at 0.3 ("),
        (lambda p: np.concatenate([p[:3], p[3:] * 0 + 1]), {"constant"}, "B8"),
        (lambda p: p - np.float32(0.06), {"negative"}, "B2 ("),
        (lambda p: np.concatenate([p[:3], p[3:] * 20]), {"high"}, "B8 ("),
    ],
)
def test_each_fault_is_told_and_nothing_else(change: Any, expected: set[str], words: str) -> None:
    found = doubtful(tallied(change(ground())))
    assert set(found) == expected
    assert all(words in message for message in found.values())


def test_fill_is_known_where_an_offset_was_taken_off() -> None:
    pixels = with_fill(ground()) - np.float32(0.1)
    pixels[:, 10:] += np.float32(0.2)
    pixels[:, :10, 50:] += np.float32(0.2)
    assert set(doubtful(tallied(pixels, zero=-0.1))) == {"zero_fill"}
    assert "zero_fill" not in doubtful(tallied(pixels))


def test_zero_in_one_band_alone_is_no_fill() -> None:
    pixels = ground()
    pixels[0] = 0
    assert "zero_fill" not in doubtful(tallied(pixels))


def picture(gain: float) -> Float:
    """The soil as a stretched 8-bit picture shows it."""
    stretched: npt.NDArray[np.float32] = np.clip(np.rint(ground((400, 300)) * gain * 255), 0, 255) / np.float32(255)
    return stretched


def test_an_eight_bit_picture_is_asked_for_no_reflectance() -> None:
    tally = tallied(picture(1.0), unit="uint8", full=1.0)
    assert doubtful(tally) == {}
    assert {c.name for c in tally.checks()} == {"zero_fill", "partly_observed", "constant", "saturation"}
    assert "B8 at 1 (" in doubtful(tallied(picture(5.0), unit="uint8", full=1.0))["saturation"]


@pytest.mark.parametrize(
    ("names", "looks"),
    [
        (("B2", "B3", "B4", "B8"), True),
        (("BLUE", "GREEN", "RED", "NIR"), True),
        (("B5", "B8", "B11", "B12"), False),
    ],
)
def test_clouds_are_looked_for_in_visible_bands_alone(names: tuple[str, ...], looks: bool) -> None:
    assert ("clouds" in doubtful(tallied(with_clouds(ground()), names=names))) is looks


def test_natural_maxima_of_coarse_bands_are_no_saturation() -> None:
    coarse = ground((20, 20)).repeat(6, axis=1).repeat(6, axis=2)
    assert doubtful(tallied(coarse)) == {}


def test_an_image_without_any_value_is_tallied_too() -> None:
    tally = tallied(np.full((4, 30, 20), np.nan, np.float32))
    assert tally.figures()["unobserved_share"] == 1
    assert doubtful(tally) == {}
    assert doubtful(tallied(np.zeros((4, 0, 20), np.float32))) == {}


def test_another_number_of_bands_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="3 bands for 4 names"):
        ValueTally(NAMES, "reflectance").add(np.zeros((3, 2, 2), np.float32))
