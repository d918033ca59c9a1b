"""An interpreted sample to error-adjusted hectares with 95 % intervals, and the accuracy of the map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minedetect.accuracy import CONFIDENCE, Accuracy, Area, Sampled, area_of, overall, producers, unseen, users
from minedetect.allocation import FEWEST, STRATA
from minedetect.design import UNUSABLE, Design, read_design
from minedetect.errors import BadInput, RunError
from minedetect.files import sha256_of
from minedetect.labelled import read_labelled
from minedetect.manifest import vouch_for
from minedetect.report_page import write_report
from minedetect.runs import ESTIMATE, REPORT, Run

OTHER, STABLE, NEW, GONE = range(len(STRATA))
FIGURES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "new": ((NEW,), ()),
    "gone": ((GONE,), ()),
    "before": ((STABLE, GONE), ()),
    "after": ((STABLE, NEW), ()),
    "stable_mine": ((STABLE,), ()),
    "net": ((NEW,), (GONE,)),
}
"""Each figure as a union of reference classes, less another."""
METHOD = (
    "Stratified estimators of Olofsson et al. 2014; each point counts by the true ground area of its pixel. Intervals "
    "combine Jeffreys limits of each stratum (Zou, Huang and Zhang 2009), because value +- 1.96 standard errors covers "
    "far less than 95 % where errors are rare. They tell what the drawing of the points leaves open, not what "
    "interpreters get wrong."
)


def estimate_run(run: Run, labelled: Path) -> dict[str, Any]:
    """Estimate areas and accuracies from an interpreted sample; writes `estimate.json` and the report anew.

    Args:
        run: the run whose map was sampled.
        labelled: the `sample.csv` of its sample, filled in.

    Returns:
        The content of `estimate.json`.

    Raises:
        RunError: no sample was drawn, or the map is another one by now.
        BadInput: the CSV is not that sample, or a stratum has no usable point.
    """
    design = read_design(run)
    _require_same_map(run, design)
    references = read_labelled(labelled, design)
    content = estimates(design, references) | {"labelled_sha256": sha256_of(labelled)}
    with run.locked():
        run.write_json(ESTIMATE, content)
        if run.has(REPORT):
            write_report(run)
        vouch_for(run, ESTIMATE, REPORT)
    return content


def _require_same_map(run: Run, design: Design) -> None:
    for name, drawn_for in design.files.items():
        if Path(name).name != name or not run.has(name):
            raise RunError(f"{run.root} has no {name}, which the sample {design.sample_id} was drawn from.")
        if sha256_of(run.path(name)) != drawn_for:
            raise RunError(
                f"{name} is another map than the sample {design.sample_id} was drawn from: its figures would not "
                "hold. Draw a new sample from this map, or put the old map back."
            )


def estimates(design: Design, references: Mapping[str, str]) -> dict[str, Any]:
    """Areas, accuracies and notes from the answers to a design, fit for JSON.

    Args:
        design: the sample that was drawn.
        references: class of STRATA or UNUSABLE by point.

    Raises:
        BadInput: a stratum has no usable point.
    """
    sampled, counts = tabulated(design, references)
    unusable = (design.column("points") - counts.sum(axis=1)).astype(int).tolist()
    mapped = design.column("hectares")
    areas = {name: area_of(sampled, plus, minus) for name, (plus, minus) in FIGURES.items()}
    shown = {
        name: _area_json(areas[name], float(mapped[list(plus)].sum() - mapped[list(minus)].sum()))
        for name, (plus, minus) in FIGURES.items()
    }
    return {
        "sample_id": design.sample_id,
        "years": list(design.years),
        "confidence": CONFIDENCE,
        "method": METHOD,
        "total_ha": round(float(mapped.sum()), 2),
        "areas": shown,
        "accuracy": {
            "overall": _accuracy_json(overall(sampled)),
            "users": {s: _accuracy_json(users(sampled, i)) for i, s in enumerate(STRATA)},
            "producers": {s: _accuracy_json(producers(sampled, i)) for i, s in enumerate(STRATA)},
        },
        "matrix": {"map": list(STRATA), "reference": list(STRATA), "points": counts.tolist()},
        "points": len(design.points),
        "unusable": dict(zip(STRATA, unusable, strict=True)),
        "notes": _notes(design, sampled, unusable),
    }


def tabulated(design: Design, references: Mapping[str, str]) -> tuple[Sampled, npt.NDArray[np.int64]]:
    """The usable points by stratum and reference class: as they enter the estimate, and counted, int64 (H, K).

    Within a stratum every pixel was drawn with the same chance, but pixels of a grid in degrees or in
    Web Mercator differ in ground area. A share of area is therefore sum a z / sum a over the points, with a
    the ground area of a point's pixel (ratio estimator, Cochran 1977, chapter 6): points count by a over its
    mean in the stratum, so that they still add up to their number.

    Raises:
        BadInput: a stratum has no usable point.
    """
    counts, m2 = np.zeros((len(STRATA), len(STRATA)), np.int64), np.zeros((len(STRATA), len(STRATA)))
    for point in design.points:
        if references[point.point] != UNUSABLE:
            cell = STRATA.index(point.stratum), STRATA.index(references[point.point])
            counts[cell] += 1
            m2[cell] += point.pixel_m2
    number = counts.sum(axis=1)
    for name, usable in zip(STRATA, number, strict=True):
        stratum = design.strata[name]
        if stratum.pixels and not usable:
            raise BadInput(
                "NO_POINTS",
                f"All {stratum.points} points of the stratum {name} are unusable, so nothing is known about its "
                f"{stratum.hectares:,.1f} ha. Interpret some of them with better images.",
            )
    weighted = m2 * (number / np.maximum(m2.sum(axis=1), 1e-9))[:, None]
    return Sampled(weighted, design.column("hectares"), design.column("pixels")), counts


def _area_json(area: Area, mapped_ha: float) -> dict[str, float | None]:
    known = bool(np.isfinite(area.error))
    figures = {"mapped_ha": mapped_ha, "ha": float(area.value)}
    spread = {"se_ha": float(area.error), "low_ha": float(area.low), "high_ha": float(area.high)}
    return {key: round(value, 2) for key, value in figures.items()} | {
        key: round(value, 2) if known else None for key, value in spread.items()
    }


def _accuracy_json(accuracy: Accuracy) -> dict[str, float | None]:
    known = np.isfinite(accuracy.error)
    figures = {"value": accuracy.value, "se": accuracy.error}
    figures |= {"low": accuracy.low if known else np.nan, "high": accuracy.high if known else np.nan}
    return {key: round(value, 4) if np.isfinite(value) else None for key, value in figures.items()}


def _notes(design: Design, sampled: Sampled, unusable: list[int]) -> list[str]:
    notes = []
    if any(unusable):
        told = ", ".join(
            f"{count} of {design.strata[s].points} in {s}" for s, count in zip(STRATA, unusable, strict=True)
        )
        notes.append(
            f"Unusable points were left out: {told}. The figures assume that they are like the usable ones of "
            "their stratum; cloud or shadow that keeps to mines would break that."
        )
    unseen_ha = unseen(sampled)
    widest = int(np.argmax(unseen_ha))
    notes.append(
        f"A class that none of the {sampled.points[widest]:.0f} usable points in {STRATA[widest]} showed may still "
        f"hold {unseen_ha[widest]:,.1f} ha of it: where intervals reach far up, that is why. A larger --n narrows them."
    )
    few = [s for s, n, left in zip(STRATA, sampled.points, sampled.left, strict=True) if n < FEWEST - 0.5 and left]
    if few:
        notes.append(
            f"Fewer than {FEWEST} usable points in {', '.join(few)}: there is no variance, so no area has an interval. "
            "Draw a larger sample with a larger --min-per-stratum."
        )
    return notes
