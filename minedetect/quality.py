"""Checks on image, labels and mask before any training: each ends in a verdict and one sentence of advice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from odc.geo.geobox import GeoBox

from minedetect.attributes import check_attributes
from minedetect.edges import SMALL_PATCH_PX, Border, Patched, border_of, holes, patches
from minedetect.findings import Check, Verdict, counted, listed, worst
from minedetect.grid import crs_name, describe, shape_of
from minedetect.labels import Labels, Outline, outline_zones
from minedetect.measure import zone_hectares
from minedetect.outlines import Drawn, check_outlines, hidden, place
from minedetect.raster import IGNORE, MINE, Mask, require_shape

FEW_MINE_SHARE = 0.002
MANY_MINE_SHARE = 0.5
MOST_UNKNOWN = 0.5
INVALID_SHARE = 0.05
RAGGED_SHARE = 0.5


@dataclass(frozen=True)
class Quality:
    """All findings on one image and its labels, with the figures behind them."""

    checks: tuple[Check, ...]
    figures: dict[str, Any]

    @property
    def verdict(self) -> Verdict:
        return worst(self.checks)

    @property
    def blocking(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.verdict == "blocking")

    def to_json(self) -> dict[str, Any]:
        return {"verdict": self.verdict, "checks": [asdict(c) for c in self.checks], **self.figures}


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Args:
        grid: the image's grid.
        observed: bool (H, W), where every band was observed.
        mask: uint8 (H, W), the labels on the grid.
        labels: where the mask came from.
        tile_px: side of a training tile.
        mine_definition: what counts as mine, as the user put it.
        zones: int32 (H, W), number of the outline (from 1) that owns each pixel; None to find out.
    """

    grid: GeoBox
    observed: npt.NDArray[np.bool_]
    mask: Mask
    labels: Labels
    tile_px: int
    mine_definition: str = ""
    zones: npt.NDArray[np.int32] | None = None


@dataclass(frozen=True)
class _Measured:
    """What of a subject is measured once and looked at by several checks.

    Args:
        mine_ha: labelled.
        unobserved_mine_ha: the part of it that the image does not show.
        mine_share: of all pixels.
        invalid_share: of all pixels, those without an observation.
        patches: connected mine pixels.
        holes: ground enclosed by mine.
        holes_ha: hectares of it.
        border: what one pixel of border is worth.
        drawn: the outlines on the image; () for a mask raster.
    """

    mine_ha: float
    unobserved_mine_ha: float
    mine_share: float
    invalid_share: float
    patches: Patched
    holes: Patched
    holes_ha: float
    border: Border
    drawn: tuple[Drawn, ...]

    @property
    def mine_px(self) -> int:
        return int(self.patches.size_px.sum())

    @property
    def edge_share(self) -> float:
        return self.border.edge_px / max(self.mine_px, 1)


def check(subject: Subject) -> Quality:
    """Run every check that applies.

    Raises:
        GridMismatch: mask or observations are not of the grid's shape.
    """
    measured = _measure(subject)
    checks = [
        *_grid_checks(subject),
        _definition(subject.mine_definition),
        _balance(measured),
        _observed(measured),
        _unknown(subject.mask),
        _edges(measured),
        _border(measured),
    ]
    coarse: list[bool] = []
    if measured.drawn:
        found, coarse = check_outlines(measured.drawn, subject.grid)
        checks += found + check_attributes(measured.drawn)
    checks += [Check("labels", "warning", note) for note in subject.labels.notes]
    return Quality(tuple(checks), _figures(subject, measured, coarse))


def _measure(subject: Subject) -> _Measured:
    grid, mask = subject.grid, subject.mask
    for array in (mask, subject.observed):
        require_shape(array, grid)
    mine = mask == MINE
    # Observed mine pixels are 1, unobserved ones 2: one pass over the areas for both.
    _, seen_ha, unseen_ha = zone_hectares(mine.view(np.uint8) + (mine & ~subject.observed), grid, 3)
    drawn: tuple[Drawn, ...] = ()
    if not subject.labels.is_mask:
        zones = outline_zones(subject.labels, grid) if subject.zones is None else subject.zones
        drawn = place(subject.labels.outlines, grid, zones, subject.observed)
    enclosed = holes(mask)
    return _Measured(
        mine_ha=float(seen_ha + unseen_ha),
        unobserved_mine_ha=float(unseen_ha),
        mine_share=float(mine.mean()),
        invalid_share=float(1 - subject.observed.mean()),
        patches=patches(mask),
        holes=enclosed,
        holes_ha=float(enclosed.hectares(grid).sum()),
        border=border_of(mask, grid),
        drawn=drawn,
    )


