"""Checks on image, labels and mask before any training: each ends in a verdict and one sentence of advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import shapely
from odc.geo.geobox import GeoBox

from minedetect.grid import describe, shape_of
from minedetect.labels import Labels, Outline
from minedetect.measure import hectares, polygon_hectares
from minedetect.raster import IGNORE, MINE, Mask

Verdict = Literal["ok", "warning", "blocking"]

FEW_MINE_SHARE = 0.002
MANY_MINE_SHARE = 0.5
SMALL_PATCH_PX = 50
CLAIM_TOLERANCE = 0.1
INVALID_SHARE = 0.05


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: short stable name.
        verdict: ok, warning or blocking.
        message: what was seen, with figures, and what to do about it.
    """

    name: str
    verdict: Verdict
    message: str


@dataclass(frozen=True)
class Quality:
    """All findings on one image and its labels, with the figures behind them."""

    checks: tuple[Check, ...]
    figures: dict[str, Any]

    @property
    def verdict(self) -> Verdict:
        verdicts = {c.verdict for c in self.checks}
        return "blocking" if "blocking" in verdicts else "warning" if "warning" in verdicts else "ok"

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
    """

    grid: GeoBox
    observed: npt.NDArray[np.bool_]
    mask: Mask
    labels: Labels
    tile_px: int


def check(subject: Subject) -> Quality:
    """Run every check that applies."""
    checks = [*_grid_checks(subject), *_balance(subject), *_unobserved(subject), *_edges(subject)]
    if not subject.labels.is_mask:
        checks += _outline_checks(subject.labels.outlines, subject.grid)
    checks += [Check("labels", "warning", note) for note in subject.labels.notes]
    return Quality(tuple(checks), _figures(subject))


def _figures(subject: Subject) -> dict[str, Any]:
    mine = subject.mask == MINE
    return {
        "grid": describe(subject.grid),
        "mine_ha": round(hectares(subject.mask, subject.grid, MINE), 2),
        "mine_share": round(float(mine.mean()), 6),
        "mine_px": int(mine.sum()),
        "unknown_px": int((subject.mask == IGNORE).sum()),
        "invalid_share": round(float(1 - subject.observed.mean()), 6),
        "unobserved_mine_ha": round(hectares(mine & ~subject.observed, subject.grid, 1), 2),
        "polygons": [outline_json(o) for o in subject.labels.outlines],
    }


def outline_json(outline: Outline) -> dict[str, Any]:
    """One outline's attributes and geodesic hectares."""
    return {
        "index": outline.index,
        "id": outline.id,
        "name": outline.name,
        "status": outline.status,
        "status_given": outline.status_given,
        "claimed_ha": outline.claimed_ha,
        "hectares": round(outline.hectares(), 2),
        "repair_ha": round(outline.repair_ha, 2),
    }


def _grid_checks(subject: Subject) -> list[Check]:
    shape = shape_of(subject.grid)
    found = [Check("grid", "ok", f"Mask and image share one grid: {describe(subject.grid)}.")]
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


def _balance(subject: Subject) -> list[Check]:
    share = float((subject.mask == MINE).mean())
    area_ha = hectares(subject.mask, subject.grid, MINE)
    seen = f"{share:.2%} of the scene is labelled mine ({area_ha:,.1f} ha)."
    if share == 0:
        return [
            Check("balance", "blocking", "No pixel is labelled mine. Check that outlines and image show one place.")
        ]
    if share < FEW_MINE_SHARE:
        return [
            Check(
                "balance", "warning", f"{seen} That is very little to learn from: label more mines, or crop the scene."
            )
        ]
    if share > MANY_MINE_SHARE:
        return [
            Check(
                "balance",
                "warning",
                f"{seen} That is most of the scene: check that mines and background are not swapped.",
            )
        ]
    return [Check("balance", "ok", seen)]


def _unobserved(subject: Subject) -> list[Check]:
    invalid = float(1 - subject.observed.mean())
    lost_ha = hectares((subject.mask == MINE) & ~subject.observed, subject.grid, 1)
    if invalid == 1:
        return [Check("observed", "blocking", "The image holds no valid pixel. Export it again.")]
    message = f"{invalid:.2%} of the scene has no observation; {lost_ha:,.1f} ha of labelled mine lie there."
    doubtful = invalid > INVALID_SHARE or lost_ha > 0
    return [
        Check(
            "observed",
            "warning" if doubtful else "ok",
            message + (" They teach nothing and count for nothing." if doubtful else ""),
        )
    ]


