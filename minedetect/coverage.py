"""Hectares of many predictions together: ground that several scenes show counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from minedetect.grid import row_bands, shape_of
from minedetect.measure import M2_PER_HA, PixelArea
from minedetect.places import shared_ground_px
from minedetect.raster import MINE, open_raster, read
from minedetect.tiff import UNLIMITED


@dataclass(frozen=True)
class Covered:
    """What one prediction shows, and what of it no earlier one has shown.

    Args:
        mine_ha: mine in the scene.
        observed_ha: ground the scene shows.
        own_mine_ha: mine on ground that no earlier scene shows.
        own_observed_ha: ground that no earlier scene shows.
    """

    mine_ha: float
    observed_ha: float
    own_mine_ha: float
    own_observed_ha: float


def covered(prediction: Path, earlier: Sequence[Path] = ()) -> Covered:
    """Measure a class raster, and its ground that no earlier one observed.

    A pixel counts as shown before when its centre lies in an observed pixel of an earlier raster, so
    the hectares of all rasters together count each place once, to half a pixel of border.

    Args:
        prediction: class raster, 0, 1 or nodata.
        earlier: class rasters that count first, in any coordinate system.

    Raises:
        BadInput: a raster cannot be read.
    """
    raster = open_raster(prediction, UNLIMITED)
    others = [open_raster(path, UNLIMITED).onto(raster.grid, nearest=True) for path in earlier]
    area, total_m2 = PixelArea(raster.grid), np.zeros(4)
    for band in row_bands(shape_of(raster.grid)):
        classes, m2 = read(raster, band)[0], area.m2(band)
        observed, mine = ~np.isnan(classes), classes == MINE
        before = np.zeros(classes.shape, np.bool_)
        for other in others:
            before |= ~np.isnan(read(other, band)[0])
        shown = (mine, observed, mine & ~before, observed & ~before)
        total_m2 += [float(m2[where].sum()) for where in shown]
    return Covered(*(total_m2 / M2_PER_HA).tolist())


def earlier_overlaps(grids: Sequence[GeoBox]) -> list[list[int]]:
    """For each scene the numbers of those before it that share ground with it."""
    shared = shared_ground_px(grids)
    return [[j for j in range(i) if shared[i, j]] for i in range(len(grids))]
