"""The built-in district keeps its laws: shares, change, colours that overlap, outlines drawn by hand."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from minedetect.synthetic import BANDS, DEFAULT_SIZE_PX, MAX_SIZE_PX, District, make_district

SMALL, SMALLER = (384, 320), (256, 256)
CASES = [(SMALL, 0), (SMALLER, 1), (DEFAULT_SIZE_PX, 0)]


@cache
def district(size_px: tuple[int, int], seed: int) -> District:
    """The district, made once per test run; no test writes into its arrays."""
    return make_district(size_px, seed)


def dates(made: District) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Picture (5, H, W) and truth (H, W) bool of both dates."""
    return [(made.before, made.truth_before == 1), (made.after, made.truth_after == 1)]


def best_iou(index: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The best mine IoU of any threshold on `index` (pixels), on either side of it."""
    hits = np.cumsum(truth[np.argsort(index)])
    below, total, pixels = np.arange(1, len(index) + 1), hits[-1], len(index)
    low = hits / (below + total - hits)
    high = (total - hits) / (pixels - below + hits)
    return float(max(low.max(), high.max()))


@pytest.mark.parametrize(("size_px", "seed"), CASES)
def test_arrays_share_one_grid(size_px: tuple[int, int], seed: int) -> None:
    made = district(size_px, seed)
    assert made.grid.shape == size_px
    assert made.grid.crs == "EPSG:4326"
    assert made.grid.affine.a == -made.grid.affine.e == 8.983e-5
    west, south, east, north = made.grid.boundingbox
    assert west < 27.85 < east
    assert south < -12.52 < north
    for image, truth in ((made.before, made.truth_before), (made.after, made.truth_after)):
        assert image.shape == (len(BANDS), *size_px)
        assert image.dtype == np.float32
        assert truth.shape == size_px
        assert truth.dtype == np.uint8
        assert set(np.unique(truth)) == {0, 1}
        seen = image[np.isfinite(image)]
        assert seen.min() > 0
        assert 0.05 < np.median(seen) < 0.4


@pytest.mark.parametrize(("size_px", "seed"), CASES)
def test_shares_and_change(size_px: tuple[int, int], seed: int) -> None:
    made = district(size_px, seed)
    before, after = made.truth_before == 1, made.truth_after == 1
    for truth in (before, after):
        assert 0.02 <= truth.mean() <= 0.08
    new, gone = (after & ~before).sum() / before.sum(), (before & ~after).sum() / before.sum()
    assert new > 0.2
    assert gone > 0.03
    assert new - gone >= 0.2


@pytest.mark.parametrize(("size_px", "seed"), CASES)
def test_one_mine_grows_one_is_new_one_shrinks(size_px: tuple[int, int], seed: int) -> None:
    made = district(size_px, seed)
    before, after = made.truth_before == 1, made.truth_after == 1
    mines, count = ndimage.label(before | after, structure=np.ones((3, 3)))
    assert count >= 3
    had, has = (np.bincount(mines.ravel(), truth.ravel())[1:] for truth in (before, after))
    assert np.sum((had == 0) & (has > 0)) == 1
    assert np.any((had > 0) & (has > had))
    assert np.any((has > 0) & (has < had))


def test_default_size_has_mines_of_many_sizes_all_over() -> None:
    made = district(DEFAULT_SIZE_PX, 0)
    mines, count = ndimage.label(made.truth_before)
    hectares = np.bincount(mines.ravel())[1:] * 0.0097
    assert count == 7
    assert hectares.min() >= 8
    assert 80 <= hectares.max() <= 120
    quarters = [half for rows in np.array_split(made.truth_before, 2) for half in np.array_split(rows, 2, axis=1)]
    assert sum(bool(quarter.any()) for quarter in quarters) >= 3


def test_same_seed_same_bits_other_seed_other_place() -> None:
    one, again, other = make_district(SMALLER, 1), district(SMALLER, 1), district(SMALLER, 2)
    for name in ("before", "after", "truth_before", "truth_after"):
        assert getattr(one, name).tobytes() == getattr(again, name).tobytes()
    assert one.outlines == again.outlines
    overlap = (one.truth_before & other.truth_before).sum() / (one.truth_before | other.truth_before).sum()
    assert overlap < 0.5


@pytest.mark.parametrize(("size_px", "seed"), CASES)
def test_nodata_is_a_narrow_strip_away_from_mines(size_px: tuple[int, int], seed: int) -> None:
    made = district(size_px, seed)
    strips = []
    for image in (made.before, made.after):
        missing = np.isnan(image)
        assert (missing == missing[0]).all()
        assert 0 < missing[0].mean() <= 0.01
        strips.append(missing[0])
    assert not np.array_equal(*strips)
    to_mine = ndimage.distance_transform_edt((made.truth_before | made.truth_after) == 0)
    assert to_mine[strips[0] | strips[1]].min() > 5


@pytest.mark.parametrize(("size_px", "seed"), [(DEFAULT_SIZE_PX, 0), (SMALL, 0), (SMALLER, 1)])
def test_no_single_index_tells_mines_apart(size_px: tuple[int, int], seed: int) -> None:
    for image, truth in dates(district(size_px, seed)):
        seen = np.isfinite(image[0])
        bands = image[:, seen].astype(np.float64)
        indices = [*bands, bands.mean(0), *((a - b) / (a + b) for a, b in combinations(bands, 2))]
        best = max(best_iou(index, truth[seen]) for index in indices)
        assert 0.15 < best < 0.6


def test_mine_ground_has_the_measured_band_correlations() -> None:
    image, truth = dates(district(DEFAULT_SIZE_PX, 0))[0]
    ground = ndimage.binary_erosion(truth, iterations=2) & (image[3] > 0.12)  # above it no pond
    found = np.asarray(np.corrcoef(image[:, ground]))
    for pair, wanted in {(0, 1): 0.94, (1, 2): 0.94, (2, 3): 0.80, (3, 4): 0.79, (0, 4): 0.52}.items():
        assert found[pair] == pytest.approx(wanted, abs=0.12)


def test_b11_is_smoother_than_b4() -> None:
    made = district(DEFAULT_SIZE_PX, 0)
    inside = ndimage.binary_erosion(made.truth_before, iterations=2)[:, 1:]

    def step(band: str) -> float:
        plane = made.before[BANDS.index(band)]
        return float(np.abs(np.diff(plane, axis=1))[inside].mean() / plane[:, 1:][inside].std())

    assert step("B11") < 0.8 * step("B4")


def test_dates_differ_in_season_and_gain() -> None:
    made = district(DEFAULT_SIZE_PX, 0)
    seen = np.isfinite(made.before[0]) & np.isfinite(made.after[0])
    always = (made.truth_before == 1) & (made.truth_after == 1)
    gain = np.median(made.after[:, always] / made.before[:, always], axis=1)
    assert ((gain > 1.04) & (gain < 1.16)).all()
    assert gain.max() - gain.min() > 0.005
    wild = seen & ((made.truth_before | made.truth_after) == 0)
    red, nir = BANDS.index("B4"), BANDS.index("B8")
    dry, green = (np.median(((i[nir] - i[red]) / (i[nir] + i[red]))[wild]) for i in (made.before, made.after))
    assert green - dry > 0.03


@pytest.mark.parametrize(("size_px", "seed"), CASES)
def test_outlines_follow_the_mines(size_px: tuple[int, int], seed: int) -> None:
    made = district(size_px, seed)
    west, _, _, north = made.grid.boundingbox
    drawn = [shapely.geometry.shape(item["geometry"]) for item in made.outlines["features"]]
    assert all(outline.is_valid for outline in drawn)
    whole = shapely.transform(shapely.union_all(drawn), lambda xy: (xy - [west, north]) / [8.983e-5, -8.983e-5])
    rows, cols = np.nonzero(made.truth_before)
    truth = shapely.union_all(shapely.box(cols, rows, cols + 1, rows + 1))
    assert whole.area == pytest.approx(truth.area, rel=0.03)
    assert whole.intersection(truth).area / whole.union(truth).area >= 0.93
    assert len(shapely.get_coordinates(whole)) < 0.5 * len(shapely.get_coordinates(truth))
    listed = sum(item["properties"]["area_ha"] for item in made.outlines["features"])
    assert listed == pytest.approx(truth.area * 0.0097, rel=0.03)


def test_outlines_have_the_faults_of_a_table_kept_by_hand() -> None:
    outlines = district(DEFAULT_SIZE_PX, 0).outlines
    assert outlines["type"] == "FeatureCollection"
    assert outlines["crs"]["properties"]["name"].endswith("CRS84")
    table = [item["properties"] for item in outlines["features"]]
    ids = [row["id"] for row in table]
    assert len(ids) - len(set(ids)) == 1
    assert {row["status"] for row in table} == {"Active", "active", "acttive", None}
    assert len({row["name"] for row in table}) == len(table)


@pytest.mark.parametrize("size_px", [(191, 256), (256, 100), (5568, 300), (300, MAX_SIZE_PX[1] + 1)])
def test_sizes_out_of_range_are_refused(size_px: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="192 x 192 to 5567 x 3230"):
        make_district(size_px)
