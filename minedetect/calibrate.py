"""From what the network says to a probability, and from a probability to a class: both fitted on validation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize

from minedetect.measure import M2_PER_HA, Counts

EPSILON = 1e-6
THRESHOLDS = np.linspace(0.05, 0.95, 91)
SHOWN_THRESHOLDS = np.linspace(0.05, 0.95, 19)
TENTHS = 10
IOU_SLACK = 0.01
"""Thresholds this near the best IoU count as equally good; among them areas decide."""

LOG_ODDS_BINS = 65_536
"""Over the 27.6 that log-odds span: a bin is so narrow that its mean stands for each of its pixels."""
THRESHOLD_DRAWS = 500

Values = npt.NDArray[np.floating[Any]]
Mines = npt.NDArray[np.bool_]


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


def fit(raw: Values, labels: npt.NDArray[Any], places: npt.NDArray[np.integer] | None = None) -> Calibration:
    """Fit Platt scaling (Platt 1999) and the threshold on validation pixels at their natural share.

    The targets are smoothed as Platt proposes, so that a perfect separation stays finite. See
    `best_threshold`, and for ground of several places `steady_threshold`.

    Args:
        raw: (N,) network probability of mine, blended as in prediction.
        labels: (N,), 0 or 1.
        places: (N,), number of the independent piece of ground a pixel lies on, from 0; None for one.

    Returns:
        The calibration; its slope is positive, so that the order of pixels never changes.
    """
    mine = labels == 1
    positives, negatives = int(mine.sum()), int((~mine).sum())
    if not positives or not negatives:
        return Calibration()
    scaled = _platt(raw, mine, ((positives + 1) / (positives + 2), 1 / (negatives + 2)))
    probability = scaled.probability(raw)
    if places is None or len(np.unique(places[mine])) == 1:
        threshold = best_threshold(probability, mine)
    else:
        threshold = steady_threshold(probability, mine, places)
    return Calibration(scaled.slope, scaled.intercept, threshold, fitted=True)


def _platt(raw: Values, mine: Mines, targets: tuple[float, float]) -> Calibration:
    """The slope and intercept of the least cross-entropy against the targets of mine and of the rest.

    The search runs until its gradient is zero: then the probabilities add up to the labels.
    """
    x, weight, target = _by_log_odds(raw, mine, targets)

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        slope = np.exp(parameters[0])
        z = slope * x + parameters[1]
        error = weight * (1 / (1 + np.exp(-z)) - target)
        value = weight @ (np.logaddexp(0, z) - target * z)
        return float(value), np.array([error @ x * slope, error.sum()])

    best = scipy.optimize.minimize(
        loss,
        np.zeros(2),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-3, 2), (-15, 15)],
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    return Calibration(slope=float(np.exp(best.x[0])), intercept=float(best.x[1]))


def _by_log_odds(
    raw: Values, mine: Mines, targets: tuple[float, float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pixels gathered by log-odds, so that a search over millions costs what one over thousands does.

    Returns:
        Mean log-odds, share of all pixels, and mean target of each bin that holds any.
    """
    inner = np.clip(raw, EPSILON, 1 - EPSILON)
    log_odds = np.log(inner / (1 - inner), dtype=np.float64)
    highest = np.log((1 - EPSILON) / EPSILON)
    bins = np.clip((log_odds / highest + 1) / 2 * LOG_ODDS_BINS, 0, LOG_ODDS_BINS - 1).astype(np.int32)
    every, hits = (np.bincount(b, minlength=LOG_ODDS_BINS) for b in (bins, bins[mine]))
    used = every > 0
    every, hits = every[used], hits[used]
    x = np.bincount(bins, weights=log_odds, minlength=LOG_ODDS_BINS)[used] / every
    return x, every / mine.size, (hits * targets[0] + (every - hits) * targets[1]) / every


