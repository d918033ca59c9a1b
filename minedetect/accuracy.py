"""From a stratified sample to error-adjusted areas, accuracies, and intervals that hold when errors are rare.

Estimators are those of Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land
change", Remote Sensing of Environment 148:42-57. Shapes: H strata (map classes), K reference classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.stats

Numbers = npt.NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sampled:
    """What was seen at the points of a stratified sample.

    Args:
        counts: float64 (..., H, K), points by stratum and reference class; need not be whole where points
            count by the ground area of their pixel. Leading axes hold several samples.
        sizes: float64 (H,), area of each stratum, any unit.
        pixels: float64 (H,), pixels of each stratum; infinite leaves out the finite population correction.
    """

    counts: Numbers
    sizes: Numbers
    pixels: Numbers

    def __post_init__(self) -> None:
        if ((self.points == 0) & (self.sizes > 0)).any():
            raise ValueError("a stratum without a point has no estimate")

    @property
    def points(self) -> Numbers:
        """Points of each stratum: float64 (..., H)."""
        points: Numbers = self.counts.sum(axis=-1)
        return points

    @property
    def shares(self) -> Numbers:
        """Share of each reference class in each stratum: float64 (..., H, K); 0 in an empty stratum."""
        shares: Numbers = self.counts / np.maximum(self.points, 1e-9)[..., None]
        return shares

    @property
    def left(self) -> Numbers:
        """Share of each stratum that was not looked at, 1 - n / N: the finite population correction."""
        whole = np.maximum(self.pixels, self.points)
        left: Numbers = 1 - np.divide(self.points, whole, out=np.ones_like(self.points), where=whole > 0)
        return np.where(left < 1e-9, 0.0, left)  # points that count by area add up to whole numbers but nearly

    def variance(self, spread: Numbers) -> Numbers:
        """Variance of a share of each stratum from the spread of its points, such as p (1 - p): float64 (..., H).

        0 in a stratum that was looked at completely, nan where one point stands for several pixels.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = self.left * spread / (self.points - 1)
        return np.where(self.left == 0, 0.0, np.where(self.points < 1.5, np.nan, variance))


@dataclass(frozen=True)
class Area:
    """An error-adjusted area with its standard error and 95 % interval, in the unit of the strata's sizes."""

    value: Numbers
    error: Numbers
    low: Numbers
    high: Numbers


def area_of(sampled: Sampled, plus: Sequence[int], minus: Sequence[int] = ()) -> Area:
    """Area of a union of reference classes, or of one union less another.

    The value is sum A_h p_h and its variance sum A_h^2 p_h (1 - p_h) / (n_h - 1) (eq. 9 to 11), where p_h is the
    share of the whole union, so that the covariance of its classes is in it; for a difference of disjoint unions
    the variance in a stratum is p + q - (p - q)^2. The interval is not value +- 1.96 errors: where errors
    are rare in a large stratum that covers far less than 95 % (measured: docs/decisions/0011-sample.md). Each
    stratum gets the Jeffreys interval of its share (Brown, Cai and DasGupta 2001, Statistical Science 16:101-133),
    and distances from value to limit are added in squares (Zou, Huang and Zhang 2009, Computational Statistics
    and Data Analysis 53:1080-1085).

    Args:
        sampled: what was seen.
        plus: numbers of reference classes that count.
        minus: those that count against them; disjoint from `plus`.
    """
    n, size = sampled.points, sampled.sizes
    p, q = (sampled.shares[..., list(chosen)].sum(axis=-1) for chosen in (plus, minus))
    variance = sampled.variance(p + q - (p - q) ** 2)
    value: Numbers = ((p - q) * size).sum(axis=-1)
    down, up = (np.sqrt((sampled.left * size**2 * d).sum(axis=-1)) for d in _squared_distances(p, q, n, bool(minus)))
    return Area(value, np.sqrt((size**2 * variance).sum(axis=-1)), value - down, value + up)


def _squared_distances(p: Numbers, q: Numbers, n: Numbers, difference: bool) -> tuple[Numbers, Numbers]:
    """Squared distances from p - q to its lower and upper limit in each stratum.

    Without a difference those of p alone. With one, by Zou and Donner 2008, Statistics in Medicine 27:1693-1702,
    for shares that are correlated because they exclude each other.
    """
    p_down, p_up = _distances(p, n)
    if not difference:
        return p_down**2, p_up**2
    q_down, q_up = _distances(q, n)
    rest = (1 - p) * (1 - q)
    tied = np.sqrt(np.divide(p * q, rest, out=np.zeros_like(rest), where=rest > 0))  # minus their correlation
    return p_down**2 + q_up**2 + 2 * tied * p_down * q_up, p_up**2 + q_down**2 + 2 * tied * p_up * q_down


