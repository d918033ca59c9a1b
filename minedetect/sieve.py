"""From probabilities to classes: threshold, and patches below a size merged into what surrounds them."""

from __future__ import annotations

import math

import numpy as np
import rasterio.features
from odc.geo.geobox import GeoBox

from minedetect.grid import Window
from minedetect.measure import M2_PER_HA, PixelArea
from minedetect.raster import IGNORE, Float, Mask


def classified(probability: Float, threshold: float) -> Mask:
    """0 or 1 by a threshold, IGNORE where the probability is NaN: uint8, same shape."""
    return np.where(np.isnan(probability), IGNORE, probability >= np.float32(threshold)).astype(np.uint8)


def sieved(classes: Mask, grid: GeoBox, min_patch_ha: float) -> Mask:
    """Merge patches below a size into what surrounds them (8-connected); nodata is left alone.

    Args:
        classes: uint8 (H, W), 0, 1 or IGNORE.
        grid: where it lies.
        min_patch_ha: smallest patch kept; 0 keeps all.
    """
    centre = Window(grid.shape[0] // 2, grid.shape[1] // 2, 1, 1)
    pixel_ha = float(PixelArea(grid).m2(centre)[0, 0]) / M2_PER_HA
    smallest_px = math.ceil(min_patch_ha / pixel_ha - 1e-9)
    observed = classes != IGNORE
    if smallest_px < 2 or not observed.any():
        return classes
    kept: Mask = rasterio.features.sieve(classes, smallest_px, mask=observed, connectivity=8)
    kept[~observed] = IGNORE
    return kept