def _figures(subject: Subject, measured: _Measured, coarse: Sequence[bool]) -> dict[str, Any]:
    grid, border = subject.grid, measured.border
    return {
        "grid": describe(grid),
        "crs": crs_name(grid),
        "transform": [float(v) for v in tuple(grid.transform)[:6]],
        "shape": list(shape_of(grid)),
        "bounds": [float(v) for v in grid.extent.boundingbox.bbox],
        "mine_definition": subject.mine_definition,
        "mine_ha": round(measured.mine_ha, 2),
        "mine_share": round(measured.mine_share, 6),
        "mine_px": measured.mine_px,
        "unknown_px": int((subject.mask == IGNORE).sum()),
        "invalid_share": round(measured.invalid_share, 6),
        "unobserved_mine_ha": round(measured.unobserved_mine_ha, 2),
        "patches": measured.patches.count,
        "small_patches": measured.patches.small,
        "holes": measured.holes.count,
        "holes_ha": round(measured.holes_ha, 2),
        "edge_share": round(measured.edge_share, 6),
        "border_ha": {"wider": round(border.wider_ha, 2), "narrower": round(border.narrower_ha, 2)},
        "polygons": [_drawn_json(d, c) for d, c in zip(measured.drawn, coarse, strict=True)],
        "left_out": [outline_json(o) for o in subject.labels.left_out],
    }


def outline_json(outline: Outline) -> dict[str, Any]:
    """One outline's attributes and geodesic hectares; null where a number is not finite."""
    return {
        "index": outline.index,
        "id": outline.id,
        "name": outline.name,
        "status": outline.status,
        "status_given": outline.status_given,
        "claimed_ha": None if outline.claimed_ha is None else _finite(outline.claimed_ha),
        "hectares": _finite(round(outline.hectares(), 2)),
        "repair_ha": _finite(round(outline.repair_ha, 2)),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _drawn_json(drawn: Drawn, too_coarse: bool) -> dict[str, Any]:
    return outline_json(drawn.outline) | {
        "outside_ha": round(drawn.outside_ha, 2),
        "mask_ha": round(drawn.mask_ha, 2),
        "unobserved_ha": round(drawn.unobserved_ha, 2),
        "coarse": too_coarse,
    }


def _grid_checks(subject: Subject) -> list[Check]:
    shape = shape_of(subject.grid)
    found = [
        Check("grid", "ok", f"Mask and image agree in CRS, transform, shape and bounds: {describe(subject.grid)}.")
    ]
    if min(shape) < subject.tile_px:
        found.append(
            Check(
                "size",
                "warning",
                f"The scene of {shape[0]} x {shape[1]} px is smaller than a tile of {subject.tile_px} px. "
                "It can be part of several scenes; alone it needs a smaller --tile-px.",
            )
        )
    return found


def _definition(given: str) -> Check:
    if given.strip():
        return Check("definition", "ok", f"What counts as mine: {given.strip()}")
    return Check(
        "definition",
        "warning",
        "Nobody has said what counts as mine. Say in one line whether pits, dumps, ponds, plant and abandoned ground "
        "are inside the outlines: --mine-definition.",
    )


def _balance(measured: _Measured) -> Check:
    share = measured.mine_share
    seen = f"{share:.2%} of the scene is labelled mine ({measured.mine_ha:,.1f} ha)."
    if share == 0:
        return Check("balance", "blocking", "No pixel is labelled mine. Check that outlines and image show one place.")
    if share < FEW_MINE_SHARE:
        return Check(
            "balance", "warning", f"{seen} That is very little to learn from: label more mines, or crop the scene."
        )
    if share > MANY_MINE_SHARE:
        return Check(
            "balance", "warning", f"{seen} That is most of the scene: check that mines and background are not swapped."
        )
    return Check("balance", "ok", seen)


def _observed(measured: _Measured) -> Check:
    invalid, lost_ha = measured.invalid_share, measured.unobserved_mine_ha
    if invalid == 1:
        return Check("observed", "blocking", "The image holds no valid pixel. Export it again.")
    message = f"{invalid:.2%} of the scene has no observation; {lost_ha:,.1f} ha of labelled mine lie there"
    if invalid <= INVALID_SHARE and lost_ha == 0:
        return Check("observed", "ok", f"{message}.")
    named: Sequence[str] = hidden(measured.drawn)
    where = f": {listed(named)}" if named else ""
    return Check(
        "observed",
        "warning",
        f"{message}{where}. They teach nothing and count for nothing; look for an image without clouds or gaps there.",
    )


def _unknown(mask: Mask) -> Check:
    share = float((mask == IGNORE).mean())
    if share <= MOST_UNKNOWN:
        return Check("unknown", "ok", f"{share:.2%} of the labels are unknown.")
    return Check(
        "unknown",
        "warning",
        f"{share:.1%} of the labels are unknown (255, or the mask's nodata value); they teach nothing. "
        "If 0 means background and is tagged as nodata, remove that tag.",
    )


def _edges(measured: _Measured) -> Check:
    """Share of mine pixels at an edge, fragments and holes: signs of a ragged or noisy mask."""
    patched, enclosed = measured.patches, measured.holes
    message = (
        f"{counted(patched.count, 'patch')}, {patched.small:,} under {SMALL_PATCH_PX} px; "
        f"{counted(enclosed.count, 'hole')} ({measured.holes_ha:,.1f} ha); "
        f"{measured.edge_share:.1%} of mine pixels lie at an edge."
    )
    many_small = patched.small > patched.count / 2 or enclosed.small > patched.count
    if measured.edge_share > RAGGED_SHARE or many_small:
        return Check("edges", "warning", f"{message} The mask is ragged: look at its picture, and smooth the outlines.")
    return Check("edges", "ok", message)


def _border(measured: _Measured) -> Check:
    return Check(
        "border",
        "ok",
        f"{measured.border.sentence()} Hectares cannot be known more finely than the border was drawn.",
    )
