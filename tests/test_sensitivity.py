"""Sensitivity ranges: the figure lies inside, dates may be swapped, and what does not move has no range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from odc.geo.geobox import GeoBox

from minedetect.change import CHANGE_NODATA, DOUBTFUL, FIRM, NO_CHANGE, UNCHANGED, Change, difference, ledger
from minedetect.cog import CogProfile, write_cog
from minedetect.raster import IGNORE, Mask, Raster, open_raster
from minedetect.sensitivity import Compared, Cut, by_border, by_matching, by_threshold, narrower, ranges, wider
from minedetect.sieve import classified, sieved

SHAPE = (40, 30)
GRID = GeoBox(SHAPE, Affine(10, 0, 600_000, 0, -10, 8_600_000), "EPSG:32735")
PIXEL_HA = 0.01
YEARS = ("2016", "2025")
CUT = Cut(threshold=0.5, step=0.1, min_patch_ha=0.05)

masks = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, IGNORE]), fill=st.just(0))


def kinds(change: Change, _before: Mask) -> Mask:
    """All change is firm."""
    kind = np.where(change == UNCHANGED, NO_CHANGE, FIRM).astype(np.uint8)
    kind[change == CHANGE_NODATA] = IGNORE
    return kind


def compared(before: Mask, after: Mask) -> Compared:
    change = difference(before, after)
    return Compared((before, after), GRID, kinds, ledger(before, change, kinds(change, before), GRID))


def found(dates: Compared, **parts: Any) -> dict[str, Any]:
    return ranges(YEARS, dates.found, parts)


def figures(content: dict[str, Any]) -> dict[str, Any]:
    return {**content["hectares"], **{key: content[key] for key in ("new_ha", "gone_ha", "net_ha")}}


def published(dates: Compared) -> dict[str, float]:
    f = dates.found
    values = {"2016": f.before_ha, "2025": f.after_ha, "new_ha": f.new["firm"], "gone_ha": f.gone["firm"]}
    return {name: round(value, 2) for name, value in {**values, "net_ha": f.net_ha}.items()}


@settings(max_examples=10)
@given(masks, masks, masks)
def test_every_figure_lies_in_its_range_and_the_range_is_the_envelope_of_its_parts(
    before: Mask, after: Mask, unmatched: Mask
) -> None:
    dates = compared(before, after)
    parts = {"border": by_border(dates), "matching": by_matching(dates, unmatched)}
    content = figures(found(dates, **parts))
    for name, value in published(dates).items():
        spans = content[name]["parts"]
        assert set(spans) == set(parts)
        assert all(low <= value <= high for low, high in spans.values())
        assert content[name]["low"] == min(low for low, _ in spans.values())
        assert content[name]["high"] == max(high for _, high in spans.values())


@settings(max_examples=10)
@given(masks, masks)
def test_swapped_dates_have_the_same_ranges_with_new_and_gone_exchanged(before: Mask, after: Mask) -> None:
    there, back = compared(before, after), compared(after, before)
    one, other = (figures(found(dates, border=by_border(dates))) for dates in (there, back))
    assert (one["2016"], one["2025"]) == (other["2025"], other["2016"])
    assert (one["new_ha"], one["gone_ha"]) == (other["gone_ha"], other["new_ha"])
    assert (one["net_ha"]["low"], one["net_ha"]["high"]) == (-other["net_ha"]["high"], -other["net_ha"]["low"])


@settings(max_examples=10)
@given(masks, masks)
def test_borders_moved_alike_on_both_dates_change_no_more_than_on_one(before: Mask, after: Mask) -> None:
    dates = compared(before, after)
    content = figures(found(dates, border=by_border(dates)))
    for moved in (wider, narrower):
        for name, value in published(compared(moved(before), moved(after))).items():
            assert content[name]["low"] <= value <= content[name]["high"]


@given(masks)
def test_moved_borders_leave_unobserved_pixels_and_hold_the_mine_between_them(classes: Mask) -> None:
    wide, narrow = wider(classes), narrower(classes)
    for moved in (wide, narrow):
        assert np.array_equal(moved == IGNORE, classes == IGNORE)
    assert not ((narrow == 1) & (classes != 1)).any()
    assert not ((classes == 1) & (wide != 1)).any()


def test_a_square_gains_and_loses_its_rim_but_none_at_a_cloud_or_the_scene_s_edge() -> None:
    square = np.zeros(SHAPE, np.uint8)
    square[10:20, 5:15] = 1
    assert (wider(square) == 1).sum() == 12 * 12
    assert (narrower(square) == 1).sum() == 8 * 8
    square[10:20, 15:] = IGNORE
    assert (narrower(square) == 1).sum() == 8 * 9
    corner = np.zeros(SHAPE, np.uint8)
    corner[:10, :10] = 1
    assert (narrower(corner) == 1).sum() == 9 * 9
    assert (narrower(np.ones(SHAPE, np.uint8)) == 1).all()


def test_a_border_drawn_wide_on_one_date_alone_is_change_and_on_both_is_not() -> None:
    square = np.zeros(SHAPE, np.uint8)
    square[10:20, 5:15] = 1
    content = figures(found(compared(square, square), border=by_border(compared(square, square))))
    grown, shrunk = 144 - 100, 100 - 64
    for name in ("2016", "2025"):
        assert content[name]["low"] == pytest.approx(64 * PIXEL_HA, abs=0.006)
        assert content[name]["high"] == pytest.approx(144 * PIXEL_HA, abs=0.006)
    for name in ("new_ha", "gone_ha"):
        assert content[name]["low"] == 0
        assert content[name]["high"] == pytest.approx(max(grown, shrunk) * PIXEL_HA, abs=0.006)
    assert content["net_ha"]["high"] == pytest.approx(grown * PIXEL_HA, abs=0.006)
    assert content["net_ha"]["low"] == pytest.approx(-grown * PIXEL_HA, abs=0.006)


def smooth_probability(seed: int) -> npt.NDArray[np.float32]:
    """A hill whose sides cross every threshold, a little noise, and a corner without data."""
    rows, cols = np.indices(SHAPE)
    distance = np.hypot(rows - 20 - seed, cols - 15)
    noise = np.random.default_rng(seed).normal(0, 0.02, SHAPE)
    probability = np.clip(1 - distance / 16 + noise, 0, 1).astype(np.float32).round(4)
    probability[:5, :5] = np.nan
    return probability


@pytest.fixture
def probabilities(tmp_path: Path) -> tuple[Raster, Raster]:
    paths = tmp_path / "0.tif", tmp_path / "1.tif"
    for seed, path in enumerate(paths):
        write_cog(path, smooth_probability(seed), GRID, CogProfile("float32", float("nan"), ("p",), {}))
    return open_raster(paths[0]), open_raster(paths[1])


def cut_at(threshold: float) -> Compared:
    before, after = (sieved(classified(smooth_probability(s), threshold), GRID, CUT.min_patch_ha) for s in (0, 1))
    return compared(before, after)


def test_the_threshold_s_range_ends_where_the_moved_thresholds_lead(probabilities: tuple[Raster, Raster]) -> None:
    dates = cut_at(0.5)
    content = figures(found(dates, threshold=by_threshold(dates, probabilities, CUT)))
    low, high = published(cut_at(0.6)), published(cut_at(0.4))
    for year in YEARS:
        assert low[year] < published(dates)[year] < high[year]
        assert content[year]["parts"] == {"threshold": [low[year], high[year]]}
    ends = [published(cut_at(t))["new_ha"] for t in (0.4, 0.5, 0.6)]
    assert content["new_ha"]["parts"]["threshold"] == [min(ends), max(ends)]


def test_a_threshold_that_does_not_move_gives_no_range(probabilities: tuple[Raster, Raster]) -> None:
    for threshold in (0.005, 0.5, 0.995):
        dates = cut_at(threshold)
        still = Cut(threshold, 0.0, CUT.min_patch_ha)
        content = figures(found(dates, threshold=by_threshold(dates, probabilities, still)))
        for name, value in published(dates).items():
            assert content[name]["low"] == content[name]["high"] == value


@given(st.floats(0.001, 0.999), st.floats(0, 0.5))
def test_moved_thresholds_stay_probabilities_around_the_chosen_one(threshold: float, step: float) -> None:
    low, high = Cut(threshold, step, 0.5).moved
    assert 0 < low <= threshold <= high < 1
    assert low >= min(0.01, threshold)
    assert high <= max(0.99, threshold)


def test_only_firm_change_counts_for_new_and_gone_and_all_of_it_for_net() -> None:
    before, after = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    after[10:20, 5:15] = 1

    def upper_half_is_firm(change: Change, _before: Mask) -> Mask:
        kind = kinds(change, _before)
        kind[15:][kind[15:] == FIRM] = DOUBTFUL
        return kind

    change = difference(before, after)
    firm = ledger(before, change, upper_half_is_firm(change, before), GRID)
    dates = Compared((before, after), GRID, upper_half_is_firm, firm)
    content = figures(found(dates, border=by_border(dates)))
    assert content["new_ha"]["parts"]["border"] == pytest.approx([4 * 8 * PIXEL_HA, 6 * 12 * PIXEL_HA], abs=0.006)
    assert content["net_ha"]["parts"]["border"] == pytest.approx([64 * PIXEL_HA, 144 * PIXEL_HA], abs=0.006)


def test_matching_moves_the_second_date_alone() -> None:
    before, after, unmatched = (np.zeros(SHAPE, np.uint8) for _ in range(3))
    before[5:10, 5:10], after[5:15, 5:10], unmatched[5:8, 5:10] = 1, 1, 1
    dates = compared(before, after)
    content = figures(found(dates, matching=by_matching(dates, unmatched)))
    assert content["2016"]["low"] == content["2016"]["high"]
    assert content["2025"]["parts"]["matching"] == pytest.approx([15 * PIXEL_HA, 50 * PIXEL_HA], abs=0.006)
    assert content["gone_ha"]["parts"]["matching"] == pytest.approx([0, 10 * PIXEL_HA], abs=0.006)
    assert content["net_ha"]["parts"]["matching"] == pytest.approx([-10 * PIXEL_HA, 25 * PIXEL_HA], abs=0.006)
