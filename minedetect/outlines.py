"""Checks on where outlines lie: beyond the image, repaired, twice, over each other, too small for the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from minedetect.findings import Check, counted, listed
from minedetect.grid import WGS84, to_lonlat
from minedetect.labels import Outline, on_grid, polygonal
from minedetect.measure import M2_PER_HA, pixel_hectares, zone_hectares

FEW_PX = 9
"""Three by three pixels: the smallest patch with a pixel that is not at its edge."""
LOST_SHARE = 0.2
"""A square of 16 pixels, laid at random, is off by about 6 %: a fifth is no accident of where pixel centres fall."""
LEAST_OVERLAP_HA = 0.01
MOST_PAIRS = 10_000
"""Each costs an intersection: some milliseconds for outlines of thousands of vertices."""
QUERY_SHAPES = 500


@dataclass(frozen=True)
class Drawn:
    """An outline as it lies on an image.

    Args:
        outline: what was drawn.
        shape: polygons in the grid's own CRS; empty where that CRS has no place for them.
        hectares: of the outline.
        inside_ha: the part of it on the image.
        mask_ha: of the pixels that are this outline's own.
        unobserved_ha: the part of `mask_ha` that the image does not show.
    """

    outline: Outline
    shape: BaseGeometry
    hectares: float
    inside_ha: float
    mask_ha: float
    unobserved_ha: float

    @property
    def title(self) -> str:
        return self.outline.title

    @property
    def outside_ha(self) -> float:
        return self.hectares - self.inside_ha

    def beyond(self, pixel_ha: float) -> bool:
        """Whether the image holds next to nothing of it."""
        return self.inside_ha < min(pixel_ha, self.hectares) / 2


def place(
    outlines: Sequence[Outline], grid: GeoBox, zones: npt.NDArray[np.int32], observed: npt.NDArray[np.bool_]
) -> tuple[Drawn, ...]:
    """Lay outlines on an image and measure what of them it holds.

    All is computed in the grid's CRS: in degrees, a footprint over a pole or the antimeridian is torn.

    Args:
        outlines: in any place.
        grid: the image's.
        zones: int32 (H, W), number of the outline (from 1) that owns each pixel.
        observed: bool (H, W).
    """
    shapes, footprint, to_degrees = on_grid(outlines, grid), grid.extent.geom, to_lonlat(grid)
    shapely.prepare(footprint)
    whole = shapely.covers(footprint, shapes)
    # One pass for both figures: even numbers are observed pixels, odd ones are not.
    sums_ha = zone_hectares(2 * zones + ~observed, grid, 2 * len(outlines) + 2)[2:].reshape(-1, 2)
    drawn = []
    for outline, shape, held, (seen_ha, unseen_ha) in zip(outlines, shapes, whole, sums_ha, strict=True):
        area_ha = outline.hectares()
        inside_ha = area_ha if held else _inside_ha(area_ha, shape, footprint, to_degrees)
        drawn.append(Drawn(outline, shape, area_ha, inside_ha, float(seen_ha + unseen_ha), float(unseen_ha)))
    return tuple(drawn)


def _inside_ha(area_ha: float, shape: BaseGeometry, footprint: BaseGeometry, to_degrees: Transformer) -> float:
    held = polygonal(shapely.intersection(shape, footprint))
    if held.is_empty:
        return 0.0
    # Both in the grid's CRS, whose straight lines are not quite the outline's own: the difference cancels that.
    lost_ha = _hectares(shape, to_degrees) - _hectares(held, to_degrees)
    return float(np.clip(area_ha - lost_ha, 0.0, area_ha))


def moved(shapes: Any, to: Transformer) -> Any:
    """A shape, or an array of them, in the coordinates that a transformer leads to."""
    return shapely.transform(shapes, lambda xy: np.column_stack(to.transform(xy[:, 0], xy[:, 1])))


def _hectares(shape: BaseGeometry, to_degrees: Transformer) -> float:
    """Geodesic hectares (Karney 2013) of polygons in the grid's CRS, holes taken out."""
    if shape.is_empty:
        return 0.0
    # Shells and holes are told apart by direction, which is settled here: degrees may be torn at the antimeridian.
    area_m2, _ = WGS84.geometry_area_perimeter(moved(shapely.orient_polygons(shape), to_degrees))
    return abs(float(area_m2)) / M2_PER_HA


