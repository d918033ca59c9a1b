"""Two dates are opened, measured, and where asked moved and matched; what was done to them is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import as_tiff, upside_down
from odc.geo.geobox import GeoBox

from minedetect.config import Settings
from minedetect.dates import Aligned, DateFiles, Dates, align, open_dates
from minedetect.errors import BadInput, BandMismatch, SettingError
from minedetect.findings import Check
from minedetect.grid import Window, same_grid, whole
from minedetect.intake import admit
from minedetect.measure import count
from minedetect.pair import PairQuality
from minedetect.patches import feature_collection, patches_of
from minedetect.raster import open_raster, read
from minedetect.scenes import SceneFiles, load_scene, scene_to_check
from minedetect.second import check_pair
from minedetect.synthetic import BANDS, District, make_district

Float = npt.NDArray[np.float32]
SETTINGS = Settings(tile_px=64, preset="cpu", device="cpu")
SHIFT = (1.5, -0.75)
GAIN, BIAS = np.float32([1.3, 1.2, 1.25, 0.8, 0.9]), np.float32([0.02, 0.01, 0.0, 0.03, -0.01])
NODATA = float("nan")
NAMED = "S2B_MSIL2A_20250115T080612"
Changed = dict[str, Callable[[Float, GeoBox], tuple[Float, GeoBox, dict[str, Any]]]]


def scaled(pixels: Float, grid: GeoBox) -> tuple[Float, GeoBox, dict[str, Any]]:
    return pixels * GAIN[:, None, None] + BIAS[:, None, None], grid, {}


CHANGED: Changed = {
    "after": lambda p, g: (p, g, {}),
    "brighter": scaled,
    "offset": lambda p, g: (p + np.float32(0.1), g, {}),
    "reordered": lambda p, g: (p[::-1], g, {"bands": BANDS[::-1]}),
    "nameless": lambda p, g: (p, g, {"bands": ()}),
    "three": lambda p, g: (p[:3], g, {"bands": BANDS[:3]}),
    "cropped": lambda p, g: (p[:, 20:, 30:], g[20:, 30:], {}),
    "south up": lambda p, g: (p[:, ::-1], upside_down(g), {}),
    "integers": lambda p, g: (
        np.nan_to_num(p * 10_000 + 1000).round().clip(0, 65_535).astype(np.uint16),
        g,
        {"nodata": 0},
    ),
    "untagged": lambda p, g: (p, g, {"nodata": None}),
    "bytes": lambda p, g: (np.nan_to_num(p * 400).clip(0, 255).astype(np.uint8), g, {"nodata": 0}),
    "elsewhere": lambda p, g: (p, g.translate_pix(5000, 0), {}),
    "hidden": lambda p, g: (np.where(np.arange(p.shape[2]) < 40, p, np.float32(np.nan)), g, {}),
}


@dataclass(frozen=True)
class Place:
    folder: Path
    district: District
    known: dict[str, Aligned] = field(default_factory=dict)

    def files(self, after: str = "after", **more: Any) -> DateFiles:
        labelled = SceneFiles(self.folder / "before.tif", self.folder / "mines.geojson", "before")
        return DateFiles(labelled, self.folder / f"{after}.tif", **more)

    def opened(self, after: str = "after", **settings: Any) -> Dates:
        return open_dates(self.files(after), SETTINGS.model_copy(update=settings))

    def aligned(self, after: str = "after", **settings: Any) -> Aligned:
        """As a run does it; each way is done once."""
        key = json.dumps([after, settings])
        if key not in self.known:
            self.known[key] = self.align(after, **settings)
        return self.known[key]

    def align(self, after: str, **settings: Any) -> Aligned:
        chosen = SETTINGS.model_copy(update=settings)
        dates = open_dates(self.files(after), chosen)
        return align(dates, load_scene(self.files().labelled, chosen, dates.names, dates.before), chosen)

    def checked(self, after: str = "after", **settings: Any) -> tuple[tuple[Check, ...], PairQuality]:
        """As `check --pair` does it."""
        chosen = SETTINGS.model_copy(update=settings)
        return check_pair(scene_to_check(self.files().labelled, chosen), self.files(after).after, chosen)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A small district whose second date comes in many forms, all examined at once."""
    folder, district = tmp_path_factory.mktemp("place"), make_district((256, 208), 1)

    def write(name: str, pixels: npt.NDArray[Any], grid: GeoBox, **options: Any) -> Path:
        header = {"bands": BANDS, "nodata": NODATA, "compress": "deflate", **options}
        (folder / name).write_bytes(as_tiff(pixels, grid, **header))
        return folder / name

    write("before.tif", district.before, district.grid)
    for name, change in CHANGED.items():
        pixels, grid, options = change(district.after, district.grid)
        write(f"{name}.tif", pixels, grid, **options)
    after = open_raster(folder / "after.tif")
    shifted = read(after.moved(-SHIFT[0], -SHIFT[1]), whole(after.shape))
    write("shifted.tif", shifted, district.grid)
    write("truth.tif", district.truth_after[None], district.grid, nodata=255, bands=("mine",))
    write(f"{NAMED}.tif", district.after, district.grid)
    (folder / "mines.geojson").write_text(json.dumps(district.outlines))
    admit(sorted(folder.iterdir()))
    return Place(folder, district)


