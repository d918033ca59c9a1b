"""Text from files x every place it comes to: shown as text, never run as code."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from draft_support import CHECKS, drafted, found, given, outline
from hostile_strings import FORMULAS, STRINGS, plain
from jinja2 import Environment
from map_support import mapped_run
from markdown_it import MarkdownIt
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from ui_support import EVALUATION, SUMMARY, finished_run, home, opened, run_in_state, shown

from minedetect import runs
from minedetect.errors import RunError, SettingError
from minedetect.labels import open_labels
from minedetect.report import areas_csv
from minedetect.ui import layers, words
from minedetect.ui.routes import routes

__all__ = ["home"]

RUN_BY_A_SPREADSHEET = re.compile(r"(^|[;\t\r\n])[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")
EVERY = pytest.mark.parametrize("text", STRINGS, ids=[f"{n}" for n in range(len(STRINGS))])


class Seen(HTMLParser):
    """What a browser would show of a piece of HTML, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.extend((tag, *(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@EVERY
def test_in_html_a_script_and_a_template_it_is_text(text: str) -> None:
    harmless = words.in_html(text)
    assert Seen(harmless).text == plain(text)
    for place in (f'<b title="{harmless}">', f"<b title='{harmless}'>", f"<b title={harmless.replace(' ', '')}>"):
        assert Seen(place).tags == ["b", "title"]
    assert Environment().from_string(f"{harmless} {{{{ '{harmless}' }}}}").render() == f"{harmless} {harmless}"
    assert not re.search(r"[<>\"'`{}$\\/]", json.dumps(harmless)[1:-1])


@EVERY
def test_in_markdown_it_is_text(text: str) -> None:
    joined = words.literal(text).replace("\u2060", "")
    for place, nested in ((joined, 1), (f"**{joined}**", 1), (f"- {joined}", 3)):
        parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(place)
        (inline,) = (token for token in parsed if token.type == "inline")
        assert inline.children is not None
        assert "".join(token.content for token in inline.children) == plain(text)
        assert {token.type for token in inline.children} <= {"text", "text_special", "strong_open", "strong_close"}
        assert len([token for token in parsed if token.nesting == 1]) <= nested


@EVERY
def test_a_name_in_a_file_of_outlines_is_one_line_of_signs_that_are_seen(text: str, tmp_path: Path) -> None:
    ring = [[-2.095, 6.327], [-2.091, 6.327], [-2.091, 6.331], [-2.095, 6.331], [-2.095, 6.327]]
    told = {"name": text, "id": text, "status": text}
    feature = {"type": "Feature", "properties": told, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "mines.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (one,) = open_labels(path).outlines
    assert one.name == one.id == one.status_given
    assert " ".join(one.name.split()) == plain(text)
    assert one.name.isprintable()
    assert one.status == "unknown"


@EVERY
def test_a_date_cannot_be_called_so(text: str) -> None:
    with pytest.raises(SettingError):
        runs.require_date_labels((text, "2025"))


@EVERY
def test_no_table_for_spreadsheets_holds_a_formula(text: str) -> None:
    row = {**SUMMARY["per_mine"][0], "mine": text, "status": f"gone;{text}"}
    table = areas_csv({**SUMMARY, "per_mine": [row]})
    rows = list(csv.reader(io.StringIO(table, newline="")))
    cells = [value for cells in rows for value in cells if not re.fullmatch(r"-?[0-9.]+", value)]
    assert not [value for value in cells if RUN_BY_A_SPREADSHEET.search(value)]
    assert {len(cells) for cells in rows} == {len(rows[0])}
    assert len(rows) == len(table.splitlines())
    line = " ".join(text.replace("\0", "").split())
    assert {line, f"'{line}"} & set(cells), "it can be read"


def test_what_a_spreadsheet_would_run_is_known_to_these_tests() -> None:
    assert all(RUN_BY_A_SPREADSHEET.search(text) for text in FORMULAS)


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=routes()), base_url="http://127.0.0.1")


@EVERY
def test_no_run_and_no_download_can_be_called_so(text: str, home: Path, client: TestClient) -> None:
    with pytest.raises(RunError):
        runs.existing_run(text)
    answer = client.get(f"/zips/{quote(text, safe='')}")
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers
    assert plain(text) not in answer.text


def test_a_download_is_called_as_its_run_is(home: Path, client: TestClient) -> None:
    finished_run(home, "Fosse é 1.2")
    answer = client.get(f"/zips/{quote('Fosse é 1.2')}")
    assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''{quote('Fosse é 1.2.zip')}"


def hostile_summary() -> dict[str, object]:
    """Every string wherever a summary holds text of others."""
    row = SUMMARY["per_mine"][0]
    return {
        "reasons": list(STRINGS),
        "notes": list(STRINGS),
        "mine_definition": " and ".join(STRINGS),
        "per_mine": [{**row, "mine": text, "status": text} for text in STRINGS],
        "provenance": {"inputs": {text: {"name": text, "sha256": "aa"} for text in STRINGS}},
    }


def assert_text_alone(at: AppTest, texts: tuple[str, ...] = STRINGS) -> None:
    """Nothing that reads Markdown was sent any of the texts as it is."""
    assert not at.exception
    markdown = [
        element.value for kind in ("markdown", "caption", "error", "warning", "info") for element in at.get(kind)
    ]
    labels = [element.label for kind in ("metric", "button", "expander") for element in at.get(kind)]
    sent = "\n".join((*markdown, *labels))
    for text in texts:
        left = sent.replace(words.literal(text), "")
        assert text not in left, f"{text!r} stands in {left[:300]!r}"


def test_results_show_it_as_text(home: Path) -> None:
    run = finished_run(home, **hostile_summary())
    hostile = {"warnings": list(STRINGS), "baseline": " ".join(STRINGS)}
    run.write_json(runs.EVALUATION, {**EVALUATION, **hostile})
    at = opened("results", run="demo")
    assert_text_alone(at)
    assert all(f"- {words.literal(text)}" in at.warning[0].value for text in STRINGS)
    assert all(words.literal(text) in shown(at) for text in STRINGS)
    assert list(at.dataframe[1].value["Mine"]) == list(STRINGS)


def test_the_map_is_told_geometry_and_text_that_means_nothing(home: Path, client: TestClient) -> None:
    run = mapped_run(home, mine=" ".join(STRINGS))
    path = run.path(runs.LABELLED_MINES)
    (drawn,) = json.loads(path.read_text())["features"]
    told = [{"id": n, "mine": text, "hectares": 16.0, text: text} for n, text in enumerate(STRINGS, 1)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [{**drawn, "properties": p} for p in told]}))
    at = opened("results", run="mapped")
    assert_text_alone(at)
    script = "".join(element.proto.json_args for element in at.get("component_instance"))
    layer = layers.register(run, "labels", runs.LABELLED_MINES)
    assert layer.id in script
    assert not [text for text in (*STRINGS, *map(words.in_html, STRINGS)) if len(text) > 5 and text in script]
    features = client.get(f"/outlines/{layer.id}").json()["features"]
    assert all(set(one["properties"]) == {"id", "text"} for one in features)
    texts = [one["properties"]["text"] for one in features]
    assert all(re.fullmatch(r"(?:[\w .,-]|&#\d+;)*", text) for text in texts)
    assert [Seen(text).text for text in texts] == [plain(f"{text}, 16.0 ha") for text in STRINGS]


