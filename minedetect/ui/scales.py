"""How a setting is asked for: the kind of widget and its marks, from nothing but the setting's type and limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from minedetect.presets import ALL_FIELDS, PRESETS, limits

LEAST_MARKS = 30
"""So many marks a slider has at least: it must not be coarser than people choose."""
MOST_MARKS = 300
"""Whole numbers with more marks than that are told apart badly by hand."""
SPREAD = 50
"""A number usually so many times below its upper limit is one of those that people change by factors."""
MARKS_A_DECADE = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
NAMES_THINGS = 10_000
"""Whole numbers that go farther are typed: a seed, the number of a mine."""


@dataclass(frozen=True)
class Switch:
    """On or off."""


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Slide:
    """A number on an even scale; `low`, `high` and `step` are of the setting's own type."""

    low: float
    high: float
    step: float

    def reaching(self, value: float) -> Slide:
        """The scale, long enough for a value that was chosen elsewhere."""
        return Slide(min(self.low, value), max(self.high, value), self.step)


@dataclass(frozen=True)
class Ladder:
    """A number on a scale of growing steps; `marks` rise and are of the setting's own type."""

    marks: tuple[float, ...]

    def with_mark(self, value: float) -> tuple[float, ...]:
        """The marks, and a value that was chosen elsewhere among them."""
        return self.marks if value in self.marks else tuple(sorted((*self.marks, value)))


@dataclass(frozen=True)
class Typed:
    """A whole number that is typed."""

    low: int
    high: int


Scale = Switch | Choice | Slide | Ladder | Typed


def scale_of(name: str) -> Scale | None:
    """What a setting is asked with; None for text and lists, which no scale can offer.

    Args:
        name: of a setting.
    """
    field = ALL_FIELDS[name]
    if field.annotation is bool:
        return Switch()
    words = get_args(field.annotation)
    if words and all(isinstance(word, str) for word in words):
        return Choice(words)
    low, high = limits(name)
    if low is None or high is None:
        return None
    if field.annotation is int:
        return _whole(name, int(low), int(high), int(field.default))
    return _real(name, float(low), float(high), float(field.default))


def _whole(name: str, low: int, high: int, usual: int) -> Scale:
    unit = max(int(_rule(name, "multiple_of") or 1), 1)
    if high - low > NAMES_THINGS:
        return Typed(low, high)
    steps = (unit << k for k in range((high - low).bit_length(), -1, -1))
    step = next(s for s in steps if s == unit or (low % s == 0 and high - low >= LEAST_MARKS * s and _on(name, low, s)))
    if (high - low) / step > MOST_MARKS and usual <= high / 10:
        return Ladder(tuple(int(m) for m in _marks(low, high) if m == int(m)))
    return Slide(low, high, step)


def _real(name: str, low: float, high: float, usual: float) -> Scale:
    if 0 <= low <= usual <= high / SPREAD and (usual or high >= 2 * SPREAD):
        least = low or (usual or high / 100) / 100
        floor = () if low or _rule(name, "gt") is not None else (low,)
        return Ladder((*floor, *_marks(least, high)))
    steps = (mantissa * 10.0**power for power in range(3, -7, -1) for mantissa in (5, 1))
    step = next(s for s in steps if high - low >= LEAST_MARKS * s and _on(name, low, s))
    first = low if _rule(name, "gt") is None else low + step
    last = high if _rule(name, "lt") is None else high - step
    return Slide(*(float(f"{bound:.9g}") for bound in (first, last, step)))


def _rule(name: str, kind: str) -> float | None:
    return next((getattr(rule, kind) for rule in ALL_FIELDS[name].metadata if hasattr(rule, kind)), None)


def _on(name: str, low: float, step: float) -> bool:
    """Whether the default and every preset's value lie on the marks of a step."""
    marks = [(value - low) / step for value in _known(name)]
    return all(math.isclose(mark, round(mark), abs_tol=1e-6) for mark in marks)


def _known(name: str) -> Iterator[Any]:
    yield ALL_FIELDS[name].default
    yield from (values[name] for _, values in PRESETS.values() if name in values)


def _marks(low: float, high: float) -> Iterable[float]:
    """Ten marks a decade from `low` to `high`, with both of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    between = {float(f"{m}e{d}") for d in decades for m in MARKS_A_DECADE}
    return sorted({low, high, *(mark for mark in between if low < mark < high)})