def check_outlines(drawn: Sequence[Drawn], grid: GeoBox) -> tuple[list[Check], list[bool]]:
    """Every check on the geometry of outlines.

    Returns:
        The checks, and of each outline whether the check of small ones names it.
    """
    doubles = _doubles(drawn)
    overlaps = _overlaps(drawn, doubles, to_lonlat(grid))
    told = {n for group in doubles for n in group} | {n for _, a, b in overlaps.pairs for n in (a, b)}
    alone = [d for number, d in enumerate(drawn) if number not in told]
    pixel_ha = pixel_hectares(grid)
    checks = [
        _outside(drawn, pixel_ha),
        _repairs(drawn),
        _duplicates(drawn, doubles),
        _overlap(drawn, overlaps),
        _too_small(alone, pixel_ha),
    ]
    small = {id(d) for d in alone if not d.beyond(pixel_ha) and _is_coarse(d, pixel_ha)}
    return checks, [id(d) in small for d in drawn]


def _outside(drawn: Sequence[Drawn], pixel_ha: float) -> Check:
    """Outlines that lose a pixel or more beyond the image; less cannot be seen on its grid."""
    wholly = [d for d in drawn if d.beyond(pixel_ha)]
    partly = [d for d in drawn if not d.beyond(pixel_ha) and d.outside_ha >= pixel_ha]
    if not wholly and not partly:
        return Check("outside", "ok", "Every outline lies on the image.")
    told = []
    if wholly:
        named = listed([f"{d.title} ({d.hectares:,.2f} ha)" for d in wholly])
        told.append(f"{counted(len(wholly), 'outline')} wholly beyond the image: {named}.")
    if partly:
        named = listed([f"{d.title} ({d.outside_ha:,.2f} of {d.hectares:,.2f} ha)" for d in partly])
        told.append(f"{counted(len(partly), 'outline')} partly beyond the image: {named}.")
    lost_ha = sum(d.outside_ha for d in (*wholly, *partly))
    told.append(f"These {lost_ha:,.2f} ha are not counted: use a larger image, or leave those outlines out.")
    return Check("outside", "warning", " ".join(told))


def _repairs(drawn: Sequence[Drawn]) -> Check:
    repaired = [d for d in drawn if d.outline.repaired]
    if not repaired:
        return Check("validity", "ok", "No outline needed a repair.")
    named = listed([f"{d.title} ({d.outline.repair_ha:,.2f} ha)" for d in repaired])
    return Check(
        "validity",
        "warning",
        f"{counted(len(repaired), 'outline')} crossing themselves were repaired; that moved {named}. "
        "Look at them on the mask's picture, and draw them again if the repair is not what was meant.",
    )