def test_compare_shows_it_as_text(home: Path) -> None:
    for name, change in (("first", {}), ("second", hostile_summary())):
        run = finished_run(home, name, **change)
        settings = {f"option_{n}": text if change else "" for n, text in enumerate(STRINGS)}
        run.write_json(runs.CONFIG, {"settings": settings})
        run.write_json(runs.EVALUATION, {**EVALUATION, "baseline": STRINGS[-1] if change else ""})
    at = opened("compare", run="first", main=True)
    at.query_params["run"] = ["first", "second"]
    assert_text_alone(at.run())
    assert set(STRINGS) <= set(at.dataframe[2].value["second"])


def test_overview_and_train_show_it_as_text(home: Path) -> None:
    everything = "\n".join(STRINGS)
    run_in_state(home, "failed", "broken", log=everything.replace("\0", ""), message=everything)
    finished_run(home, "good", **hostile_summary())
    for page in ("overview", "train"):
        at = opened(page, run="broken")
        assert_text_alone(at, tuple(text for text in STRINGS if len(text) > 3))
        assert words.literal(everything) in shown(at)


def test_data_and_mask_show_it_as_text(home: Path) -> None:
    checks = [*CHECKS, *({"name": text, "verdict": "warning", "message": text} for text in STRINGS)]
    polygons = [outline(n, name=text, status_given=text, id=text) for n, text in enumerate(STRINGS, 1)]
    everything = " ".join(STRINGS)
    run = drafted(home, inputs={role: given(home, role, everything) for role in ("before", "after", "labels")})
    found(run, checks=checks, polygons=polygons, shown=list(STRINGS), files={"before": {"problem": everything}})
    for page in ("data", "mask"):
        at = opened(page, main=True, run="mine")
        assert_text_alone(at, tuple(text for text in STRINGS if len(text) > 3))
        assert all(words.literal(text) in shown(at) for text in STRINGS)
    assert list(at.dataframe[0].value["Name"]) == list(STRINGS)
    assert [option.removeprefix(f"{n} ") for n, option in enumerate(at.multiselect[0].options, 1)] == [
        f"{n} {text}".strip().removeprefix(f"{n} ") for n, text in enumerate(STRINGS, 1)
    ]
