"""The estimator against the published example, against laws, and against known truth."""

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage

from minedetect.accuracy import Sampled, area_of, overall, producers, users
from minedetect.allocation import allocate
from minedetect.synthetic import make_district

Numbers = npt.NDArray[np.float64]

# The worked example of Olofsson et al. 2014: deforestation, forest gain, stable forest, stable non-forest.
EXAMPLE = Sampled(
    counts=np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]], float),
    sizes=np.array([0.020, 0.015, 0.320, 0.645]) * 10_000_000 * 900 / 10_000,
    pixels=np.array([0.020, 0.015, 0.320, 0.645]) * 10_000_000,
)


def test_the_published_example_comes_out() -> None:
    deforestation = area_of(EXAMPLE, [0])
    assert deforestation.value == pytest.approx(21_158, abs=0.5)
    assert 1.96 * deforestation.error == pytest.approx(6_158, abs=1)
    assert [round(users(EXAMPLE, i).value, 2) for i in range(4)] == [0.88, 0.73, 0.93, 0.96]
    assert [round(producers(EXAMPLE, i).value, 2) for i in range(4)] == [0.75, 0.85, 0.93, 0.96]
    assert round(overall(EXAMPLE).value, 2) == 0.95
    assert round(1.96 * overall(EXAMPLE).error, 2) == 0.02


def test_all_classes_together_are_the_whole_map_without_error() -> None:
    whole = area_of(EXAMPLE, range(4))
    assert whole.value == pytest.approx(900_000)
    assert whole.error == pytest.approx(0, abs=1e-3)


def test_a_union_takes_the_covariance_of_its_classes_along() -> None:
    one, other, both = (area_of(EXAMPLE, chosen) for chosen in ([0], [3], [0, 3]))
    assert both.value == pytest.approx(one.value + other.value)
    assert both.error < np.hypot(one.error, other.error)  # what is one class is not the other


def test_a_difference_mirrors_and_lies_between_its_limits() -> None:
    net, mirrored = area_of(EXAMPLE, [0], [1]), area_of(EXAMPLE, [1], [0])
    assert net.value == pytest.approx(area_of(EXAMPLE, [0]).value - area_of(EXAMPLE, [1]).value)
    assert (net.low, net.high) == pytest.approx((-mirrored.high, -mirrored.low))
    assert net.low < net.value - net.error < net.value + net.error < net.high


@pytest.mark.slow
def test_standard_errors_are_those_of_many_samples() -> None:
    truth = np.array([[9000, 300, 400, 300], [200, 1500, 200, 100], [60, 20, 300, 20], [40, 30, 10, 220]])
    points = np.array([400, 120, 80, 60])
    drawn = samples_of(truth, points, 4000)
    sizes = truth.sum(axis=1).astype(float)

    def seen(of: "Numbers") -> Sampled:
        return Sampled(of, sizes, sizes)

    every = seen(drawn)
    for plus, minus in (([2], []), ([1, 2], []), ([2], [3])):
        area = area_of(every, plus, minus)
        assert area.value.mean() == pytest.approx(truth[:, plus].sum() - truth[:, minus].sum(), rel=0.02)
        assert np.sqrt((area.error**2).mean()) == pytest.approx(area.value.std(), rel=0.05)
    for figure in (overall, lambda s: users(s, 2), lambda s: producers(s, 2)):
        found = [figure(seen(counts)) for counts in drawn[:1500]]
        spread = np.std([f.value for f in found])
        assert np.sqrt(np.mean([f.error**2 for f in found])) == pytest.approx(spread, rel=0.06)


def test_a_stratum_looked_at_completely_has_no_error() -> None:
    counts = np.array([[3.0, 1.0], [0.0, 1.0]])
    area = area_of(Sampled(counts, np.array([4.0, 1.0]), np.array([4.0, 1.0])), [1])
    assert (area.value, area.error, area.low, area.high) == (2, 0, 2, 2)


def test_one_point_for_many_pixels_has_no_variance() -> None:
    few = Sampled(np.array([[3.0, 1.0], [0.0, 1.0]]), np.array([4.0, 1.0]), np.array([100.0, 100.0]))
    assert np.isnan(area_of(few, [1]).error)
    assert np.isnan(overall(few).error)


def test_an_empty_stratum_adds_nothing_and_one_without_points_is_refused() -> None:
    counts = np.array([[30.0, 10.0], [0.0, 0.0]])
    area = area_of(Sampled(counts, np.array([4.0, 0.0]), np.array([400.0, 0.0])), [1])
    assert area.value == pytest.approx(1)
    assert np.isfinite([area.error, area.low, area.high]).all()
    with pytest.raises(ValueError, match="without a point"):
        Sampled(counts, np.array([4.0, 1.0]), np.array([400.0, 100.0]))


