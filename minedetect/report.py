"""The summary of a run as JSON and as a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from minedetect.change import Ledger
from minedetect.files import write_text
from minedetect.plausible import Gate
from minedetect.runs import AREAS, SUMMARY, Run

_FORMULA = re.compile(r"(?:^|(?<=;))(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""The last four are = + - @ as wide as Chinese signs, which some spreadsheets take for the narrow ones."""


@dataclass(frozen=True)
class Summary:
    """What a comparison of two dates found.

    Args:
        run_id: the run.
        years: labels of the two dates.
        ledger: hectares on the ground both dates show.
        observed_ha: mine hectares of each date on all the ground that date shows.
        gate: the verdict.
        mine_definition: what counts as mine.
        notes: sentences on what was assumed or changed.
        per_mine: rows of the table per labelled mine.
        extra: further facts, such as scores against known truth.
    """

    run_id: str
    years: tuple[str, str]
    ledger: Ledger
    observed_ha: tuple[float, float]
    gate: Gate
    mine_definition: str
    notes: tuple[str, ...] = ()
    per_mine: tuple[dict[str, Any], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of `summary.json`; hectares are rounded to 0.01 ha here and nowhere before."""
        ledger, (first, second) = self.ledger, self.years
        return {
            "run_id": self.run_id,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "verdict": self.gate.verdict,
            "plausible": self.gate.plausible,
            "reasons": list(self.gate.reasons),
            "years": [first, second],
            "hectares": {first: _ha(ledger.before_ha), second: _ha(ledger.after_ha)},
            "hectares_observed": {first: _ha(self.observed_ha[0]), second: _ha(self.observed_ha[1])},
            "new_ha": _ha(ledger.new["firm"]),
            "gone_ha": _ha(ledger.gone["firm"]),
            "unchanged_ha": _ha(ledger.unchanged_ha),
            "net_ha": _ha(ledger.net_ha),
            "change_ha": {
                "new": {k: _ha(v) for k, v in ledger.new.items()},
                "gone": {k: _ha(v) for k, v in ledger.gone.items()},
            },
            "mine_definition": self.mine_definition,
            "notes": list(self.notes),
            "per_mine": [{k: _ha(v) if isinstance(v, float) else v for k, v in row.items()} for row in self.per_mine],
            **self.extra,
        }


def _ha(value: float) -> float:
    return round(value, 2)


def write_summary(run: Run, summary: Summary) -> dict[str, Any]:
    """Write `summary.json` and `areas.csv`, and return the former's content."""
    content = {**summary.to_json(), "name": run.name}
    run.write_json(SUMMARY, content)
    write_text(run.path(AREAS), areas_csv(content))
    return content


def areas_csv(summary: dict[str, Any]) -> str:
    """`areas.csv`: every hectare figure on a row of its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["what", "mine", "status", "hectares", "sensitivity_low", "sensitivity_high"])
    ranges = summary.get("sensitivity", {})
    for year, area in summary["hectares"].items():
        ends = _ends(ranges.get("hectares", {}).get(year))
        writer.writerow([f"mine {year}, ground seen on both dates", "", "", area, *ends])
    for year, area in summary["hectares_observed"].items():
        writer.writerow([f"mine {year}, all ground seen that date", "", "", area, *_ends(None)])
    writer.writerow(["unchanged", "", "", summary["unchanged_ha"], *_ends(None)])
    for side in ("new", "gone"):
        for kind, area in summary["change_ha"][side].items():
            ends = _ends(ranges.get(f"{side}_ha") if kind == "firm" else None)
            writer.writerow([f"{side}, {kind}", "", "", area, *ends])
    writer.writerow(["net (all new minus all gone)", "", "", summary["net_ha"], *_ends(ranges.get("net_ha"))])
    for row in summary["per_mine"]:
        for key in ("labelled_ha", "before_ha", "after_ha", "gained_ha", "lost_ha", "unobserved_ha"):
            what = key.removesuffix("_ha")
            writer.writerow([what, cell(row["mine"]), cell(row["status"]), row[key], *_ends(None)])
    return text.getvalue()


def _ends(span: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """Both ends of a sensitivity range; empty cells where there is none."""
    return (span["low"], span["high"]) if span else ("", "")


def cell(text: str) -> str:
    """Text from a file on one line, made harmless for a spreadsheet, which would run a leading = + - @ as a formula.

    Where spreadsheets part cells by semicolons, text after one of these leads a cell too.
    """
    return _FORMULA.sub("'", " ".join(text.replace("\0", "").split()))