def _distances(p: Numbers, n: Numbers) -> tuple[Numbers, Numbers]:
    """From a share of n points down and up to its Jeffreys limits, which reach 0 and 1 where p does."""
    tail = (1 - CONFIDENCE) / 2
    low, high = (scipy.stats.beta.ppf(side, n * p + 0.5, n * (1 - p) + 0.5) for side in (tail, 1 - tail))
    return p - np.where(n * p < 1e-6, 0.0, low), np.where(n * (1 - p) < 1e-6, 1.0, high) - p


def unseen(sampled: Sampled) -> Numbers:
    """Largest area of each stratum that a class none of its points showed may still hold: float64 (..., H)."""
    _, up = _distances(np.zeros_like(sampled.points), sampled.points)
    area: Numbers = np.sqrt(sampled.left) * sampled.sizes * up
    return area


@dataclass(frozen=True)
class Accuracy:
    """A share of correct map with its standard error and 95 % interval; nan where undefined."""

    value: float
    error: float
    low: float
    high: float


UNDEFINED = Accuracy(*[float("nan")] * 4)


def overall(sampled: Sampled) -> Accuracy:
    """Share of the area whose map class is right (eq. 1 and 5); stratum h is mapped as class h.

    The interval is made as that of an area, see `area_of`.
    """
    weights, right = sampled.sizes / sampled.sizes.sum(), np.diagonal(sampled.shares)
    variance = weights**2 * sampled.variance(right * (1 - right))
    value, (low, high) = float((weights * right).sum()), _limits(sampled, weights, right)
    return Accuracy(value, float(np.sqrt(variance.sum())), low, high)


def users(sampled: Sampled, stratum: int) -> Accuracy:
    """Share of a stratum that is what the map says (eq. 2 and 6), with its Jeffreys interval."""
    if sampled.points[stratum] == 0:
        return UNDEFINED
    right = np.diagonal(sampled.shares)
    only = np.arange(len(right)) == stratum
    error = float(np.sqrt(sampled.variance(right * (1 - right))[stratum]))
    return Accuracy(float(right[stratum]), error, *_limits(sampled, only.astype(np.float64), right))


def producers(sampled: Sampled, stratum: int) -> Accuracy:
    """Share of a reference class that the map shows as it (eq. 3 and 7).

    It is 1 / (1 + r), where r is the area that the map misses over the area that it finds. They lie in different
    strata, so they vary apart, and r gets the limits of a ratio from theirs (Donner and Zou 2012, Statistical
    Methods in Medical Research 21:347-359).
    """
    shares = sampled.shares[:, stratum]
    area = sampled.sizes * shares
    if area.sum() <= 0:
        return UNDEFINED
    own = np.arange(len(area)) == stratum
    found = area[stratum] / area.sum()
    lever = sampled.sizes * np.where(own, 1 - found, -found)
    variance = (lever**2 * sampled.variance(shares * (1 - shares))).sum() / area.sum() ** 2
    hit, missed = (float(area[own].sum()), float(area[~own].sum()))
    low, high = _ratio_limits(
        (missed, *_limits(sampled, sampled.sizes * ~own, shares)), (hit, *_limits(sampled, sampled.sizes * own, shares))
    )
    return Accuracy(float(found), float(np.sqrt(variance)), 1 / (1 + high), 1 / (1 + low))


def _limits(sampled: Sampled, weights: Numbers, shares: Numbers) -> tuple[float, float]:
    """Limits of sum w p over the strata, as those of an area."""
    value = (weights * shares).sum()
    down, up = (np.sqrt((sampled.left * weights**2 * d**2).sum()) for d in _distances(shares, sampled.points))
    return float(value - down), float(value + up)


def _ratio_limits(top: tuple[float, float, float], bottom: tuple[float, float, float]) -> tuple[float, float]:
    """Limits of a ratio of two independent figures of at least 0, each given with its own limits.

    Roots of r^2 u (2 b - u) - 2 r t b + l (2 t - l) = 0 and its mirror; the lower one is written so that the
    division is by no small number.
    """
    t, t_low, t_high = top
    b, b_low, b_high = bottom
    a, c = b_high * (2 * b - b_high), t_low * (2 * t - t_low)
    lower_by = t * b + np.sqrt(max((t * b) ** 2 - a * c, 0.0))
    low = c / lower_by if lower_by > 0 else 0.0
    a, c = b_low * (2 * b - b_low), t_high * (2 * t - t_high)
    high = (t * b + np.sqrt(max((t * b) ** 2 - a * c, 0.0))) / a if a > 0 else np.inf
    return float(low), float(high)
