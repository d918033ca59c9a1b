"""What did not change between two dates, how its brightness drifted, and the gains and biases that undo that."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.special

Float = npt.NDArray[np.float32]
Real = npt.NDArray[np.float64]

MOST_ROUNDS = 50
SETTLED = 1e-4
RIDGE = 1e-6
INVARIANT_PROBABILITY = 0.95
LEAST_INVARIANT_PX = 500
LEAST_INVARIANT_SHARE = 0.005
"""One pixel in twenty that did not change is above `INVARIANT_PROBABILITY`: this is a tenth of the scene unchanged."""
KEPT_PROBABILITY = 0.05
MOSTLY_CLIPPED_SHARE = 0.5
"""A band that lies at its limit almost everywhere tells nothing of single pixels."""
LEAST_CORRELATION = 0.6
SPAN_PERCENT = 1.0, 99.0
CONSTANT_SHARE = 1e-5
CLIPPED_SHARE = 0.001
"""A lowest or highest value that so many pixels share is a sensor's limit, not a measurement."""
OFFSET_RANGE = 0.06, 0.16
OFFSET_LEAST = 0.04
"""The +1000 of newer Sentinel-2 products is 0.1 in every band, give or take what season and haze add."""


@dataclass(frozen=True)
class NoChange:
    """What IR-MAD found.

    Args:
        probability: float64 (N,), 0 to 1, that a pixel did not change.
        correlations: of the canonical variates of unchanged ground, highest first.
        rounds: how often the weights were renewed.
    """

    probability: Real
    correlations: tuple[float, ...]
    rounds: int


@dataclass(frozen=True)
class Drift:
    """How much brighter the second date is on invariant pixels, per band.

    Args:
        names: of the bands that vary on both dates; a constant band has no span to drift in.
        mean: mean of second less first, in the images' unit.
        share: the same as a share of the band's span, its 1 to 99 % range on the first date.
        pixels: how many invariant pixels this rests on.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    share: tuple[float, ...]
    pixels: int

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        rows = zip(self.names, self.mean, self.share, strict=True)
        table = ", ".join(f"{name} {mean:+.3f} ({share:+.0%})" for name, mean, share in rows)
        return (
            f"On {self.pixels:,} pixels that look unchanged the second date differs by {table}; "
            "in brackets the share of the band's span."
        )

    @property
    def offset_sign(self) -> int:
        """1 where all bands drifted up by about 0.1, -1 where down, else 0; for reflectance."""
        low, high = OFFSET_RANGE
        for sign in (1, -1):
            if min(sign * m for m in self.mean) > OFFSET_LEAST and low < sign * float(np.median(self.mean)) < high:
                return sign
        return 0


@dataclass(frozen=True)
class Matching:
    """Brings the second date to the first one's brightness: matched = gain * second + bias, per band.

    Args:
        gain: without unit, above 0.
        bias: in the images' unit.
        correlation: of the two dates on unchanged ground, per band.
        pixels: how many invariant pixels the lines were fitted to.
    """

    gain: tuple[float, ...]
    bias: tuple[float, ...]
    correlation: tuple[float, ...]
    pixels: int

    def apply(self, pixels: Float) -> Float:
        """Match pixels of the second date: float32 (C, H, W) or (C, N), NaN kept."""
        shape = (-1, *[1] * (pixels.ndim - 1))
        gain, bias = (np.asarray(v, np.float32).reshape(shape) for v in (self.gain, self.bias))
        matched: Float = gain * pixels + bias
        return matched

    def to_json(self) -> dict[str, Any]:
        return {
            "gain": [round(v, 6) for v in self.gain],
            "bias": [round(v, 6) for v in self.bias],
            "correlation": [round(v, 4) for v in self.correlation],
            "invariant_px": self.pixels,
        }


@dataclass(frozen=True)
class Radiometry:
    """Drift and matching of a pair, or the reason why there is none."""

    drift: Drift | None
    matching: Matching | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        drift, matching = self.drift, self.matching
        rows = zip(drift.names, drift.mean, drift.share, strict=True) if drift else ()
        return {
            "drift": {name: {"mean": round(mean, 5), "share_of_span": round(share, 4)} for name, mean, share in rows},
            "invariant_px": 0 if drift is None else drift.pixels,
            "matching": None if matching is None else matching.to_json(),
            "radiometry_reason": self.reason,
        }


def compare_radiometry(first: Float, second: Float, names: Sequence[str]) -> Radiometry:
    """Find invariant pixels and measure drift and matching on them.

    Args:
        first: float32 or float64 (C, N), without NaN.
        second: the same pixels on the other date, in the same unit.
        names: of the C bands, for the reason.

    Returns:
        Drift and matching; without one of them, the reason says why in words.
    """
    if first.shape[1] < LEAST_INVARIANT_PX:
        return Radiometry(None, None, f"only {first.shape[1]:,} pixels hold a usable value on both dates")
    found = no_change(first, second)
    if not found.correlations:
        return Radiometry(None, None, "every band is constant on one of the dates")
    invariant = found.probability > INVARIANT_PROBABILITY
    count, share = int(invariant.sum()), float(invariant.mean())
    if count < LEAST_INVARIANT_PX or share < LEAST_INVARIANT_SHARE:
        return Radiometry(None, None, f"only {count:,} pixels ({share:.1%}) look unchanged")
    related = _correlation(first, second, found.probability > KEPT_PROBABILITY)
    varied = _varied(first) & _varied(second)
    weak = [n for n, r, v in zip(names, related, varied, strict=True) if v and r < LEAST_CORRELATION]
    if len(weak) == int(varied.sum()) or found.correlations[0] < LEAST_CORRELATION:
        return Radiometry(None, None, "the two dates hardly resemble each other, even where least changed")
    chosen = [n for n, v in zip(names, varied, strict=True) if v]
    drift = _drift(first[varied], second[varied], invariant, chosen)
    if weak:
        return Radiometry(drift, None, f"the dates hardly resemble each other in {', '.join(weak)}")
    if not varied.all():
        still = [n for n in names if n not in chosen]
        return Radiometry(drift, None, f"one date holds a single value in {', '.join(still)}")
    return Radiometry(drift, _matching(first[:, invariant], second[:, invariant], related), "")


def clipped(samples: Float) -> npt.NDArray[np.bool_]:
    """Samples that lie at a band's lowest or highest value together with many others: bool (N,)."""
    found = np.zeros(samples.shape[1], bool)
    for values in samples:
        if values.size and values.min() < values.max():
            for limit in (values.min(), values.max()):
                at_limit = values == limit
                if CLIPPED_SHARE < at_limit.mean() < MOSTLY_CLIPPED_SHARE:
                    found |= at_limit
    return found


