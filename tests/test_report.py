import csv
import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hostile_strings import STRINGS

from minedetect.change import Ledger
from minedetect.plausible import Gate
from minedetect.presets import settings_from
from minedetect.report import Summary, areas_csv, cell, write_summary
from minedetect.report_page import evaluation_lines, movement, write_report
from minedetect.runs import (
    CONFIG,
    ESTIMATE,
    EVALUATION,
    EVALUATION_PICTURE,
    HISTORY,
    RESULTS_PICTURE,
    SUMMARY,
    SUSPECTS_PICTURE,
    Run,
)

SPACE = "\N{NO-BREAK SPACE}"


def summary(name: str = "Nchanga", verdict: Any = "plausible", **extra: Any) -> Summary:
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
        extra=extra,
    )


def test_net_is_after_minus_before() -> None:
    content = summary().to_json()
    assert content["net_ha"] == content["hectares"]["2025"] - content["hectares"]["2016"] == 20


@pytest.mark.parametrize(
    ("verdict", "plausible"), [("plausible", True), ("review", True), ("implausible", False), ("unknown", None)]
)
def test_plausible_is_true_false_or_unknown(verdict: str, plausible: bool | None) -> None:
    assert summary(verdict=verdict).to_json()["plausible"] is plausible


ESTIMATED = {
    "points": 300,
    "areas": {
        "new": {"mapped_ha": 30.0, "ha": 41.0, "se_ha": 5.0, "low_ha": 30.0, "high_ha": 52.0},
        "gone": {"mapped_ha": 10.0, "ha": 9.0, "se_ha": None, "low_ha": None, "high_ha": None},
    },
    "accuracy": {"users": {"stable_mine": {"value": 0.9, "se": 0.1}}, "producers": {"stable_mine": {"value": None}}},
}


def everything(text: str) -> dict[str, Any]:
    """What a summary may hold beside its figures, with one text wherever text may stand."""
    spread = {"low": 90.0, "high": 110.0, "parts": {"threshold": [95.0, 105.0], "border": [90.0, 110.0]}}
    date = {"Year": "2016", "Image file": text}
    return {
        "sensitivity": {"hectares": {"2016": spread, "2025": spread}, "new_ha": spread, "net_ha": spread},
        "suspected_missing": [{"id": 1, "hectares": 40.96, "mean_probability": 0.97, "lon": 27.1, "lat": -12.2}],
        "about": {"dates": [date, date], "ground": {"Labels file": text}, "model": {text: "1"}},
        "provenance": {
            "run_id": text,
            "inputs": {text: {"name": text, "sha256": "ab12"}},
            "model_sha256": "cd34",
            "settings_sha256": "ef56",
            "versions": {text: text},
        },
        "truth": {"2016": {"iou": None, "hectares": 100.0}},
        "scores_after": {"iou": 0.5},
    }


def full_run(root: Path, text: str = "Nchanga", verdict: Any = "plausible") -> Run:
    """A run folder with every file a report is made of."""
    run = Run(root / "r")
    write_summary(run, summary(text, verdict, **everything(text)))
    settings = settings_from({"preset": "cpu", "bands": text, "min_patch_ha": 0.25}, gpu=False).model_dump(mode="json")
    run.write_json(CONFIG, {"settings": settings, "inputs": {f"/secret/{text}": "99"}, "minedetect": "0.1.0"})
    run.write_json(EVALUATION, {**EVALUATED, "note": text})
    run.write_json(ESTIMATE, ESTIMATED | {"notes": [text]})
    for name in (RESULTS_PICTURE, SUSPECTS_PICTURE, EVALUATION_PICTURE, HISTORY):
        run.path(name).write_bytes(b"picture")
    return run


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} ends where it was not opened"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("text", STRINGS, ids=map(str, range(len(STRINGS))))
def test_text_from_files_is_never_code(tmp_path: Path, text: str) -> None:
    run = full_run(tmp_path, text)
    html = write_report(run).read_text()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    if text == "{{7*7}}":
        assert "49" not in Page(html).text
    assert Page(html).text.count(re.sub("\r\n?", "\n", text)) > 10, "it is shown as it is"
    plain = Page(write_report(full_run(tmp_path, "Nchanga")).read_text())
    assert [tag for tag, _ in Page(html).tags] == [tag for tag, _ in plain.tags]
    rows = list(csv.reader(io.StringIO((run.root / "areas.csv").read_text())))
    assert not any(value[:1] in "=+@" for row in rows for value in row[:3] if value)


@pytest.mark.parametrize("verdict", ["plausible", "review", "implausible", "unknown"])
def test_the_page_is_well_formed_and_can_be_read_aloud(tmp_path: Path, verdict: str) -> None:
    page = Page(write_report(full_run(tmp_path, verdict=verdict)).read_text())
    assert page.open == []
    assert page.attributes("html")[0]["lang"] == "en"
    assert [tag for tag, _ in page.tags].count("h1") == 1
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(img["alt"] for img in page.attributes("img"))
    assert len(page.attributes("img")) == 4
    assert all(th.get("scope") in ("col", "row") for th in page.attributes("th"))


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    html = write_report(full_run(tmp_path)).read_text()
    page = Page(html)
    places = [of[key] or "" for _, of in page.tags for key in ("src", "href", "srcset", "action", "data") if key in of]
    assert places
    assert all(place.startswith("data:image/png;base64,") for place in places)
    assert "url(" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_the_verdict_stands_before_any_figure(tmp_path: Path) -> None:
    text = Page(write_report(full_run(tmp_path, verdict="implausible")).read_text()).text
    assert text.index("do not publish") < text.index("because of Nchanga") < text.index(f"100{SPACE}ha")
    assert "These figures failed a check" in text


