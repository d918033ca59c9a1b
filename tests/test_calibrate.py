"""Calibration gives back true odds, keeps the order of pixels, and its threshold keeps the area."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minedetect.calibrate import THRESHOLDS, Calibration, best_threshold, fit, reliability

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
    assert sum(row["pixels"] * row["mine_share"] for row in rows) == pytest.approx(mine.sum(), rel=0.01)
    assert len(rows) == 10
