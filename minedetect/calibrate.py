"""From what the network says to a probability, and from a probability to a class: both fitted on validation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize

EPSILON = 1e-6
THRESHOLDS = np.linspace(0.05, 0.95, 91)
IOU_SLACK = 0.01
"""Thresholds this near the best IoU count as equally good; among them areas decide."""

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Calibration:
    """Two-parameter Platt scaling and the threshold chosen after it.

    Args:
        slope: multiplies the network's log-odds.
        intercept: added to it.
        threshold: calibrated probability from which a pixel is mine.
        fitted: whether validation pixels decided these, or they are the neutral start.
    """

    slope: float = 1.0
    intercept: float = 0.0
    threshold: float = 0.5
    fitted: bool = False

    def probability(self, raw: Values) -> npt.NDArray[np.float32]:
        """Calibrated probability of raw network probability: float32, same shape, NaN kept."""
        inner = np.clip(raw, EPSILON, 1 - EPSILON)
        log_odds = np.log(inner / (1 - inner))
        calibrated = 1 / (1 + np.exp(-(self.slope * log_odds + self.intercept)))
        return np.asarray(calibrated, dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Calibration:
        return cls(
            slope=float(content["slope"]),
            intercept=float(content["intercept"]),
            threshold=float(content["threshold"]),
            fitted=bool(content["fitted"]),
        )


def fit(raw: Values, labels: npt.NDArray[Any]) -> Calibration:
    """Fit Platt scaling (Platt 1999) and the threshold on validation pixels at their natural share.

    The targets are smoothed as Platt proposes, so that a perfect separation stays finite. Among
    thresholds whose IoU lies within 0.01 of the best, the one whose mine area is nearest the
    labelled area is taken: hectares are what the user publishes.

    Args:
        raw: (N,) network probability of mine, blended as in prediction.
        labels: (N,), 0 or 1.

    Returns:
        The calibration; its slope is positive, so that the order of pixels never changes.
    """
    mine = labels == 1
    inner = np.clip(np.asarray(raw, dtype=np.float64), EPSILON, 1 - EPSILON)
    log_odds = np.log(inner / (1 - inner))
    positives, negatives = int(mine.sum()), int((~mine).sum())
    if not positives or not negatives:
        return Calibration()
    target = np.where(mine, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        slope = np.exp(parameters[0])
        z = slope * log_odds + parameters[1]
        softplus = np.logaddexp(0, z)
        error = 1 / (1 + np.exp(-z)) - target
        return float(np.mean(softplus - target * z)), np.array([np.mean(error * log_odds) * slope, np.mean(error)])

    best = scipy.optimize.minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-3, 2), (-15, 15)])
    scaled = Calibration(slope=float(np.exp(best.x[0])), intercept=float(best.x[1]))
    threshold = best_threshold(scaled.probability(inner), mine)
    return Calibration(scaled.slope, scaled.intercept, threshold, fitted=True)


def best_threshold(probability: Values, mine: npt.NDArray[np.bool_]) -> float:
    """The threshold of `THRESHOLDS` with the best IoU, near-ties decided by area."""
    bins = np.searchsorted(THRESHOLDS, probability, side="right")
    predicted = np.bincount(bins, minlength=len(THRESHOLDS) + 1)[::-1].cumsum()[::-1][1:]
    hits = np.bincount(bins[mine], minlength=len(THRESHOLDS) + 1)[::-1].cumsum()[::-1][1:]
    labelled = int(mine.sum())
    iou = hits / np.maximum(predicted + labelled - hits, 1)
    area_error = np.abs(predicted - labelled) / max(labelled, 1)
    good = iou >= iou.max() - IOU_SLACK
    return float(THRESHOLDS[int(np.argmin(np.where(good, area_error, np.inf)))])


def reliability(probability: Values, mine: npt.NDArray[np.bool_], bins: int = 10) -> list[dict[str, float]]:
    """Mean probability against the share that is mine, per tenth of probability."""
    which = np.minimum((np.asarray(probability) * bins).astype(int), bins - 1)
    table = []
    for b in range(bins):
        inside = which == b
        if inside.any():
            table.append(
                {
                    "probability": round(float(probability[inside].mean()), 4),
                    "mine_share": round(float(mine[inside].mean()), 4),
                    "pixels": int(inside.sum()),
                }
            )
    return table