def test_each_part_stands_where_a_reader_looks_for_it(tmp_path: Path) -> None:
    text = Page(write_report(full_run(tmp_path)).read_text()).text
    order = (
        *("Plausible:", "What counts as mine", "Hectares of mining", "Estimate from a checked sample", "Ledger"),
        *("The maps", "Mine by mine", "Suspected missing labels", "How well the model", "What the figures rest on"),
        *("How this was made", "What the figures do not say", "Words", "Origin", "Settings that differ"),
    )
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_sensitivity_range_is_never_called_an_interval(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    run.path(ESTIMATE).unlink()
    text = Page(write_report(run).read_text()).text
    assert f"sensitivity range 90.0{SPACE}ha to 110{SPACE}ha" in text
    assert "confidence" not in text.lower()
    assert "not tried" in text, "no range from matching"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((0.0, "0.0"), (-0.04, "0.0"), (29.34, "29.3"), (99.94, "99.9"), (99.96, "100"), (493.19, "493")),
        *((66813.4, "66,813"), (-5.26, "\N{MINUS SIGN}5.3")),
    ],
)
def test_figures_are_no_more_precise_than_they_are(tmp_path: Path, value: float, shown: str) -> None:
    run = full_run(tmp_path)
    run.write_json(SUMMARY, {**run.read_json(SUMMARY), "unchanged_ha": value})
    html = write_report(run).read_text()
    assert f'Mine on both dates</dt><dd class="large">{shown}{SPACE}ha</dd>' in html


def test_a_report_is_written_again_from_the_folder_alone(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    first = write_report(run).read_text()
    moved = Run(run.root.rename(tmp_path / "elsewhere"))
    assert write_report(moved).read_text() == first
    moved.path(ESTIMATE).unlink()
    assert "Estimate from a checked sample" not in write_report(moved).read_text()
    moved.write_json(ESTIMATE, ESTIMATED)
    assert f"30.0{SPACE}ha to 52.0{SPACE}ha" in write_report(moved).read_text()


def test_a_run_without_anything_more_still_makes_a_report(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    write_summary(run, summary())
    text = Page(write_report(run).read_text()).text
    for absent in ("Suspected", "Estimate from", "Sensitivity range", "known truth", "The maps", "differ from the"):
        assert absent not in text
    assert "No figure here is a statistical estimate" in " ".join(text.split())


def row(name: str, *cells: str) -> str:
    """A row of the table of settings."""
    return f'<tr><th scope="row">{name}</th>' + "".join(f'<td class="text">{cell}</td>' for cell in cells) + "</tr>"


def test_settings_tell_what_differs_and_why_and_paths_stay_private(tmp_path: Path) -> None:
    html = write_report(full_run(tmp_path)).read_text()
    assert row("--min-patch-ha", "0.25", "0.5", "asked for") in html
    assert row("--width", "16", "64", "preset cpu") in html
    assert row("--exclude-mine", "none", "none", "asked for") not in html[: html.index("<details")]
    assert "/secret" not in html


def test_settings_of_training_say_nothing_about_a_model_trained_elsewhere(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    run.path(EVALUATION).unlink()
    html = write_report(run).read_text()
    assert row("--min-patch-ha", "0.25", "0.5", "asked for") in html
    assert row("--width", "16", "64", "preset cpu") not in html
    assert "in another run" in html


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(100.0, 120.0, "grew by 20.0"), (120.0, 100.0, "shrank by 20.0"), (100.0, 100.0, "stayed at 100")],
)
def test_the_first_sentence_says_which_way_it_went(before: float, after: float, words: str) -> None:
    content = {**summary().to_json(), "hectares": {"2016": before, "2025": after}, "net_ha": after - before}
    assert words in movement(content)


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


EVALUATED = {
    "iou": 0.62,
    "predicted_ha": 801.2,
    "labelled_ha": 780.4,
    "warnings": ["Something is far off."],
    "baselines": {"all_mine": {"iou": 0.02, "words": "A guess that calls everything mine reaches IoU 0.020."}},
    "independence": "The scores rest on 2 labelled mine patches.",
    "note": "Quote the score of the test part.",
}


def test_the_report_tells_how_good_the_model_is_when_the_run_trained_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    write_summary(run, summary())
    assert "How well the model finds mines" not in write_report(run).read_text()
    run.write_json(EVALUATION, {**EVALUATED, "test": {**EVALUATED, "iou": None}})
    run.path(EVALUATION_PICTURE).write_bytes(b"picture")
    html = write_report(run).read_text()
    for text in ("Warning, validation ground: Something", "is 0.620", "is undefined", "everything mine", "Quote"):
        assert text in html
    assert html.count("data:image/png") == 1


def test_an_evaluation_of_an_earlier_version_still_makes_a_report() -> None:
    old = {key: EVALUATED[key] for key in ("iou", "predicted_ha", "labelled_ha")}
    assert len(evaluation_lines(old)) == 1
    assert evaluation_lines({}) == []
