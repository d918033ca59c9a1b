"""Levels and noise of curves that wobble from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from minedetect.curves import Epoch

WINDOW = 3
"""Epochs that are averaged before levels are compared: a single epoch may be luck."""


def best(history: Sequence[Epoch]) -> Epoch | None:
    """The epoch whose weights are kept; None before the first that has an IoU."""
    return next((row for row in history if row.epoch == history[-1].kept_epoch), None)


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Mean level at the start and at the end."""
    width = max(1, min(WINDOW, len(values) // 2))
    return mean(values[:width]), mean(values[-width:])


def mean(values: Sequence[float]) -> float:
    """Mean of those that are numbers; nan, which is neither more nor less than anything, where none is."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def windows(values: Sequence[float]) -> list[float]:
    """Mean of each few neighbours, in order."""
    return [mean(values[at : at + WINDOW]) for at in range(max(1, len(values) - WINDOW + 1))]


def lowest(values: Sequence[float]) -> int:
    """Where the lowest few neighbours begin."""
    means = windows(values)
    at: Callable[[int], float] = means.__getitem__
    return min((n for n in range(len(means)) if math.isfinite(means[n])), key=at, default=0)


def noise(values: Sequence[float]) -> float:
    """The usual step from one epoch to the next: the median, which a few large ones do not move."""
    steps = [abs(b - a) for a, b in pairwise(values) if math.isfinite(b - a)]
    return median(steps) if steps else 0.0
