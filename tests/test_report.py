import csv
import io
from pathlib import Path
from typing import Any

import pytest

from minedetect.change import Ledger
from minedetect.plausible import Gate
from minedetect.report import Summary, areas_csv, cell, write_report, write_summary
from minedetect.runs import Run

HOSTILE = ["{{7*7}}", "<script>alert(1)</script>", "=1+1", '"><img src=x onerror=alert(1)>', "{% raw %}", "@SUM(A1)"]


def summary(name: str = "Nchanga", verdict: Any = "plausible") -> Summary:
    zero = {"doubtful": 0.0, "ring": 0.0, "sieved": 0.0}
    row = {"mine": name, "status": "active"}
    areas = dict.fromkeys(("labelled_ha", "before_ha", "after_ha", "gained_ha", "lost_ha", "unobserved_ha"), 1.234)
    return Summary(
        run_id="r",
        years=("2016", "2025"),
        ledger=Ledger(100.0, 120.0, 90.0, {"firm": 30.0, **zero}, {"firm": 10.0, **zero}),
        observed_ha=(101.0, 121.0),
        gate=Gate(verdict, (f"because of {name}",)),
        mine_definition=f"pits, {name}",
        notes=(f"note {name}",),
        per_mine=({**row, **areas},),
    )


def test_net_is_after_minus_before() -> None:
    content = summary().to_json()
    assert content["net_ha"] == content["hectares"]["2025"] - content["hectares"]["2016"] == 20


@pytest.mark.parametrize(
    ("verdict", "plausible"), [("plausible", True), ("review", True), ("implausible", False), ("unknown", None)]
)
def test_plausible_is_true_false_or_unknown(verdict: str, plausible: bool | None) -> None:
    assert summary(verdict=verdict).to_json()["plausible"] is plausible


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_files_is_never_code(tmp_path: Path, text: str) -> None:
    run = Run(tmp_path / "r")
    write_summary(run, summary(text))
    html = write_report(run, {"First image": text}).read_text()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "49" not in html.split("<body>")[1]
    rows = list(csv.reader(io.StringIO((run.root / "areas.csv").read_text())))
    assert not any(value[:1] in "=+@" for row in rows for value in row[:3] if value)


def test_the_table_holds_every_hectare_figure() -> None:
    rows = list(csv.DictReader(io.StringIO(areas_csv(summary().to_json()))))
    by_name = {r["what"]: float(r["hectares"]) for r in rows}
    assert by_name["new, firm"] == 30
    assert by_name["gone, firm"] == 10
    assert by_name["unchanged"] == 90
    assert by_name["net (all new minus all gone)"] == 20


def test_negative_figures_stay_figures() -> None:
    assert cell("North pit") == "North pit"
    assert cell("-5") == "'-5"
