"""When the two images were taken, and whether in one season."""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from minedetect.errors import SettingError

SEASON_DAYS = 45
FIRST_YEAR, LAST_YEAR = 1972, 2099
"""The first Landsat flew in 1972; an eight-digit number outside these years is no date."""
LEAP_YEAR = 2000
ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
NAME_PATTERNS = (
    re.compile(r"^L[A-Z]\d\d{6}(\d{4})(\d{3})(?!\d)", re.IGNORECASE),  # Landsat before the collections
    re.compile(r"^L[A-Z]\d{2}_[A-Z0-9]+_\d{6}_(\d{4})(\d{2})(\d{2})(?!\d)", re.IGNORECASE),  # Landsat collections
    re.compile(r"_V(\d{4})(\d{2})(\d{2})T\d{6}"),  # old Sentinel-2, whose first date is that of processing
    re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})T\d{6}(?!\d)"),  # Sentinel-2
)
"""Year and day of the year, or year, month and day, in the names of products."""

Source = Literal["given", "file name"]


@dataclass(frozen=True)
class Acquired:
    """The day an image was taken, and how that is known."""

    day: date
    source: Source


@dataclass(frozen=True)
class Season:
    """How far apart in the year two images were taken.

    Args:
        gap_days: 0 to 183, or None when a day is not known.
        doubtful: whether that is another season.
        sentence: for people, with what to do.
    """

    gap_days: int | None
    doubtful: bool
    sentence: str


def acquired(given: str, image: Path) -> Acquired | None:
    """When an image was taken: what the user said, else what a well-known product name says, else None.

    Args:
        given: as 2016-08-24, or "".
        image: only its name is looked at.

    Raises:
        SettingError: the day given does not exist.
    """
    if given:
        return Acquired(_given_day(given), "given")
    for pattern in NAME_PATTERNS:
        if (found := pattern.search(image.name)) and (day := _day(*map(int, found.groups()))):
            return Acquired(day, "file name")
    return None


def season_gap_days(first: date, second: date) -> int:
    """Days between two days of the year, the shorter way round: 0 to 183.

    Both are moved to one leap year, so that the same day of any two years is 0 apart.
    """
    apart = abs((first.replace(year=LEAP_YEAR) - second.replace(year=LEAP_YEAR)).days)
    return min(apart, 366 - apart)


def season_of(first: Acquired | None, second: Acquired | None) -> Season:
    """Compare the days two images were taken on."""
    if first is None or second is None:
        missing = [
            f"of the {which} image with {flag} YYYY-MM-DD"
            for which, flag, known in (("first", "--acquired", first), ("second", "--acquired-after", second))
            if known is None
        ]
        return Season(
            None,
            False,
            "Whether both images show one season is not known: give the day " + " and ".join(missing) + ".",
        )
    gap_days = season_gap_days(first.day, second.day)
    seen = f"The images were taken on {_told(first)} and {_told(second)}, {gap_days} days apart in the year"
    if gap_days <= SEASON_DAYS:
        return Season(gap_days, False, f"{seen}: one season.")
    return Season(
        gap_days,
        True,
        f"{seen}. Fields and grass look different then and can pass for change: use images less than "
        f"{SEASON_DAYS} days apart in the year if you can, and look at new mines on farmland.",
    )


def _told(acquired: Acquired) -> str:
    return acquired.day.isoformat() + (" (from its name)" if acquired.source == "file name" else "")


def _given_day(given: str) -> date:
    day = _day(*map(int, given.split("-"))) if ISO_DAY.fullmatch(given) else None
    if day is None:
        raise SettingError(
            f"{given} is no day of the calendar between {FIRST_YEAR} and {LAST_YEAR}. "
            "Write year, month and day of the image, such as 2016-08-24."
        )
    return day


def _day(year: int, *rest: int) -> date | None:
    """The day of a year and day of the year, or of year, month and day; None when there is no such day."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    if len(rest) == 1:
        return date(year, 1, 1) + timedelta(days=rest[0] - 1) if 1 <= rest[0] <= 365 + isleap(year) else None
    month, day = rest
    return date(year, month, day) if 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1] else None
