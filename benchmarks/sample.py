"""How often a sample's 95 % interval covers the truth, on the built-in district with maps of known errors.

    python benchmarks/sample.py

Coverage in percent over 2,000 samples, for the interval that `estimate` gives and for value +- 1.96 standard
errors, and the mean width of each as a share of the true hectares.
"""

import numpy as np
import scipy.ndimage

from minedetect.accuracy import Sampled, area_of
from minedetect.allocation import allocate
from minedetect.synthetic import make_district

DRAWS = 2000
NUMBERS = np.array([[0, 2], [3, 1]])
FIGURES = {"new": ([2], []), "gone": ([3], []), "after": ([1, 2], []), "net": ([2], [3])}
MAPS = {  # per date: shift (px), pixels grown, false patches of 12 px radius, places of 40 px radius missed
    "few errors": ((1, 0, 2, 1), (0, 0, 2, 1)),
    "some": ((1, 0, 6, 5), (0, -1, 6, 5)),
    "many": ((1, 1, 20, 10), (0, -1, 20, 10)),
    "misses only": ((0, 0, 0, 0), (0, -2, 0, 25)),
}


def err(truth, shift, grown, false, missed, rng):
    """A date as an erring map shows it."""
    found = np.roll(truth, shift, axis=(0, 1)).astype(bool)
    if grown:
        change = scipy.ndimage.binary_dilation if grown > 0 else scipy.ndimage.binary_erosion
        found = change(found, iterations=abs(grown))
    rows, cols = np.ogrid[: truth.shape[0], : truth.shape[1]]
    for count, radius, value in ((false, 12, True), (missed, 40, False)):
        for row, col in rng.integers(0, truth.shape, (count, 2)):
            found[(rows - row) ** 2 + (cols - col) ** 2 < radius**2] = value
    return found.astype(np.uint8)


def main():
    """Print the table."""
    district = make_district((1024, 768))
    true = NUMBERS[district.truth_before, district.truth_after]
    print("map n figure: covered by estimate (width), by +- 1.96 (width)")
    for name, (before, after) in MAPS.items():
        rng = np.random.default_rng(3)
        mapped = NUMBERS[err(district.truth_before, *before, rng), err(district.truth_after, *after, rng)]
        table = np.bincount((4 * mapped + true).ravel(), minlength=16).reshape(4, 4)
        pixels = table.sum(axis=1)
        for n in (300, 1000):
            points = allocate(n, 50, pixels.astype(float), pixels)
            strata = [rng.multivariate_hypergeometric(t, p, DRAWS) for t, p in zip(table, points, strict=True)]
            sampled = Sampled(np.stack(strata, 1).astype(float), pixels.astype(float), pixels.astype(float))
            for figure, (plus, minus) in FIGURES.items():
                area, truth = area_of(sampled, plus, minus), table[:, plus].sum() - table[:, minus].sum()
                told = []
                wald = area.value - 1.96 * area.error, area.value + 1.96 * area.error
                for low, high in ((area.low, area.high), wald):
                    covered = 100 * ((low <= truth) & (truth <= high)).mean()
                    told.append(f"{covered:5.1f} ({(high - low).mean() / abs(truth):.2f})")
                print(f"{name:12} {n:5} {figure:6} {'  '.join(told)}")


if __name__ == "__main__":
    main()
