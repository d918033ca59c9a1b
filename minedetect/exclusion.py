"""Outlines that somebody wants left out: neither mine nor background, their ground is unknown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from minedetect.errors import SettingError
from minedetect.findings import listed
from minedetect.labels import Labels, mask_on, outline_zones
from minedetect.raster import IGNORE, MINE, Mask


def without(labels: Labels, numbers: Collection[int]) -> Labels:
    """Labels with some outlines set aside; the others keep their numbers.

    Args:
        labels: of one file.
        numbers: `Outline.index` of those to leave out.

    Raises:
        SettingError: there is no such outline, none would be left, or the labels are a mask raster.
    """
    wanted = set(numbers)
    if not wanted:
        return labels
    if labels.is_mask:
        raise SettingError(f"--exclude-mine leaves out outlines; {labels.path.name} is a mask raster and has none.")
    missing = sorted(wanted - {o.index for o in labels.outlines})
    if missing:
        raise SettingError(
            f"There is no outline {listed([str(n) for n in missing])} in {labels.path.name} to leave out: they are "
            f"numbered 1 to {len(labels.outlines)}. Choose --exclude-mine among these."
        )
    kept = tuple(o for o in labels.outlines if o.index not in wanted)
    if not kept:
        raise SettingError(f"All outlines of {labels.path.name} would be left out. Keep at least one.")
    return replace(labels, outlines=kept, left_out=tuple(o for o in labels.outlines if o.index in wanted))


def drawn_mask(labels: Labels, grid: GeoBox) -> Mask:
    """Labels on an image's grid as `labels.mask_on` draws them, unknown on the ground of outlines left out.

    Ground that a kept outline covers too stays mine.

    Returns:
        uint8 (H, W): 0 background, 1 mine, 255 unknown.

    Raises:
        BadInput, GridMismatch: as `labels.mask_on`.
    """
    mask = mask_on(labels, grid)
    if labels.left_out:
        aside = outline_zones(replace(labels, outlines=labels.left_out), grid) > 0
        mask[aside & (mask != MINE)] = IGNORE
    return mask


def sentence(labels: Labels) -> str:
    """Which outlines were left out, with their hectares as drawn; "" for none."""
    if not labels.left_out:
        return ""
    named = listed([f"{o.index} {o.name}".strip() + f" ({o.hectares():,.1f} ha)" for o in labels.left_out])
    return f"Left out on request: outline {named}. Its ground counts as unknown: it teaches nothing and is not judged."


def own_numbers(labels: Labels) -> npt.NDArray[np.int32]:
    """From a position in `labels.outlines` (from 1) to the outline's own number: int32 (n + 1,), 0 stays 0."""
    return np.array([0, *(o.index for o in labels.outlines)], np.int32)