def pixels_of(dates: Dates, date: int) -> Float:
    raster = (dates.before, dates.after)[date]
    return dates.readings[date].read(raster, whole(raster.shape))


def only(checks: Any, name: str) -> Check:
    (found,) = [c for c in checks if c.name == name]
    return found


def test_dates_that_fit_are_left_as_they_are(place: Place) -> None:
    aligned = place.aligned(correct_shift=True)
    assert np.array_equal(pixels_of(aligned.dates, 1), place.district.after, equal_nan=True)
    assert np.array_equal(pixels_of(aligned.dates, 0), place.district.before, equal_nan=True)
    assert aligned.left is aligned.measured
    assert aligned.measured.shift_px == pytest.approx(0, abs=0.1)
    assert len(aligned.notes) == 1
    assert "was not moved" in aligned.notes[0]


def test_nothing_is_moved_or_matched_unasked(place: Place) -> None:
    for after in ("shifted", "brighter"):
        aligned = place.aligned(after)
        assert aligned.notes == ()
        assert aligned.left is aligned.measured
        assert aligned.dates.readings[1].matching == ()
        stored = open_raster(place.folder / f"{after}.tif")
        assert np.array_equal(pixels_of(aligned.dates, 1), read(stored, whole(stored.shape)), equal_nan=True)


def test_a_known_shift_is_measured_and_moved_back(place: Place) -> None:
    aligned = place.aligned("shifted", correct_shift=True)
    shift = aligned.measured.shift
    assert shift.certain
    assert (shift.rows_px, shift.cols_px) == pytest.approx(SHIFT, abs=0.1)
    assert aligned.left.shift.certain
    assert aligned.left.shift.length_px < 0.1
    assert aligned.left is not aligned.measured
    assert "moved by" in aligned.notes[0]
    assert f"{-shift.rows_px:+.2f} px down" in aligned.notes[0]
    assert only(aligned.measured.checks, "shift").verdict == "warning"
    inside = np.s_[:, 8:-8, 8:-8]
    there, true = pixels_of(aligned.dates, 1)[inside], place.district.after[inside]
    unmoved = pixels_of(place.opened("shifted"), 1)[inside]
    assert np.nanmean(np.abs(there - true)) < 0.6 * np.nanmean(np.abs(unmoved - true))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mask", "polygons"])
def test_labels_of_the_second_date_move_with_its_image(place: Place, tmp_path: Path, kind: str) -> None:
    """Drawn on the shifted image, they lie on the mines only when they move as it does."""
    grid, truth = place.district.grid, place.district.truth_after.astype(np.uint8)
    drawn_on = grid.translate_pix(SHIFT[1], SHIFT[0])  # where the shifted image shows that ground
    if kind == "mask":
        path = tmp_path / "drawn.tif"
        path.write_bytes(as_tiff(truth[None], drawn_on, nodata=255))
    else:
        path = tmp_path / "drawn.geojson"
        shapes = patches_of(truth == 1, drawn_on).geometries
        path.write_text(json.dumps(feature_collection(shapes, [{}] * len(shapes))))
    files = place.files("shifted", labels_after=path)
    unmoved = open_dates(files, SETTINGS)
    asked = SETTINGS.model_copy(update={"correct_shift": True})
    aligned = align(unmoved, load_scene(files.labelled, asked, unmoved.names, unmoved.before), asked)
    assert "and its labels with it" in aligned.notes[0]
    assert unmoved.mask_after is not None
    assert aligned.dates.mask_after is not None
    inside = np.s_[8:-8, 8:-8]
    scores = [count(m[inside] == 1, truth[inside]).iou for m in (unmoved.mask_after, aligned.dates.mask_after)]
    assert scores[1] > 0.98 > scores[0] + 0.05
    left = align(unmoved, load_scene(files.labelled, SETTINGS), SETTINGS)
    assert left.dates.mask_after is unmoved.mask_after