def _doubles(drawn: Sequence[Drawn]) -> list[list[int]]:
    """Positions of outlines that have one and the same shape, group by group."""
    keys = shapely.to_wkb(shapely.normalize(np.array([d.outline.geometry for d in drawn], dtype=object)))
    groups: dict[bytes, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def _duplicates(drawn: Sequence[Drawn], doubles: list[list[int]]) -> Check:
    if not doubles:
        return Check("duplicates", "ok", "No shape is there twice.")
    groups = [f"{' = '.join(drawn[n].title for n in group)} ({drawn[group[0]].hectares:,.2f} ha)" for group in doubles]
    extra = sum(len(group) - 1 for group in doubles)
    return Check(
        "duplicates",
        "warning",
        f"{counted(extra, 'outline')} too many, of a shape that is there already: {listed(groups)}. "
        "The first one keeps the pixels; remove the others.",
    )


@dataclass(frozen=True)
class _Overlaps:
    """Ground that several outlines cover.

    Args:
        shared_ha: hectares in more than one outline.
        pairs: hectares and positions of the two outlines, largest first.
        all_found: whether every pair was looked at.
    """

    shared_ha: float
    pairs: list[tuple[float, int, int]]
    all_found: bool


def _overlaps(drawn: Sequence[Drawn], doubles: list[list[int]], to_degrees: Transformer) -> _Overlaps:
    """Different shapes that share ground; of exact doubles, only the first takes part."""
    again = {number for group in doubles for number in group[1:]}
    numbers = np.array([n for n in range(len(drawn)) if n not in again])
    shapes = np.array([drawn[n].shape for n in numbers], dtype=object)
    left, right = _crossing(shapes)
    shared = shapely.intersection(shapes[left], shapes[right])
    some = shapely.area(shared) > 0  # neighbours that only touch share a line
    pieces = [polygonal(piece) for piece in shared[some]]
    sized = [_hectares(piece, to_degrees) for piece in pieces]
    pairs = sorted(zip(sized, numbers[left[some]].tolist(), numbers[right[some]].tolist(), strict=True), reverse=True)
    shared_ha = _hectares(polygonal(shapely.union_all(pieces)), to_degrees)
    return _Overlaps(shared_ha, pairs, len(left) < MOST_PAIRS)


def _crossing(shapes: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions of shapes that meet, each pair once, at most `MOST_PAIRS` of them."""
    tree = shapely.STRtree(shapes)
    found = np.zeros((2, 0), np.int64)
    for start in range(0, len(shapes), QUERY_SHAPES):
        first, second = tree.query(shapes[start : start + QUERY_SHAPES], predicate="intersects")
        pairs = np.stack([first + start, second])
        found = np.concatenate([found, pairs[:, pairs[0] < pairs[1]]], axis=1)
        if found.shape[1] >= MOST_PAIRS:
            break
    return found[0, :MOST_PAIRS], found[1, :MOST_PAIRS]


def _overlap(drawn: Sequence[Drawn], overlaps: _Overlaps) -> Check:
    if overlaps.shared_ha < LEAST_OVERLAP_HA:
        return Check("overlap", "ok", "No outlines overlap.")
    named = listed([f"{drawn[a].title} and {drawn[b].title} ({ha:,.2f} ha)" for ha, a, b in overlaps.pairs])
    least = "" if overlaps.all_found else "At least "
    return Check(
        "overlap",
        "warning",
        f"{least}{overlaps.shared_ha:,.2f} ha lie in more than one outline: {named}. "
        "Each hectare is counted once, for the first outline in the file; draw a border between them.",
    )


def _too_small(alone: Sequence[Drawn], pixel_ha: float) -> Check:
    """Outlines that pixels cannot hold, of those that share no ground with another."""
    on_image = [d for d in alone if not d.beyond(pixel_ha)]
    lost = [d for d in on_image if d.mask_ha == 0]
    coarse = [d for d in on_image if d.mask_ha > 0 and _is_coarse(d, pixel_ha)]
    if not lost and not coarse:
        return Check("small", "ok", "The pixels hold every outline.")
    told = []
    if lost:
        named = listed([f"{d.title} ({d.inside_ha:,.3f} ha)" for d in lost])
        told.append(f"{counted(len(lost), 'outline')} without any pixel on the mask: {named}.")
    if coarse:
        named = listed([f"{d.title} ({d.inside_ha:,.3f} ha drawn, {d.mask_ha:,.3f} on the mask)" for d in coarse])
        told.append(f"{counted(len(coarse), 'outline')} too small or thin for the pixels to follow: {named}.")
    told.append(f"A pixel is {pixel_ha:,.3f} ha here; a finer image is needed to learn from these.")
    return Check("small", "warning", " ".join(told))


def _is_coarse(drawn: Drawn, pixel_ha: float) -> bool:
    off_ha = abs(drawn.mask_ha - drawn.inside_ha)
    return drawn.inside_ha < FEW_PX * pixel_ha or off_ha > LOST_SHARE * drawn.inside_ha


def hidden(drawn: Sequence[Drawn]) -> list[str]:
    """Outlines that the image does not show whole, with the hectares it hides."""
    return [f"{d.title} ({d.unobserved_ha:,.2f} of {d.mask_ha:,.2f} ha)" for d in drawn if d.unobserved_ha > 0]