def _edges(subject: Subject) -> list[Check]:
    """Share of mine pixels at an edge, and fragments: signs of a ragged or shifted mask."""
    mine = subject.mask == MINE
    inner = scipy.ndimage.binary_erosion(mine, np.ones((3, 3), bool))
    patches, count = scipy.ndimage.label(mine, np.ones((3, 3)))
    sizes = np.bincount(patches.ravel())[1:] if count else np.zeros(0, int)
    small = int((sizes < SMALL_PATCH_PX).sum())
    share = 1 - float(inner.sum()) / max(int(mine.sum()), 1)
    message = f"{count} patches, {small} of them under {SMALL_PATCH_PX} px; {share:.1%} of mine pixels lie at an edge."
    ragged = count > 0 and (small > count / 2 or share > 0.5)
    return [
        Check(
            "edges",
            "warning" if ragged else "ok",
            message + (" The mask is ragged: look at its picture." if ragged else ""),
        )
    ]


def _outline_checks(outlines: Sequence[Outline], grid: GeoBox) -> list[Check]:
    return [
        _outside(outlines, grid),
        _repairs(outlines),
        _overlaps(outlines),
        _duplicates(outlines),
        _statuses(outlines),
        _claims(outlines),
    ]


def _outside(outlines: Sequence[Outline], grid: GeoBox) -> Check:
    footprint = grid.extent.to_crs("EPSG:4326", resolution="auto").geom
    lost = [(o, polygon_hectares(shapely.difference(o.geometry, footprint))) for o in outlines]
    outside = [(o, ha) for o, ha in lost if ha > 0.01 * o.hectares()]
    if not outside:
        return Check("outside", "ok", "Every outline lies on the image.")
    named = ", ".join(f"{o.title} ({ha:,.1f} ha)" for o, ha in outside[:5])
    return Check(
        "outside",
        "warning",
        f"{len(outside)} outlines reach beyond the image: {named}. Those hectares are not counted.",
    )


def _repairs(outlines: Sequence[Outline]) -> Check:
    repaired = [o for o in outlines if o.repair_ha > 0]
    if not repaired:
        return Check("validity", "ok", "Every outline is valid.")
    moved = sum(o.repair_ha for o in repaired)
    return Check(
        "validity",
        "warning",
        f"{len(repaired)} outlines cross themselves and were repaired; that moved {moved:,.2f} ha. Check them.",
    )


def _overlaps(outlines: Sequence[Outline]) -> Check:
    together = shapely.union_all([o.geometry for o in outlines])
    double_ha = sum(o.hectares() for o in outlines) - polygon_hectares(together)
    if double_ha < 0.01:
        return Check("overlap", "ok", "No outlines overlap.")
    return Check(
        "overlap",
        "warning",
        f"Outlines overlap by {double_ha:,.2f} ha; each hectare is counted once, for the first outline.",
    )


def _duplicates(outlines: Sequence[Outline]) -> Check:
    twice = sorted(i for i, n in Counter(o.id for o in outlines if o.id).items() if n > 1)
    if not twice:
        return Check("ids", "ok", "Every id is used once.")
    return Check(
        "ids",
        "warning",
        f"Ids used more than once: {', '.join(twice[:10])}. Outlines are told apart by their order instead.",
    )


def _statuses(outlines: Sequence[Outline]) -> Check:
    odd = sorted({o.status_given or "(empty)" for o in outlines if o.status_given.lower() != o.status})
    if not odd:
        return Check("status", "ok", "Every status is one of active, inactive.")
    return Check(
        "status",
        "warning",
        f"Status written as {', '.join(odd[:10])} was read as active, inactive or unknown; mend the file.",
    )


def _claims(outlines: Sequence[Outline]) -> Check:
    off = [
        o
        for o in outlines
        if o.claimed_ha is not None and abs(o.claimed_ha - o.hectares()) > CLAIM_TOLERANCE * o.hectares()
    ]
    if not off:
        return Check("area_ha", "ok", "Attribute area_ha agrees with the ground area where it is given.")
    named = ", ".join(f"{o.title} says {o.claimed_ha:,.1f}, is {o.hectares():,.1f} ha" for o in off[:5])
    return Check(
        "area_ha", "warning", f"Attribute area_ha differs from the ground area: {named}. The ground area is used."
    )