def no_change(first: Float, second: Float) -> NoChange:
    """Probability that each pixel did not change, by iteratively re-weighted multivariate alteration detection.

    Canonical correlation analysis finds the combinations of bands in which the dates agree most; the squared,
    standardised differences of these sum to a chi-square of unchanged ground, and its tail weighs the next
    round (Nielsen 2007, IEEE Transactions on Image Processing 16, 463; Canty and Nielsen 2008, Remote Sensing
    of Environment 112, 1025). Weighing by the tail shrinks the variance of the differences, in each round
    again, which drives few bands to ever fewer pixels; it is therefore divided by what the weights leave of
    it on unchanged ground (`_left_by_weights`), so that probabilities mean what they say.

    Args:
        first: float32 or float64 (C, N), without NaN.
        second: likewise.
    """
    kept = _varied(first) & _varied(second)
    both = np.concatenate([_standardised(first[kept]), _standardised(second[kept])])
    count = len(both) // 2
    if not count:
        return NoChange(np.ones(first.shape[1]), (), 0)
    weights, last, left = np.ones(both.shape[1]), np.zeros(count), 1.0
    for number in range(1, MOST_ROUNDS + 1):
        to_u, to_v, unlike, centre = _canonical(both, weights)
        unlike = np.minimum(unlike / left, 1.0)
        differences = np.concatenate([to_u, -to_v]).T @ both - centre[:, None]
        squared = np.einsum("cn,c,cn->n", differences, 1 / (2 * unlike), differences)
        weights = _tail(count, squared)
        moved = float(np.abs(1 - unlike - last).max())
        last, left = 1 - unlike, _left_by_weights(count)
        if moved < SETTLED and number > 1:
            break
    return NoChange(weights, tuple(float(v) for v in last), number)


