"""The summary of a run as JSON, as a table, and as one printable page."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from minedetect.change import Ledger
from minedetect.plausible import Gate
from minedetect.runs import AREAS, HISTORY, REPORT, RESULTS_PICTURE, SUMMARY, Run, write_text

VERDICT_WORDS = {
    "plausible": "Plausible: the figures passed every check.",
    "review": "Review: look at the reasons below before you publish these figures.",
    "implausible": "Implausible: do not publish these figures.",
    "unknown": "Unknown: there are no labels to judge these figures by.",
}


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
            "verdict": self.gate.verdict,
            "plausible": self.gate.plausible,
            "reasons": list(self.gate.reasons),
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
    writer.writerow(["what", "mine", "status", "hectares"])
    for year, area in summary["hectares"].items():
        writer.writerow([f"mine {year}, ground seen on both dates", "", "", area])
    for year, area in summary["hectares_observed"].items():
        writer.writerow([f"mine {year}, all ground seen that date", "", "", area])
    writer.writerow(["unchanged", "", "", summary["unchanged_ha"]])
    for side in ("new", "gone"):
        for kind, area in summary["change_ha"][side].items():
            writer.writerow([f"{side}, {kind}", "", "", area])
    writer.writerow(["net (all new minus all gone)", "", "", summary["net_ha"]])
    for row in summary["per_mine"]:
        for key in ("labelled_ha", "before_ha", "after_ha", "gained_ha", "lost_ha", "unobserved_ha"):
            writer.writerow([key.removesuffix("_ha"), cell(row["mine"]), cell(row["status"]), row[key]])
    return text.getvalue()


def cell(text: str) -> str:
    """Text from a file, made harmless for a spreadsheet, which would run a leading = + - @ as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_report(run: Run, about: dict[str, Any], trained: bool = True) -> Path:
    """Write `report.html`: one file that needs no network, verdict first.

    Args:
        run: a run whose summary and pictures exist.
        about: model and data facts to print: name to value.
        trained: whether this run trained its model, so that the curves are its own.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("minedetect", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    summary = run.read_json(SUMMARY)
    shown = (RESULTS_PICTURE, HISTORY) if trained else (RESULTS_PICTURE,)
    pictures = {name: _inline(run.path(name)) for name in shown if run.has(name)}
    html = environment.get_template("report.html.j2").render(
        summary=summary,
        verdict_words=VERDICT_WORDS[summary["verdict"]],
        results_picture=pictures.get(RESULTS_PICTURE),
        history_picture=pictures.get(HISTORY),
        about=about,
    )
    path = run.path(REPORT)
    write_text(path, html)
    return path


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