def test_a_date_is_moved_and_matched_together(place: Place) -> None:
    aligned = place.aligned("shifted", correct_shift=True, match_radiometry=True)
    assert [note.split(" was ")[1].split()[0] for note in aligned.notes] == ["moved", "matched"]
    assert len(aligned.dates.readings[1].matching) == len(BANDS)


def test_known_gains_are_undone(place: Place) -> None:
    plain, brighter = (place.aligned(name, match_radiometry=True) for name in ("after", "brighter"))
    assert brighter.dates.readings[0].matching == ()
    assert len(brighter.dates.readings[1].matching) == len(BANDS)
    there, expected = pixels_of(brighter.dates, 1), pixels_of(plain.dates, 1)
    assert np.array_equal(np.isnan(there), np.isnan(expected))
    assert np.nanmax(np.abs(there - expected)) < 0.01
    assert np.nanmean(np.abs(pixels_of(place.opened("brighter"), 1) - expected)) > 0.02
    assert "was matched to the first date" in brighter.notes[0]
    assert all(f"{band} x " in brighter.notes[0] for band in BANDS)


def test_gains_that_differ_between_the_bands_are_told(place: Place) -> None:
    gains = [gain for gain, _ in place.aligned("brighter", match_radiometry=True).dates.readings[1].matching]
    assert max(gains) > 1.15 * min(gains)
    assert "gains differ much" in place.aligned("brighter", match_radiometry=True).notes[0]


def test_an_offset_of_one_date_is_recognised_and_advised_on(place: Place) -> None:
    told = only(place.aligned("offset").measured.checks, "drift")
    assert told.verdict == "warning"
    assert "0.1" in told.message
    assert only(place.aligned("after").measured.checks, "drift").verdict == "ok"


def test_bands_are_read_by_name_in_whatever_order(place: Place) -> None:
    dates = place.opened("reordered")
    assert dates.names == BANDS
    assert np.array_equal(pixels_of(dates, 1), place.district.after, equal_nan=True)
    assert any("picked by name" in note for note in dates.readings[1].notes)


def test_the_second_date_is_turned_north_up(place: Place) -> None:
    dates = place.opened("south up")
    assert np.array_equal(pixels_of(dates, 1), place.district.after, equal_nan=True)
    assert any("flipped" in note for note in dates.readings[1].notes)


def test_the_second_date_is_read_on_the_first_one_s_grid(place: Place) -> None:
    dates = place.opened("cropped")
    assert same_grid(dates.after.grid, dates.before.grid)
    assert np.isnan(pixels_of(dates, 1)[:, :20]).all()
    inside = np.s_[:, 22:, 32:]
    assert pixels_of(dates, 1)[inside] == pytest.approx(place.district.after[inside], abs=1e-4, nan_ok=True)
    assert any("warped" in note for note in dates.notes)
    assert dates.after_pixel_m is not None
    assert place.opened().after_pixel_m is None


def test_each_date_has_its_own_unit_scale_and_offset(place: Place) -> None:
    dates = place.opened("integers", reflectance_offset_after=1000.0)
    seen, true = pixels_of(dates, 1), place.district.after
    kept = ~np.isnan(seen) & (true > -0.09) & (true < 6)
    assert np.abs(seen - true)[kept].max() <= 1e-4
    assert np.array_equal(pixels_of(dates, 0), place.district.before, equal_nan=True)


