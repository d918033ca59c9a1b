"""The strata of a run's change map: what lies in each, and pixels drawn from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from minedetect.allocation import STRATA
from minedetect.change import GONE, NEW
from minedetect.errors import BadInput, RunError
from minedetect.files import sha256_of
from minedetect.grid import Window, crop, require_same_grid, row_bands, to_lonlat
from minedetect.measure import PixelArea, zone_hectares
from minedetect.raster import IGNORE, MINE, Raster, open_raster, read
from minedetect.runs import CHANGE_MAP, SUMMARY, Run, prediction_name, require_date_labels
from minedetect.tiff import UNLIMITED

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StrataMap:
    """The change map of a run and the classes of its first date, read by bands of rows.

    Args:
        change: the change map.
        before: the class raster of the first date.
        years: labels of the dates.
    """

    change: Raster
    before: Raster
    years: tuple[str, str]

    @property
    def grid(self) -> GeoBox:
        return self.change.grid

    def hashes(self) -> dict[str, str]:
        """SHA-256 of both files by name: what a sample was drawn for."""
        return {raster.path.name: sha256_of(raster.path) for raster in (self.change, self.before)}

    def bands(self) -> Iterator[tuple[Window, npt.NDArray[np.uint8]]]:
        """From top to bottom, stratum of each pixel: uint8 (h, W), its number in STRATA; IGNORE without data.

        Raises:
            BadInput: the two files contradict each other.
        """
        for window in row_bands(self.change.shape):
            change, before = read(self.change, window)[0], read(self.before, window)[0]
            fits = ((change == 0) & (before <= MINE)) | ((change == NEW) & (before == 0))
            if (~(fits | (change == GONE) & (before == MINE) | np.isnan(change))).any():
                raise BadInput(
                    "STRATA",
                    f"{self.before.path.name} does not fit {CHANGE_MAP}: one of them is of another run. Run it again.",
                )
            strata = np.full(change.shape, IGNORE, np.uint8)
            for number, chosen in enumerate((before != MINE, before == MINE)):
                strata[(change == 0) & chosen] = number
            strata[change == NEW], strata[change == GONE] = STRATA.index("new"), STRATA.index("gone")
            yield window, strata


def open_strata(run: Run) -> StrataMap:
    """The change map of a finished run.

    Raises:
        RunError: there is none.
        GridMismatch: its files lie on different grids.
    """
    years = _years(run)
    for name in (CHANGE_MAP, prediction_name(years[0])):
        if not run.has(name):
            raise RunError(f"{run.root} has no {name}. A sample is drawn from a finished run or `change`.")
    change, before = (open_raster(run.path(n), UNLIMITED) for n in (CHANGE_MAP, prediction_name(years[0])))
    require_same_grid(change.grid, before.grid, f"{CHANGE_MAP} and {before.path.name}")
    return StrataMap(change, before, years)


def _years(run: Run) -> tuple[str, str]:
    try:
        first, second = (str(year) for year in run.read_json(SUMMARY)["years"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run.path(SUMMARY)} does not say which two dates it compares. Run it again.") from error
    require_date_labels((first, second))  # they become file names
    return first, second


def tally(strata: StrataMap) -> tuple[Counts, Numbers]:
    """Pixels, int64 (H,), and true ground hectares, float64 (H,), of each stratum."""
    pixels, hectares = np.zeros(len(STRATA), np.int64), np.zeros(len(STRATA))
    for window, numbers in strata.bands():
        pixels += np.bincount(numbers[numbers != IGNORE], minlength=len(STRATA))
        hectares += zone_hectares(numbers, crop(strata.grid, window), len(STRATA))
    return pixels, hectares


def draw(strata: StrataMap, pixels: Counts, points: Counts, seed: int) -> Counts:
    """Draw pixels of each stratum without replacement, each with the same chance.

    The pixels of a stratum are numbered from top to bottom; numbers are drawn first and found in
    one more pass, so that memory does not grow with the scene.

    Args:
        strata: where to draw.
        pixels: int64 (H,), how many there are, from `tally`.
        points: int64 (H,), how many to draw.
        seed: of the draw.

    Returns:
        int64 (n, 3): stratum, row and column, in random order.
    """
    rng = np.random.default_rng(seed)
    wanted = [np.sort(rng.choice(total, n, replace=False)) for total, n in zip(pixels, points, strict=True)]
    passed, found = np.zeros(len(STRATA), np.int64), []
    for window, numbers in strata.bands():
        for stratum, chosen in enumerate(wanted):
            there = np.flatnonzero(numbers == stratum)
            here = chosen[(chosen >= passed[stratum]) & (chosen < passed[stratum] + len(there))] - passed[stratum]
            row, col = np.divmod(there[here], window.width)
            found.append(np.stack([np.full(len(row), stratum), row + window.row, col], axis=1))
            passed[stratum] += len(there)
    return rng.permutation(np.concatenate(found))


def places(grid: GeoBox, rows: Counts, cols: Counts) -> tuple[Numbers, Numbers, Numbers]:
    """Longitude and latitude in degrees of pixel centres, and ground area of the pixels in m2: each float64 (n,)."""
    t, col, row = grid.transform, cols + 0.5, rows + 0.5
    lon, lat = to_lonlat(grid).transform(t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f)
    area = PixelArea(grid)
    m2 = [area.m2(Window(int(r), int(c), 1, 1))[0, 0] for r, c in zip(rows, cols, strict=True)]
    return np.asarray(lon, float), np.asarray(lat, float), np.asarray(m2)
