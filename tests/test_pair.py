"""What bends a comparison of two dates is measured, said in words with figures, and never NaN."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from conftest import WriteTiff
from odc.geo.geobox import GeoBox

from minedetect.bands import Reading, reading_of
from minedetect.config import GateSettings
from minedetect.errors import BandMismatch, GridMismatch
from minedetect.grid import pixel_size_m
from minedetect.measure import hectares
from minedetect.pair import SAME_IMAGE, PairQuality, PairSubject, Source, measure_pair
from minedetect.raster import MINE, onto_first, open_raster
from minedetect.season import Acquired
from minedetect.synthetic import BANDS, District, make_district

LIMITS = GateSettings(review_drift=0.25, review_shift_px=1.0)
ROWS, COLS = 192, 208


@pytest.fixture(scope="module")
def district() -> District:
    return make_district((ROWS, COLS), 1)


class Written:
    """The district's dates on disk, as integers times 10000 with 0 as nodata."""

    def __init__(self, write: WriteTiff, district: District) -> None:
        self.write, self.district = write, district

    def date(self, pixels: npt.NDArray[np.float32], name: str, grid: GeoBox | None = None) -> Path:
        stored = np.nan_to_num(pixels * 10_000).round().clip(0, 65_535).astype(np.uint16)
        return self.write(stored, grid or self.district.grid, name, bands=BANDS, nodata=0)

    def subject(
        self,
        before: npt.NDArray[np.float32] | None = None,
        after: npt.NDArray[np.float32] | None = None,
        after_grid: GeoBox | None = None,
    ) -> PairSubject:
        first = open_raster(self.date(self.district.before if before is None else before, "before.tif"))
        stored = open_raster(self.date(self.district.after if after is None else after, "after.tif", after_grid))
        second, _ = onto_first(first, stored)
        sources = [Source(raster, reading_of(raster, BANDS, BANDS)) for raster in (first, second)]
        return PairSubject(sources[0], sources[1], BANDS, self.district.truth_before)


@pytest.fixture
def written(write_tiff: WriteTiff, district: District) -> Written:
    return Written(write_tiff, district)


def only(quality: PairQuality, name: str) -> tuple[str, str]:
    """Verdict and message of the one check of this name."""
    ((verdict, message),) = [(c.verdict, c.message) for c in quality.checks if c.name == name]
    return verdict, message


def test_the_built_in_pair_draws_no_warning_of_shift_or_drift(written: Written, district: District) -> None:
    subject = written.subject()
    quality = measure_pair(subject, LIMITS)
    assert only(quality, "shift")[0] == only(quality, "drift")[0] == only(quality, "common_ground")[0] == "ok"
    assert quality.shift_px == pytest.approx(0, abs=0.1)
    assert set(quality.drift) == set(BANDS)
    assert json.loads(json.dumps(quality.figures, allow_nan=False)) == quality.figures
    assert quality.radiometry == measure_pair(subject, LIMITS).radiometry
    seen = [~np.isnan(image).any(axis=0) for image in (district.before, district.after)]
    for key, ground in (("first_ha", seen[0]), ("second_ha", seen[1]), ("common_ha", seen[0] & seen[1])):
        assert quality.figures[key] == pytest.approx(hectares(ground, district.grid, 1), abs=0.01)
    labelled_ha = hectares(district.truth_before, district.grid, MINE)
    assert quality.figures["labelled_ha"] == pytest.approx(labelled_ha, abs=0.01)


@pytest.mark.parametrize(
    ("rows_px", "cols_px", "verdict", "words"),
    [(0.0, 0.2, "ok", "right"), (-0.5, 0.25, "warning", "--correct-shift"), (0.0, 1.5, "warning", "rings")],
)
def test_a_known_shift_is_measured_and_told(
    written: Written, district: District, rows_px: float, cols_px: float, verdict: str, words: str
) -> None:
    quality = measure_pair(written.subject(after_grid=district.grid.translate_pix(cols_px, rows_px)), LIMITS)
    assert quality.shift.certain
    # Warping bilinearly moves fine detail by a little less than the coarse, and the scene has nine blocks only.
    assert quality.shift.rows_px == pytest.approx(rows_px, abs=0.1)
    assert quality.shift.cols_px == pytest.approx(cols_px, abs=0.1)
    assert only(quality, "shift")[0] == verdict
    assert words in only(quality, "shift")[1]


def test_one_image_given_twice_is_told(written: Written, district: District) -> None:
    """A stored copy under another name is as good as the same file; one pixel that differs is another image."""
    twice = measure_pair(written.subject(after=district.before), LIMITS)
    assert only(twice, SAME_IMAGE)[0] == "warning"
    assert "one image given twice" in only(twice, SAME_IMAGE)[1]
    other = district.before.copy()
    other[:, 90:100, 90:100] *= 1.1
    for subject in (written.subject(after=other), written.subject()):
        assert SAME_IMAGE not in [check.name for check in measure_pair(subject, LIMITS).checks]