def _tail(count: int, squared: Real) -> Real:
    """Probability that a chi-square of `count` degrees is larger; one degree has a far quicker form."""
    return np.asarray(scipy.special.erfc(np.sqrt(squared / 2)) if count == 1 else scipy.special.chdtrc(count, squared))


@functools.cache
def _left_by_weights(count: int) -> float:
    """Share of its variance that unchanged ground keeps when weighed by its own chi-square tail.

    With R2 and S2 independent chi-squares of `count` degrees, the weighted mean of R2 is E[min(R2, S2)],
    which is the integral of the squared tail; 1 - 2 / pi = 0.363 for one band.
    """
    squared = np.linspace(0, 60 + 4 * count, 20_001)
    tail = _tail(count, squared)
    return float(np.trapezoid(tail**2, squared)) / count


def _varied(pixels: Float) -> npt.NDArray[np.bool_]:
    """Which bands hold more than one value, rounding apart: bool (C,)."""
    values = pixels.astype(np.float64)
    return np.asarray(values.std(axis=1) > CONSTANT_SHARE * np.abs(values).max(axis=1, initial=1e-30))


def _standardised(pixels: Float) -> Real:
    values = pixels.astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    return np.asarray(values / values.std(axis=1, keepdims=True))


def _canonical(both: Real, weights: Real) -> tuple[Real, Real, Real, Real]:
    """Weighted canonical correlation analysis of the first C with the last C rows of (2 C, N).

    Returns:
        (C, C) combinations of the first and of the last as columns, of unit weighted variance; (C,) one less their
        correlations, smallest first; (C,) the weighted mean of their differences.
    """
    count, total = len(both) // 2, float(weights.sum())
    mean = both @ weights / total
    joint = (both * weights) @ both.T / total - np.outer(mean, mean)
    # Bands that are nearly one another's copy would make the covariance singular.
    joint[np.diag_indices(2 * count)] *= 1 + RIDGE
    halves = [_inverse_root(joint[part, part]) for part in (slice(0, count), slice(count, None))]
    left, correlations, right = scipy.linalg.svd(halves[0] @ joint[:count, count:] @ halves[1])
    to_u, to_v = halves[0] @ left, halves[1] @ right.T
    unlike = np.clip(1 - correlations, 1e-9, 1.0)
    return to_u, to_v, unlike, to_u.T @ mean[:count] - to_v.T @ mean[count:]


def _inverse_root(covariance: Real) -> Real:
    values, vectors = scipy.linalg.eigh(covariance)
    floor = RIDGE * max(float(values[-1]), 1e-30)
    return np.asarray((vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T)


def _correlation(first: Float, second: Float, kept: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Correlation of the dates per band over the kept pixels; 0 where a band is constant."""
    found = []
    for a, b in zip(first[:, kept].astype(np.float64), second[:, kept].astype(np.float64), strict=True):
        spread = float(a.std() * b.std())
        found.append(float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0)
    return tuple(found)


def _drift(first: Float, second: Float, invariant: npt.NDArray[np.bool_], names: Sequence[str]) -> Drift:
    mean = (second[:, invariant].astype(np.float64) - first[:, invariant]).mean(axis=1)
    low, high = np.percentile(first, SPAN_PERCENT, axis=1)
    # A band with one odd pixel among equal ones varies, but its percentiles do not.
    span = np.where(high > low, high - low, np.ptp(first, axis=1))
    return Drift(tuple(names), tuple(map(float, mean)), tuple(map(float, mean / span)), int(invariant.sum()))


def _matching(first: Float, second: Float, related: tuple[float, ...]) -> Matching:
    """Lines through invariant pixels by orthogonal regression (Canty et al. 2004, RSE 91, 441).

    Both dates are brought to one spread first, which makes the slope the ratio of the spreads (reduced major
    axis): so the matched values do not depend on the unit or gain that the second date came with.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    gain = a.std(axis=1) / b.std(axis=1)
    bias = a.mean(axis=1) - gain * b.mean(axis=1)
    return Matching(tuple(map(float, gain)), tuple(map(float, bias)), related, a.shape[1])