def test_errors_never_seen_still_widen_the_interval_upwards() -> None:
    clean = Sampled(np.array([[150.0, 0], [0, 50.0]]), np.array([7000.0, 100.0]), np.array([7e5, 1e4]))
    area = area_of(clean, [1])
    assert area.error == 0
    assert area.low < 100 < area.value + 0.01 * 7000 < area.high


def samples_of(truth: npt.NDArray[np.int64], points: npt.NDArray[np.int64], draws: int) -> Numbers:
    """Points by stratum and reference class in each of many samples: float64 (draws, H, K).

    Drawing n of a stratum's pixels without replacement gives counts of the multivariate hypergeometric law.
    """
    rng = np.random.default_rng(0)
    strata = [rng.multivariate_hypergeometric(row, n, size=draws) for row, n in zip(truth, points, strict=True)]
    return np.stack(strata, axis=1).astype(float)


def mapped(truth: npt.NDArray[np.uint8], shift: int, grown: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A date's truth as a map might show it: shifted, grown or shrunk, with false patches and missed parts."""
    found = np.roll(truth, shift, axis=(0, 1)).astype(bool)
    change = scipy.ndimage.binary_dilation if grown > 0 else scipy.ndimage.binary_erosion
    found = change(found, iterations=abs(grown)) if grown else found
    rows, cols = np.ogrid[: truth.shape[0], : truth.shape[1]]
    for place in range(20):
        centre = rng.integers(0, truth.shape)
        false = (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 < 12**2
        missed = (rows - centre[1]) ** 2 + (cols - centre[0]) ** 2 < 40**2
        found = (found | false) & ~(missed & (place % 2 == 0))
    return found.astype(np.uint8)


@pytest.fixture(scope="module")
def confused() -> npt.NDArray[np.int64]:
    """Pixels of a whole district by stratum of an erring map and by true class: int64 (4, 4)."""
    district, rng = make_district((1024, 768)), np.random.default_rng(3)
    before, after = mapped(district.truth_before, 1, 1, rng), mapped(district.truth_after, 0, -1, rng)
    numbers = np.array([[0, 2], [3, 1]])  # by first and second date, as in STRATA
    strata, true = numbers[before, after], numbers[district.truth_before, district.truth_after]
    return np.bincount((4 * strata + true).ravel(), minlength=16).reshape(4, 4)


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 1000])
def test_the_interval_covers_the_truth_of_a_district(confused: npt.NDArray[np.int64], n: int) -> None:
    pixels = confused.sum(axis=1)
    points = allocate(n, 50, pixels.astype(float), pixels)
    sampled = Sampled(samples_of(confused, points, 1000), pixels.astype(float), pixels.astype(float))
    for name, classes in (("new", [2]), ("gone", [3]), ("mine after", [1, 2])):
        area, true = area_of(sampled, classes), confused[:, classes].sum()
        covered = float(((area.low <= true) & (true <= area.high)).mean())
        assert 0.93 <= covered <= 0.97, (name, n, covered)
        assert area.value.mean() == pytest.approx(true, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 1000])
def test_intervals_of_accuracies_cover_those_of_a_district(confused: npt.NDArray[np.int64], n: int) -> None:
    pixels = confused.sum(axis=1)
    drawn = samples_of(confused, allocate(n, 50, pixels.astype(float), pixels), 300)
    right = np.diagonal(confused)
    cases = {("overall", 0): (lambda s: overall(s), right.sum() / confused.sum())}
    for i in (1, 2, 3):
        cases["users", i] = (lambda s, i=i: users(s, i), right[i] / pixels[i])
        cases["producers", i] = (lambda s, i=i: producers(s, i), right[i] / confused[:, i].sum())
    for name, (figure, true) in cases.items():
        found = [figure(Sampled(counts, pixels.astype(float), pixels.astype(float))) for counts in drawn]
        assert all(0 <= f.low <= f.value <= f.high <= 1 for f in found), name
        covered = float(np.mean([f.low <= true <= f.high for f in found]))
        assert covered >= 0.92, (name, n, covered)


def test_an_accuracy_of_no_error_seen_reaches_down_and_not_up() -> None:
    clean = Sampled(np.array([[150.0, 0], [0, 50.0]]), np.array([7000.0, 100.0]), np.array([7e5, 1e4]))
    for found in (overall(clean), users(clean, 1), producers(clean, 1)):
        assert (found.value, found.error, found.high) == (1, 0, 1)
        assert found.low < 0.99
    never = Sampled(np.array([[140.0, 10.0], [50.0, 0.0]]), np.array([7000.0, 100.0]), np.array([7e5, 1e4]))
    missed = producers(never, 1)
    assert (missed.value, missed.low) == (0, 0)
    assert 0 < missed.high < 0.1
