"""Checks on what a label file says of its outlines: ids, names, status, claimed hectares."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer

from minedetect.findings import Check, counted, listed
from minedetect.labels import Outline
from minedetect.outlines import Drawn, moved

CLAIM_TOLERANCE = 0.1
CLAIM_ROUNDING_HA = 0.5
"""Files often give whole hectares; a small mine is then off by more than a tenth without anybody's fault."""
CAUSE_TOLERANCE = 0.01
FEW_CLAIMS = 3
"""Below this many, one careless figure can look like a wrong projection."""
ACRES_PER_HA = 2.471054
WEB_MERCATOR = "EPSG:3857"


def check_attributes(drawn: Sequence[Drawn]) -> list[Check]:
    """Every check on what the file says of its outlines."""
    outlines = [d.outline for d in drawn]
    return [_ids(outlines), _names(outlines), _statuses(outlines), _claims(drawn)]


def plain_id(text: str) -> str:
    """An id as one spelling: "1.0", as tables with gaps write it, is "1"."""
    whole = re.fullmatch(r"(-?\d+)\.0+", text.strip())
    return whole[1] if whole else text.strip()


def _ids(outlines: Sequence[Outline]) -> Check:
    owners: dict[str, list[str]] = {}
    for outline in outlines:
        owners.setdefault(plain_id(outline.id), []).append(outline.title)
    without = len(owners.pop("", []))
    twice = {key: titles for key, titles in owners.items() if len(titles) > 1}
    missing = f" {counted(without, 'outline')} without an id." if without and owners else ""
    if not twice:
        seen = "Every id is used once." if owners else "No outline has an id."
        return Check("ids", "ok", seen + missing)
    named = listed([f"{key} ({listed(titles, 3)})" for key, titles in twice.items()])
    return Check(
        "ids",
        "warning",
        f"Ids used more than once: {named}.{missing} Outlines are told apart by their order instead; "
        "give each its own id.",
    )


def _names(outlines: Sequence[Outline]) -> Check:
    names = Counter(o.name for o in outlines)
    without = names.pop("", 0)
    if not names:
        return Check("names", "ok", "No outline has a name; tables call them mine 1, mine 2 by their order.")
    twice = listed([f"{name} ({n} times)" for name, n in names.items() if n > 1])
    if not twice and not without:
        return Check("names", "ok", "Every outline has a name of its own.")
    told = [f"Names used more than once: {twice}."] if twice else []
    told += [f"{counted(without, 'outline')} without a name."] if without else []
    return Check("names", "warning", " ".join((*told, "Tables will be hard to read: name each mine.")))


def _statuses(outlines: Sequence[Outline]) -> Check:
    read = Counter(o.status for o in outlines)
    tally = ", ".join(f"{n} {status}" for status, n in sorted(read.items()))
    if not any(o.status_given for o in outlines):
        return Check(
            "status",
            "ok",
            f"No outline says whether its mine is active: all {len(outlines)} count as unknown, and all are learned "
            "from. Fill the attribute status with active or inactive if the tables should tell them apart.",
        )
    odd = Counter((o.status_given, o.status) for o in outlines if o.status_given.lower() != o.status)
    if not odd:
        return Check("status", "ok", f"Status: {tally}.")
    told = listed([f"{_quoted(given)} as {status} ({n} times)" for (given, status), n in odd.most_common()])
    return Check(
        "status",
        "warning",
        f"Status: {tally}. Read otherwise than written: {told}. Write active or inactive in the file. "
        "All outlines are learned from, whatever their status.",
    )


def _quoted(given: str) -> str:
    return f'"{given}"' if given else "(empty)"


@dataclass(frozen=True)
class _Cause:
    """A common mistake: what it does to the hectares of each outline, and its name."""

    claims: npt.NDArray[np.float64]
    sentence: str


def _claims(drawn: Sequence[Drawn]) -> Check:
    claiming = [d for d in drawn if d.outline.claimed_ha is not None]
    off = [d for d in claiming if not _agrees(d)]
    cause = _cause(claiming)
    if not off and not cause:
        said = "agrees with the ground area wherever it is given" if claiming else "is not given"
        return Check("area_ha", "ok", f"Attribute area_ha {said}.")
    named = listed([f"{d.title} says {d.outline.claimed_ha:,.2f}, is {d.hectares:,.2f} ha" for d in off or claiming])
    told = f"{cause} For example: " if cause else "Attribute area_ha differs from the ground area: "
    return Check("area_ha", "warning", f"{told}{named}. The ground area is used; mend the attribute or the outline.")


def _agrees(drawn: Drawn) -> bool:
    allowed_ha = max(CLAIM_TOLERANCE * drawn.hectares, CLAIM_ROUNDING_HA)
    return abs((drawn.outline.claimed_ha or 0.0) - drawn.hectares) <= allowed_ha


def _cause(claiming: Sequence[Drawn]) -> str:
    """The one mistake that explains most claims, as a sentence; "" when there is none."""
    claimed = np.array([d.outline.claimed_ha for d in claiming], np.float64)
    true = np.array([d.hectares for d in claiming])
    if not len(claimed) or (claimed <= 0).any():
        return ""
    factor = float(np.median(claimed / true))
    if abs(factor - 1) <= 2 * CAUSE_TOLERANCE or (len(claimed) < FEW_CLAIMS and 0.5 < factor < 2):
        return ""
    for cause in _causes(claiming, true):
        if _explains(claimed / cause.claims):
            return f"Attribute area_ha {cause.sentence}: it is {factor:,.4g} times the hectares."
    if abs(factor - 1) > CLAIM_TOLERANCE and _explains(claimed / (factor * true)) and len(claimed) >= FEW_CLAIMS:
        return f"Attribute area_ha is {factor:,.4g} times the hectares throughout: its unit or projection is another."
    return ""


def _explains(ratios: npt.NDArray[np.float64]) -> bool:
    """Whether claims over expected claims are one, but for rounding and a few outliers."""
    middle_fits = abs(float(np.median(ratios)) - 1) <= CAUSE_TOLERANCE
    return middle_fits and float((np.abs(ratios - 1) <= CLAIM_TOLERANCE).mean()) >= 0.75


def _causes(claiming: Sequence[Drawn], true: npt.NDArray[np.float64]) -> list[_Cause]:
    shapes = np.array([d.outline.geometry for d in claiming], dtype=object)
    to_mercator = Transformer.from_crs("EPSG:4326", WEB_MERCATOR, always_xy=True)
    mercator_m2 = shapely.area(moved(shapes, to_mercator))
    degrees2 = shapely.area(shapes)
    return [
        _Cause(true * 1e4, "looks like square metres"),
        _Cause(true / 100, "looks like square kilometres"),
        _Cause(true * ACRES_PER_HA, "looks like acres"),
        _Cause(mercator_m2 / 1e4, "looks measured in Web Mercator, which enlarges areas away from the equator"),
        _Cause(degrees2, "looks like square degrees"),
        _Cause(degrees2 / 1e4, "looks like square degrees"),
    ]