@pytest.mark.parametrize(
    ("after", "error", "words"),
    [
        ("three", BandMismatch, "lacks B8, B11"),
        ("nameless", BandMismatch, "--bands"),
        ("bytes", BandMismatch, "different kinds"),
        ("elsewhere", BadInput, "do not overlap"),
        ("none", BadInput, r"none\.tif"),
    ],
)
def test_dates_that_cannot_be_compared_are_refused(
    place: Place, after: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        place.opened(after)


def test_labels_of_the_second_date_are_brought_onto_the_grid(place: Place) -> None:
    dates = open_dates(place.files(labels_after=place.folder / "truth.tif"), SETTINGS)
    assert np.array_equal(dates.mask_after, place.district.truth_after)
    assert not [note for note in dates.notes if "truth.tif" in note]
    with pytest.raises(BadInput, match=r"typo\.tif"):
        open_dates(place.files(labels_after=place.folder / "typo.tif"), SETTINGS)


def test_a_mask_of_the_second_date_in_another_crs_is_warped_and_that_is_said(place: Place, tmp_path: Path) -> None:
    truth = open_raster(place.folder / "truth.tif")
    there = place.district.grid.to_crs("EPSG:32735")
    pixels = read(truth.onto(there, nearest=True), whole((there.shape[0], there.shape[1])))
    (tmp_path / "utm.tif").write_bytes(as_tiff(np.nan_to_num(pixels, nan=255).astype(np.uint8), there, nodata=255))
    dates = open_dates(place.files(labels_after=tmp_path / "utm.tif"), SETTINGS)
    assert any("utm.tif (" in note and "was warped" in note for note in dates.notes)
    assert dates.mask_after is not None
    assert count(dates.mask_after == 1, place.district.truth_after).iou > 0.93
    far = there.translate_pix(9000, 0)
    (tmp_path / "far.tif").write_bytes(as_tiff(np.zeros((1, *far.shape), np.uint8), far, nodata=255))
    with pytest.raises(BadInput, match=r"far\.tif and before\.tif do not overlap"):
        open_dates(place.files(labels_after=tmp_path / "far.tif"), SETTINGS)


def test_dates_without_common_ground_are_blocked(place: Place, tmp_path: Path) -> None:
    hidden = np.where(np.arange(208) < 40, np.float32(np.nan), place.district.before)
    (tmp_path / "right.tif").write_bytes(as_tiff(hidden, place.district.grid, bands=BANDS, nodata=NODATA))
    files = replace(place.files("hidden"), labelled=replace(place.files().labelled, image=tmp_path / "right.tif"))
    dates = open_dates(files, SETTINGS)
    found = align(dates, load_scene(files.labelled, SETTINGS), SETTINGS)
    assert only(found.measured.checks, "common_ground").verdict == "blocking"


@pytest.mark.parametrize(
    ("after", "days", "verdict", "words"),
    [
        ("after", ("", ""), "ok", "not known"),
        ("after", ("2016-08-24", "2025-02-01"), "warning", "days apart"),
        (NAMED, ("2016-08-24", ""), "warning", "from its name"),
        (NAMED, ("2016-08-24", "2025-08-20"), "ok", "one season"),
    ],
)
def test_another_season_draws_a_warning(
    place: Place, after: str, days: tuple[str, str], verdict: str, words: str
) -> None:
    _, pair = place.checked(after, acquired=days[0], acquired_after=days[1])
    told = only(pair.checks, "season")
    assert told.verdict == verdict
    assert words in told.message


def test_a_day_that_does_not_exist_is_refused(place: Place) -> None:
    with pytest.raises(SettingError, match="2016-02-30"):
        place.checked(acquired="2016-02-30")


def test_a_check_says_what_a_run_would_measure(place: Place) -> None:
    for after in ("shifted", "cropped"):
        second, pair = place.checked(after)
        aligned = place.aligned(after)
        assert pair.checks == aligned.measured.checks
        assert pair.figures == aligned.measured.figures
        assert {c.name: c.verdict for c in aligned.second} == {
            c.name: c.verdict for c in second if c.name not in ("grid_after", "image_after", "bands_after")
        }
        assert ("warped" in only(second, "grid_after").message) == (after == "cropped")


def test_a_check_goes_on_with_a_nameless_second_date(place: Place) -> None:
    second, pair = place.checked("nameless")
    assert only(second, "bands_after").verdict == "warning"
    assert pair.shift.certain
    assert pair.figures == place.checked("after")[1].figures


def test_a_tag_that_one_date_lacks_is_told(place: Place) -> None:
    assert only(place.aligned("untagged").second, "nodata_tags").verdict == "warning"
    assert not [c for c in place.aligned("after").second if c.name == "nodata_tags"]


@pytest.mark.parametrize(
    ("after", "error"), [("bytes", BandMismatch), ("three", BandMismatch), ("elsewhere", BadInput)]
)
def test_a_check_stops_where_nothing_can_be_measured(place: Place, after: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        place.checked(after)


def test_measuring_twice_gives_the_same(place: Place) -> None:
    again = place.align("shifted", correct_shift=True, match_radiometry=True)
    once = place.aligned("shifted", correct_shift=True, match_radiometry=True)
    assert once.measured.figures == again.measured.figures
    assert once.left.figures == again.left.figures
    assert once.notes == again.notes
    window = Window(50, 60, 70, 80)
    a, b = (x.dates.readings[1].read(x.dates.after, window) for x in (once, again))
    assert np.array_equal(a, b, equal_nan=True)