def best_threshold(probability: Values, mine: Mines) -> float:
    """The threshold of `THRESHOLDS` with the best IoU, near-ties decided by area, and equal ones by the middle.

    Among thresholds whose IoU lies within 0.01 of the best, the one whose mine area is nearest the labelled
    area is taken: hectares are what the user publishes. Where mines and the rest lie far apart many thresholds
    give the same map; the middle one keeps away from both.
    """
    edges = THRESHOLDS.astype(np.float32)  # as predictions compare, so that no pixel changes sides
    bins = np.searchsorted(edges, np.asarray(probability, np.float32), side="right")
    predicted, hits = (_at_or_above(np.bincount(b, minlength=len(edges) + 1)) for b in (bins, bins[mine]))
    labelled = int(mine.sum())
    iou = hits / np.maximum(predicted + labelled - hits, 1)
    area_error = np.where(iou >= iou.max() - IOU_SLACK, np.abs(predicted - labelled), np.inf)
    equal = np.flatnonzero(area_error == area_error.min())
    return float(THRESHOLDS[equal[(len(equal) - 1) // 2]])


def steady_threshold(probability: Values, mine: Mines, places: npt.NDArray[np.integer]) -> float:
    """The mean of the best thresholds of many bootstrap draws of places (bagging; Efron 1979, Breiman 1996).

    A single place must not decide: one large mine there would choose what suits no other. Equals count as their mean.

    Args:
        probability: (N,) calibrated.
        mine: bool (N,), which are labelled mine.
        places: (N,), number of the place of each, from 0.
    """
    edges = THRESHOLDS.astype(np.float32)
    bins = np.searchsorted(edges, np.asarray(probability, np.float32), side="right")
    wide, count = len(edges) + 1, int(places.max()) + 1
    predicted, hits = (
        _at_or_above(np.bincount(p * wide + b, minlength=count * wide).reshape(count, wide))
        for p, b in ((places, bins), (places[mine], bins[mine]))
    )
    labelled = np.bincount(places[mine], minlength=count)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=THRESHOLD_DRAWS)
    union = draws @ predicted + (draws @ labelled)[:, None] - draws @ hits
    iou = (draws @ hits) / np.maximum(union, 1)
    equal = iou >= iou.max(axis=1, keepdims=True) - 1e-9
    return round(float(((equal @ THRESHOLDS) / equal.sum(axis=1)).mean()), 2)


def _at_or_above(bins: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """From (..., T + 1) per bin to (..., T): all from each edge upwards."""
    return bins[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]


@dataclass(frozen=True)
class Cuts:
    """Known pixels by probability, from which the score and area at every threshold follow; parts add up.

    Args:
        edges: float32 (T,), rising thresholds; bin 0 lies under the first, bin T from the last upwards.
        pixels: int64 (2, T + 1), those that are not mine and those that are, per bin.
        area_m2: float64 (2, T + 1), their ground area.
    """

    edges: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.int64]
    area_m2: npt.NDArray[np.float64]

    @staticmethod
    def edges_with(threshold: float) -> npt.NDArray[np.float32]:
        """The thresholds to show and the chosen one among them: float32 (T,)."""
        return np.unique(np.append(SHOWN_THRESHOLDS, threshold).astype(np.float32))

    @classmethod
    def of(
        cls, probability: Values, mine: Mines, area_m2: npt.NDArray[np.float64], edges: npt.NDArray[np.float32]
    ) -> Cuts:
        """Count pixels, (N,) each, into the bins between edges."""
        size = len(edges) + 1
        bins = np.searchsorted(edges, np.asarray(probability, np.float32), side="right") + size * mine
        pixels = np.bincount(bins, minlength=2 * size)
        area = np.bincount(bins, weights=area_m2, minlength=2 * size).astype(np.float64)
        return cls(edges, pixels.reshape(2, size), area.reshape(2, size))

    def __add__(self, other: Cuts) -> Cuts:
        return Cuts(self.edges, self.pixels + other.pixels, self.area_m2 + other.area_m2)

    def place_of(self, threshold: float) -> int:
        """Position of a threshold among the edges."""
        return int(np.searchsorted(self.edges, np.float32(threshold)))

    def counts(self) -> list[Counts]:
        """Hits, false alarms and misses at each edge."""
        other, mine = self.pixels.sum(axis=1).tolist()
        above = _at_or_above(self.pixels).T.tolist()
        return [Counts(tp=tp, fp=fp, fn=mine - tp, tn=other - fp) for fp, tp in above]

    def predicted_ha(self) -> list[float]:
        """Ground called mine at each edge, hectares."""
        hectares: list[float] = (_at_or_above(self.area_m2.sum(axis=0)) / M2_PER_HA).tolist()
        return hectares

    @property
    def labelled_ha(self) -> float:
        return float(self.area_m2[1].sum()) / M2_PER_HA


@dataclass(frozen=True)
class Tenths:
    """Pixels by tenth of probability, from which calibration is judged; parts add up.

    Args:
        pixels: int64 (10,).
        mine: int64 (10,), those of them that are mine.
        probability: float64 (10,), the sum of their probabilities.
        squared: sum over all pixels of the squared distance of probability and label.
    """

    pixels: npt.NDArray[np.int64]
    mine: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    squared: float

    @classmethod
    def of(cls, probability: Values, mine: Mines) -> Tenths:
        """Count pixels, (N,) each, without NaN."""
        p = np.asarray(probability, np.float64)
        bins = np.minimum((p * TENTHS).astype(np.int64), TENTHS - 1)
        return cls(
            np.bincount(bins, minlength=TENTHS),
            np.bincount(bins[mine], minlength=TENTHS),
            np.bincount(bins, weights=p, minlength=TENTHS).astype(np.float64),
            float(np.sum((p - mine) ** 2)),
        )

    def __add__(self, other: Tenths) -> Tenths:
        return Tenths(
            self.pixels + other.pixels,
            self.mine + other.mine,
            self.probability + other.probability,
            self.squared + other.squared,
        )

    def rows(self) -> list[dict[str, float]]:
        """Mean probability against the share that is mine, per tenth that holds pixels."""
        return [
            {"probability": round(p / n, 6), "mine_share": round(m / n, 6), "pixels": n}
            for n, m, p in zip(self.pixels.tolist(), self.mine.tolist(), self.probability.tolist(), strict=True)
            if n
        ]

    @property
    def mine_share(self) -> float:
        return float(self.mine.sum() / max(int(self.pixels.sum()), 1))

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of probability and mine share over tenths, weighted by pixels.

        Naeini, Cooper & Hauskrecht 2015 (AAAI), of the probability of mine; Guo et al. 2017 (ICML), eq. 3.
        """
        return float(np.abs(self.probability - self.mine).sum() / max(int(self.pixels.sum()), 1))

    @property
    def brier(self) -> float:
        """Mean squared distance of probability and label (Brier 1950, halved as is usual for two classes)."""
        return self.squared / max(int(self.pixels.sum()), 1)


def reliability(probability: Values, mine: Mines) -> list[dict[str, float]]:
    """Mean probability against the share that is mine, per tenth of probability; (N,) each."""
    return Tenths.of(probability, mine).rows()