def test_a_shift_that_was_corrected_is_gone(written: Written, district: District) -> None:
    """Reading the second date on a grid that lies off by the measured shift brings the ground back."""
    subject = written.subject(after_grid=district.grid.translate_pix(1.25, -0.75))
    shift = measure_pair(subject, LIMITS).shift
    raster = subject.second.raster
    moved = replace(raster, warp_to=raster.grid.translate_pix(shift.cols_px, shift.rows_px))
    after = measure_pair(replace(subject, second=replace(subject.second, raster=moved)), LIMITS)
    assert after.shift_px == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("date_of_it", "flag"), [("before", "--reflectance-offset 1000"), ("after", "--reflectance-offset-after 1000")]
)
def test_the_offset_of_newer_products_is_told_with_its_flag(
    written: Written, district: District, date_of_it: str, flag: str
) -> None:
    images = {date_of_it: getattr(district, date_of_it) + np.float32(0.1)}
    quality = measure_pair(written.subject(**images), LIMITS)
    verdict, message = only(quality, "drift")
    assert verdict == "warning"
    assert flag in message
    assert max(map(abs, quality.drift.values())) > LIMITS.review_drift


def test_a_drifted_band_is_named_and_can_be_matched(written: Written, district: District) -> None:
    gain = np.array([1, 1, 1.6, 1, 1], np.float32)[:, None, None]
    noise = 0.003 * np.random.default_rng(0).standard_normal(district.before.shape).astype(np.float32)
    quality = measure_pair(written.subject(after=district.before * gain + noise), GateSettings(review_drift=0.12))
    verdict, message = only(quality, "drift")
    assert verdict == "warning"
    assert "B4 drifted by more than 12%" in message
    assert "--match-radiometry" in message
    assert quality.radiometry.matching is not None
    assert quality.radiometry.matching.gain == pytest.approx([1, 1, 1 / 1.6, 1, 1], rel=0.02)


def test_labelled_ground_that_one_date_did_not_see_is_told_in_hectares(written: Written, district: District) -> None:
    rows, cols = np.nonzero(district.truth_before)
    cloud = slice(int(rows[0]) - 4, int(rows[0]) + 8), slice(int(cols[0]) - 4, int(cols[0]) + 8)
    after = district.after.copy()
    after[:, *cloud] = np.nan
    hidden_ha = hectares((district.truth_before == MINE) & np.isnan(after[0]), district.grid, 1)
    quality = measure_pair(written.subject(after=after), LIMITS)
    verdict, message = only(quality, "labels_observed")
    assert verdict == "warning"
    assert f"{hidden_ha:,.1f} ha" in message
    assert quality.figures["labelled_unobserved_ha"][1] == pytest.approx(hidden_ha, abs=0.01)


def test_ground_seen_on_one_date_only_is_told(written: Written, district: District) -> None:
    after = district.after.copy()
    after[:, :50] = np.nan
    verdict, message = only(measure_pair(written.subject(after=after), LIMITS), "common_ground")
    assert verdict == "warning"
    assert "on the first date only" in message


def test_dates_that_share_no_ground_cannot_be_compared(written: Written, district: District) -> None:
    before, after = district.before.copy(), district.after.copy()
    before[:, :, 110:], after[:, :, :110] = np.nan, np.nan
    quality = measure_pair(written.subject(before, after), LIMITS)
    assert only(quality, "common_ground")[0] == "blocking"
    assert only(quality, "shift")[0] == only(quality, "drift")[0] == "warning"
    assert quality.shift_px is None
    assert quality.drift == {}
    json.dumps(quality.figures, allow_nan=False)


def test_seasons_and_pixel_sizes_are_told(written: Written) -> None:
    days = Acquired(date(2016, 8, 24), "given"), Acquired(date(2025, 2, 1), "given")
    subject = written.subject()
    size_m = pixel_size_m(subject.first.raster.grid)
    quality = measure_pair(replace(subject, days=days, second_pixel_m=1.5 * size_m), LIMITS)
    assert only(quality, "season")[0] == only(quality, "pixel_size")[0] == "warning"
    assert quality.figures["season_gap_days"] == 161
    assert quality.figures["days"] == ["2016-08-24", "2025-02-01"]
    near = measure_pair(replace(subject, second_pixel_m=1.1 * size_m, mask=None), LIMITS)
    assert only(near, "season")[0] == only(near, "pixel_size")[0] == "ok"
    assert near.figures["labelled_ha"] is None
    assert "labels_observed" not in {c.name for c in near.checks}


def test_values_at_the_sensors_limit_do_not_pass_for_invariant_ground(written: Written, district: District) -> None:
    """Clouds at one saturated value on both dates are alike to the last digit, and are no ground."""
    before, after = district.before.copy(), district.after.copy()
    for image in (before, after):
        image[:, 100:160, 100:160] = 1.6
    clean = measure_pair(written.subject(), LIMITS)
    cloudy = measure_pair(written.subject(before, after), LIMITS)
    assert [cloudy.drift[b] for b in BANDS] == pytest.approx([clean.drift[b] for b in BANDS], abs=0.03)


def test_dates_that_do_not_fit_are_refused(written: Written) -> None:
    subject = written.subject()
    grid = GeoBox((ROWS, COLS), Affine(10, 0, 0, 0, -10, 0), "EPSG:32735")
    elsewhere = replace(subject.second, raster=replace(subject.second.raster, grid=grid))
    with pytest.raises(GridMismatch, match="two dates"):
        measure_pair(replace(subject, second=elsewhere), LIMITS)
    bytes_read = replace(subject.second, reading=Reading((0, 1, 2, 3, 4), "uint8", 255.0, 0.0))
    with pytest.raises(BandMismatch, match="uint8"):
        measure_pair(replace(subject, second=bytes_read), LIMITS)
    with pytest.raises(GridMismatch):
        measure_pair(replace(subject, mask=np.zeros((3, 3), np.uint8)), LIMITS)
