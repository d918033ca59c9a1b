"""Calibration gives back true odds, keeps the order of pixels, and its threshold keeps the area."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.calibrate import (
    THRESHOLDS,
    Calibration,
    Cuts,
    Tenths,
    best_threshold,
    fit,
    reliability,
    steady_threshold,
)
from minedetect.measure import count

N = 200_000


def true_probability(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with a few per cent of mines, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(-rng.normal(-4, 2.5, N)))
    return probability, rng.random(N) < probability


def bent(probability: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    log_odds = np.log(probability / (1 - probability))
    return 1 / (1 + np.exp(-(slope * log_odds + intercept)))


def test_a_calibrated_input_stays() -> None:
    fitted = fit(*true_probability())
    assert fitted.slope == pytest.approx(1, abs=0.03)
    assert fitted.intercept == pytest.approx(0, abs=0.06)
    assert fitted.fitted


@pytest.mark.parametrize(("slope", "intercept"), [(1, np.log(20)), (1, -2), (0.5, 1), (2, -1), (1.5, 3)])
def test_bent_odds_come_back(slope: float, intercept: float) -> None:
    probability, labels = true_probability()
    raw = bent(probability, slope, intercept)
    fitted = fit(raw, labels)
    assert fitted.slope == pytest.approx(1 / slope, rel=0.05)
    assert fitted.intercept == pytest.approx(-intercept / slope, abs=0.15)
    calibrated = fitted.probability(raw)
    assert calibrated.mean() == pytest.approx(labels.mean(), rel=0.02)
    for row in reliability(calibrated, labels):
        assert row["probability"] == pytest.approx(row["mine_share"], abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_pixels_never_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.random(5000)
    fitted = fit(raw, rng.random(5000) < (1 - raw if seed % 2 else raw))
    assert fitted.slope > 0
    assert (np.diff(fitted.probability(np.sort(raw))) >= 0).all()


def test_probability_stays_in_range_and_keeps_shape_and_nan() -> None:
    raw = np.array([[0.0, 1e-9, 0.5], [1.0, 0.9, np.nan]], np.float32)
    seen = Calibration(slope=3, intercept=8).probability(raw)
    assert seen.dtype == np.float32
    assert seen.shape == raw.shape
    assert (np.isnan(seen) == np.isnan(raw)).all()
    assert np.nanmin(seen) >= 0
    assert np.nanmax(seen) <= 1
    assert Calibration().probability(np.array([0.3]))[0] == pytest.approx(0.3)


def test_a_perfect_separation_stays_finite() -> None:
    labels = np.arange(1000) < 30
    fitted = fit(np.where(labels, 1.0, 0.0), labels)
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    assert ((fitted.probability(np.where(labels, 1.0, 0.0)) >= fitted.threshold) == labels).all()


@pytest.mark.parametrize("labels", [np.zeros(50, int), np.ones(50, int)])
def test_one_class_alone_fits_nothing(labels: np.ndarray) -> None:
    assert fit(np.linspace(0, 1, 50), labels) == Calibration()
    assert not Calibration().fitted


def iou_at(threshold: float, probability: np.ndarray, mine: np.ndarray) -> float:
    called = probability >= threshold
    return float((called & mine).sum() / (called | mine).sum())


def test_the_threshold_is_within_a_hundredth_of_the_best_iou_and_nearest_in_area() -> None:
    probability, mine = true_probability()
    chosen = best_threshold(probability, mine)
    ious = np.array([iou_at(t, probability, mine) for t in THRESHOLDS])
    errors = np.array([abs(int((probability >= t).sum()) - int(mine.sum())) for t in THRESHOLDS])
    good = ious >= ious.max() - 0.01
    assert iou_at(chosen, probability, mine) >= ious.max() - 0.01
    assert abs(int((probability >= chosen).sum()) - int(mine.sum())) == errors[good].min()


def test_among_near_ties_the_area_decides() -> None:
    mine = np.arange(10_000) < 1000
    probability = np.where(mine, 0.9, 0.01)
    probability[995:1000] = 0.3
    probability[1000:1005] = 0.31
    probability[1005:1010] = 0.2
    chosen = best_threshold(probability, mine)
    assert (probability >= chosen).sum() == 1000 - 5 + 5


def test_a_value_at_the_threshold_is_mine() -> None:
    mine = np.array([True] * 10 + [False] * 90)
    chosen = best_threshold(np.where(mine, THRESHOLDS[40], 0.0), mine)
    assert chosen <= THRESHOLDS[40]
    assert iou_at(chosen, np.where(mine, THRESHOLDS[40], 0.0), mine) == 1


def test_a_calibration_round_trips_through_json() -> None:
    told = fit(*true_probability(1))
    assert Calibration.from_json(json.loads(json.dumps(told.to_json()))) == told


def test_reliability_counts_every_pixel_once() -> None:
    probability, mine = true_probability()
    probability[:2] = 0, 1
    rows = reliability(probability, mine)
    assert sum(row["pixels"] for row in rows) == N
    assert sum(row["pixels"] * row["mine_share"] for row in rows) == pytest.approx(mine.sum(), abs=0.5)
    assert len(rows) == 10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.3, 4), (2, -3), (30, 0), (0.02, 0)])
def test_calibrated_probabilities_add_up_to_the_labelled_pixels(slope: float, intercept: float, dtype: type) -> None:
    """A logistic regression with an intercept does; Platt's smoothed targets move the sum by less than a pixel.

    It holds at the bounds of the slope too (the last two), since the intercept is free there.
    """
    probability, labels = true_probability()
    raw = bent(probability, slope, intercept).astype(dtype)
    inner = (raw > 1e-6) & (raw < 1 - 1e-6)
    calibrated = fit(raw[inner], labels[inner]).probability(raw[inner])
    assert calibrated.sum(dtype=np.float64) == pytest.approx(labels[inner].sum(), abs=1 + 1e-4 * labels.sum())


def test_between_mines_and_the_rest_the_threshold_keeps_away_from_both() -> None:
    mine = np.arange(1000) < 100
    chosen = best_threshold(np.where(mine, 0.9, 0.1), mine)
    assert chosen == pytest.approx(0.5, abs=0.011)


@st.composite
def pixels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, some of them thresholds themselves, labels, and areas."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    size = draw(st.integers(1, 300))
    probability = np.where(rng.random(size) < 0.3, rng.choice(THRESHOLDS, size), rng.random(size)).astype(np.float32)
    return probability, rng.random(size) < draw(st.sampled_from([0, 0.1, 0.5, 1])), rng.uniform(50, 150, size)


@given(pixels(), st.floats(0.01, 0.99))
def test_one_count_gives_what_each_threshold_gives(
    given_pixels: tuple[np.ndarray, np.ndarray, np.ndarray], threshold: float
) -> None:
    probability, mine, area = given_pixels
    cuts = Cuts.of(probability, mine, area, Cuts.edges_with(threshold))
    assert cuts.edges[cuts.place_of(threshold)] == np.float32(threshold)
    for edge, counts, hectares in zip(cuts.edges, cuts.counts(), cuts.predicted_ha(), strict=True):
        called = probability >= edge
        assert counts == count(called, mine.astype(np.uint8))
        assert hectares == pytest.approx(area[called].sum() / 1e4)
    assert cuts.labelled_ha == pytest.approx(area[mine].sum() / 1e4)
    assert (np.diff(cuts.predicted_ha()) <= 0).all(), "a higher threshold never calls more ground mine"


@given(pixels(), st.integers(0, 300))
def test_counts_of_parts_add_up(given_pixels: tuple[np.ndarray, np.ndarray, np.ndarray], cut: int) -> None:
    probability, mine, area = given_pixels
    edges = Cuts.edges_with(0.42)
    parts = [Cuts.of(probability[s], mine[s], area[s], edges) for s in (slice(cut), slice(cut, None))]
    whole = Cuts.of(probability, mine, area, edges)
    assert (parts[0] + parts[1]).counts() == whole.counts()
    assert (parts[0] + parts[1]).predicted_ha() == pytest.approx(whole.predicted_ha())
    tenths = [Tenths.of(probability[s], mine[s]) for s in (slice(cut), slice(cut, None))]
    together = Tenths.of(probability, mine)
    assert (tenths[0] + tenths[1]).rows() == together.rows()
    assert (tenths[0] + tenths[1]).brier == pytest.approx(together.brier)


@given(pixels())
def test_tenths_equal_a_count_by_hand(given_pixels: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    probability, mine, _ = given_pixels
    tenths = Tenths.of(probability, mine)
    p = probability.astype(np.float64)
    which = np.minimum((p * 10).astype(int), 9)
    gaps = [abs(p[which == b].mean() - mine[which == b].mean()) * (which == b).mean() for b in np.unique(which)]
    assert tenths.ece == pytest.approx(sum(gaps))
    assert tenths.brier == pytest.approx(((p - mine) ** 2).mean())
    shares = [row["mine_share"] * row["pixels"] for row in tenths.rows()]
    assert sum(shares) / mine.size == pytest.approx(mine.mean(), abs=1e-6)
    assert tenths.mine_share == pytest.approx(mine.mean())


def test_calibration_makes_both_errors_smaller() -> None:
    probability, labels = true_probability()
    raw = bent(probability, 0.6, 2)
    before, after = Tenths.of(raw, labels), Tenths.of(fit(raw, labels).probability(raw), labels)
    assert after.ece < 0.05 * before.ece
    assert after.brier < before.brier
    assert after.brier < labels.mean() * (1 - labels.mean()), "better than naming the share of mines everywhere"


def test_without_pixels_nothing_is_wrong() -> None:
    empty = Tenths.of(np.zeros(0), np.zeros(0, bool))
    assert (empty.ece, empty.brier, empty.mine_share, empty.rows()) == (0, 0, 0, [])


def ground(seed: int, share: float, odd: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of one place and its labels; on an odd one mines look half as likely as elsewhere."""
    rng = np.random.default_rng(seed)
    mine = rng.random(4000) < share
    log_odds = rng.normal(np.where(mine, -1.0 if odd else 1.5, -3.0), 1.0)
    return (1 / (1 + np.exp(-log_odds))).astype(np.float32), mine


