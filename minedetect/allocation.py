"""How many points each stratum of a sample gets, and how many a wanted precision needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minedetect.errors import SettingError

STRATA = ("stable_other", "stable_mine", "new", "gone")
"""Strata of a change map, in the order of their numbers; the reference classes are the same."""
EXPECTED_USERS = (0.95, 0.90, 0.70, 0.60)
"""User's accuracy to expect of each stratum before anything was looked at (Olofsson et al. 2014, section 5.1.1)."""
FEWEST = 2
"""One point of a stratum says nothing about its spread."""

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def allocate(n: int, minimum: int, hectares: Numbers, pixels: Counts) -> Counts:
    """Share points among strata: the rare ones a minimum each, the others the rest in proportion to area.

    Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change",
    Remote Sensing of Environment 148:42-57, section 5.1.2. A stratum is rare when its proportional
    share is below the minimum. One with fewer pixels than its share gives all of them, and the others
    share what is left over.

    Args:
        n: points altogether.
        minimum: least points of a stratum; where `n` is too small for it, all strata share alike.
        hectares: float64 (H,), ground area of each stratum.
        pixels: int64 (H,), its pixels; a stratum without any gets no point.

    Returns:
        int64 (H,), at most `pixels`, adding up to `n` or to all pixels.

    Raises:
        SettingError: `n` gives not even two points to each stratum.
    """
    present = int((pixels > 0).sum())
    if n < FEWEST * present:
        raise SettingError(
            f"--n is {n}, too few for {present} strata: each needs at least {FEWEST} points. "
            f"Give {FEWEST * present} or more; 300 is usual."
        )
    least = min(minimum, n // max(present, 1))
    bounds = np.minimum(least, pixels), pixels
    return _whole(_filled(min(n, int(pixels.sum())), hectares, *bounds), *bounds)


def _filled(n: int, hectares: Numbers, least: Counts, most: Counts) -> Numbers:
    """Shares in proportion to area, held between bounds, that add up to n (by bisection of the density)."""
    low, high = 0.0, float((most[hectares > 0] / hectares[hectares > 0]).max(initial=0.0))
    for _ in range(200):
        density = (low + high) / 2
        if np.clip(density * hectares, least, most).sum() < n:
            low = density
        else:
            high = density
    return np.clip(high * hectares, least, most)


def _whole(shares: Numbers, least: Counts, most: Counts) -> Counts:
    """Round to whole numbers with the same sum: the largest remainders are rounded up."""
    points = np.clip(np.floor(shares + 1e-9).astype(np.int64), least, most)
    for stratum in np.argsort(points - shares, kind="stable")[: round(float(shares.sum())) - int(points.sum())]:
        points[stratum] += 1
    return points


def points_for_error(
    target_error: float, hectares: Numbers, pixels: Counts, users: Sequence[float] = EXPECTED_USERS
) -> int:
    """Points a simple stratified sample needs for a standard error of overall accuracy.

    n = (sum W S)^2 / (V + sum W S^2 / N), S = sqrt(U (1 - U)): Cochran 1977, eq. 5.25; Olofsson et al.
    2014, eq. 13, leaves out the second term, which counts only where the map is small.

    Args:
        target_error: standard error wanted, as a share.
        hectares: float64 (H,), ground area of each stratum.
        pixels: int64 (H,), its pixels.
        users: user's accuracy expected of each.
    """
    weights, spread = hectares / hectares.sum(), np.sqrt(np.asarray(users) * (1 - np.asarray(users)))
    finite = float((weights * spread**2).sum()) / float(pixels.sum())
    return int(np.ceil(float((weights * spread).sum()) ** 2 / (target_error**2 + finite)))