def pooled_iou(probability: np.ndarray, mine: np.ndarray, threshold: float) -> float:
    called = probability >= np.float32(threshold)
    return float((called & mine).sum() / (called | mine).sum())


def test_of_places_that_are_all_alike_the_threshold_is_that_of_the_best_iou() -> None:
    probability, mine = ground(0, 0.2)
    five, which = np.tile(probability, 5), np.repeat(np.arange(5), 4000)
    chosen = steady_threshold(five, np.tile(mine, 5), which)
    best = max(pooled_iou(probability, mine, t) for t in THRESHOLDS)
    assert pooled_iou(probability, mine, chosen) == pytest.approx(best)


def test_one_odd_place_pulls_the_threshold_less_than_its_pixels_would() -> None:
    """Its mines are many and look unlike the others; on average over draws it is often not there at all."""
    places = [ground(seed, 0.05) for seed in range(6)] + [ground(9, 0.9, odd=True)]
    probability, mine = (np.concatenate(part) for part in zip(*places, strict=True))
    which = np.repeat(np.arange(7), 4000)
    usual = best_threshold(probability[which < 6], mine[which < 6])
    pulled, steady = best_threshold(probability, mine), steady_threshold(probability, mine, which)
    assert abs(steady - usual) < abs(pulled - usual)


@given(order=st.permutations(range(4)))
def test_the_order_of_places_hardly_matters(order: list[int]) -> None:
    parts = [ground(seed, 0.1) for seed in range(4)]
    probability, mine = (np.concatenate(part) for part in zip(*(parts[k] for k in order), strict=True))
    which = np.repeat(np.arange(4), 4000)
    assert steady_threshold(probability, mine, which) == pytest.approx(
        steady_threshold(
            np.concatenate([p for p, _ in parts]), np.concatenate([m for _, m in parts]), np.repeat(np.arange(4), 4000)
        ),
        abs=0.06,
    )


def test_calibration_of_one_place_is_that_without_places() -> None:
    probability, mine = ground(0, 0.2)
    alone = fit(probability, mine.astype(np.uint8))
    assert fit(probability, mine.astype(np.uint8), np.zeros(mine.size, np.int64)) == alone
