"""The sample on the page Results: drawn, handed out, read back, given up."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sampled_run import as_csv, filled, mapped, truth, write_run
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from ui_support import HOSTILE, SUMMARY, alerts, home, opened, shown, status

from minedetect import jobs, sampling
from minedetect.config import SampleSettings
from minedetect.design import REFERENCES, read_design
from minedetect.estimate import estimate_run
from minedetect.runs import CHANGE_MAP, ESTIMATE, LOG, SAMPLE_DESIGN, Run
from minedetect.runs import SUMMARY as SUMMARY_FILE
from minedetect.ui import estimates, routes

__all__ = ["home"]

Started = list[tuple[Path, list[str], tuple[str, ...]]]
FEW = SampleSettings(n=60, min_per_stratum=10)


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What is started in the background, instead of starting it."""
    lines: Started = []

    def start(run: Run, arguments: list[str], command: tuple[str, ...] = jobs.COMMAND) -> None:
        lines.append((run.root, list(arguments), tuple(command)))

    monkeypatch.setattr(jobs, "start", start)
    return lines


@pytest.fixture
def run(home: Path) -> Run:
    made = write_run(home / "r")
    made.write_status(status("done"))
    made.write_json(SUMMARY_FILE, {**SUMMARY, "run_id": "r"})
    return made


@pytest.fixture
def drawn(run: Run) -> Run:
    sampling.draw(run, FEW)
    return run


def table(run: Run) -> Path:
    return sampling.files_of(run, read_design(run).sample_id)[0]


def press(at: AppTest, label: str) -> AppTest:
    return next(b for b in at.button if b.label == label).click().run()


def plain(at: AppTest) -> str:
    return shown(at).replace("\\", "")


def read_back(at: AppTest, name: str, content: str) -> AppTest:
    at.file_uploader[0].set_value((name, content.encode(), "text/csv"))
    return press(at, "Estimate the hectares")


def test_a_run_without_a_map_has_no_such_section(run: Run) -> None:
    run.path(CHANGE_MAP).unlink()
    at = opened("results", run="r")
    assert not at.exception
    assert "How sure" not in shown(at)


def test_what_was_chosen_is_drawn_in_the_background(run: Run, started: Started) -> None:
    at = opened("results", run="r")
    assert not at.exception
    assert at.select_slider[0].value == SampleSettings().n
    assert (at.number_input[0].min, at.number_input[0].max) == (2, 1000)
    assert "8 to 10000" in at.select_slider[0].help
    assert not at.file_uploader
    at.select_slider[0].set_value(1000)
    at.number_input[0].set_value(75)
    at.number_input[1].set_value(7)
    press(at, "Draw the sample")
    assert not at.exception
    ((root, (name, settings), command),) = started
    assert (root, name) == (run.root / "sample", "r")
    assert SampleSettings.model_validate_json(settings) == SampleSettings(n=1000, min_per_stratum=75, seed=7)
    assert command == (sys.executable, "-m", "minedetect.sampling")


def test_no_sample_is_drawn_from_a_run_at_work(run: Run, started: Started) -> None:
    run.write_status(status("running"))
    at = press(opened("results", run="r"), "Draw the sample")
    assert started == []
    assert any("is being worked on" in told for told in alerts(at))


def test_a_drawing_at_work_is_followed_and_can_be_stopped(run: Run) -> None:
    target = sampling.sampling_of(run)
    target.root.mkdir()
    target.write_status(status("running", step="chips", done=30, total=60))
    at = opened("results", run="r")
    assert not at.exception
    bar = at.get("progress")[-1].proto
    assert (bar.value, bar.text) == (50, "Drawing the sample · picture 31 of 60")
    assert {"Stop"} <= {b.label for b in at.button}
    assert not {"Draw the sample", "Make its files"} & {b.label for b in at.button}


def test_a_drawing_that_failed_says_why(run: Run) -> None:
    target = sampling.sampling_of(run)
    target.root.mkdir()
    target.write_status(status("failed", message=HOSTILE[1]))
    at = opened("results", run="r")
    assert any("did not end well" in told for told in alerts(at))
    assert HOSTILE[1] not in shown(at)


def test_what_was_drawn_is_told_with_its_files_and_words(drawn: Run) -> None:
    at = opened("results", run="r")
    assert not at.exception
    strata = next(d.value for d in at.dataframe if "Weight, %" in d.value)
    assert list(strata["Points"]) == [s.points for s in read_design(drawn).strata.values()]
    assert strata["Weight, %"].sum() == pytest.approx(100)
    assert all(f"`{word}`" in shown(at) for word in (*REFERENCES, "unusable"))
    assert "`gone`: mine in 2016, something else in 2025" in plain(at)
    labels = [b.proto.label.replace("\\", "") for b in at.get("download_button")]
    assert [label.split()[0] for label in labels if label.startswith("sample.")] == ["sample.csv", "sample.geojson"]
    assert any(link.proto.url == "/zips/r/sample" for link in at.get("link_button"))
    assert "No chips were made" in plain(at)
    assert "Draw the sample" not in [b.label for b in at.button]


def test_the_zip_of_a_sample_tells_nothing_of_the_map(drawn: Run) -> None:
    client = TestClient(Starlette(routes=routes.routes()), base_url="http://127.0.0.1")
    answer = client.get("/zips/r/sample")
    sample_id = read_design(drawn).sample_id
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        names = {f"{sample_id}/{name}" for name in ("sample.csv", "sample.geojson", "README.txt")}
        assert set(packed.namelist()) == names
    drawn.write_json(SAMPLE_DESIGN, {**drawn.read_json(SAMPLE_DESIGN), "sample_id": "../../r"})
    assert client.get("/zips/r/sample").status_code == 404
    drawn.path(SAMPLE_DESIGN).unlink()
    assert client.get("/zips/r/sample").status_code == 404


def test_files_that_are_not_there_are_made_again_alike(drawn: Run, started: Started) -> None:
    table(drawn).unlink()
    press(opened("results", run="r"), "Make its files")
    assert SampleSettings.model_validate_json(started[0][1][1]) == FEW


def test_labels_come_back_as_hectares(drawn: Run) -> None:
    at = opened("results", run="r")
    at = press(at, "Estimate the hectares")
    assert any("Choose the table of this sample first" in told for told in alerts(at))
    assert not drawn.has(ESTIMATE)
    at = read_back(at, "../mine done.csv", as_csv(filled(table(drawn), truth())))
    assert not at.exception
    assert any("labels were read" in told for told in alerts(at))
    content = drawn.read_json(ESTIMATE)
    shown_table = next(d.value for d in at.dataframe if "95 % interval, ha" in d.value)
    new = content["areas"]["new"]
    assert next(iter(shown_table["Hectares"])) == "New"
    assert shown_table["Estimated, ha"][0] == new["ha"]
    assert shown_table["On the map, ha"][0] == new["mapped_ha"]
    assert shown_table["95 % interval, ha"][0] == f"{new['low_ha']:,.1f} to {new['high_ha']:,.1f}"
    accuracy = next(d.value for d in at.dataframe if "Class" in d.value)
    assert accuracy["User's accuracy (95 %)"][2] == estimates.between(content["accuracy"]["users"]["new"])
    assert "60 places" in plain(at)


def test_places_that_could_not_be_told_are_not_counted(drawn: Run) -> None:
    rows = filled(table(drawn), truth())
    for row in rows[:3]:
        row["reference"] = "unusable"
    at = read_back(opened("results", run="r"), "done.csv", as_csv(rows))
    assert "57 of 60 places that people looked at; 3 could not be told" in plain(at)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "first line must name"),
        ("<script>alert(1)</script>", "first line must name"),
        (f"point,lon,lat,row,col,reference\n{HOSTILE[1]},1,2,3,4,{HOSTILE[0]}\n", "of another sample than"),
        ('point,lon,lat,row,col,reference\n"x,1,2\n', "is damaged in line"),
    ],
)
def test_a_wrong_file_is_refused_in_words(drawn: Run, content: str, told: str) -> None:
    at = read_back(opened("results", run="r"), "x{{7*7}}.csv", content)
    assert not at.exception
    assert any(told in words for words in (a.replace("\\", "") for a in alerts(at)))
    assert not any(text in shown(at) for text in HOSTILE)
    assert not drawn.has(ESTIMATE)


def test_what_was_not_filled_in_is_named(drawn: Run) -> None:
    at = read_back(opened("results", run="r"), "sample.csv", table(drawn).read_text())
    assert any("has no reference" in told for told in (a.replace("\\", "") for a in alerts(at)))
    assert not drawn.has(ESTIMATE)


def other_map(run: Run) -> None:
    before, after = mapped()
    after[0, 100] = 1
    summary = run.path(SUMMARY_FILE).read_text()
    write_run(run.root, (before, after))
    run.path(SUMMARY_FILE).write_text(summary)


def test_another_map_needs_another_sample_and_a_tick(drawn: Run, tmp_path: Path, started: Started) -> None:
    (tmp_path / "done.csv").write_text(as_csv(filled(table(drawn), truth())))
    estimate_run(drawn, tmp_path / "done.csv")
    kept = drawn.path(SAMPLE_DESIGN).read_bytes()
    other_map(drawn)
    at = opened("results", run="r")
    assert any("another map or sample" in told for told in alerts(at))
    assert not at.file_uploader
    assert "drawn from an earlier map" in next(c.label for c in at.checkbox if "earlier" in c.label)
    press(at, "Draw the sample")
    assert started == []
    assert any("Tick that" in told for told in alerts(at))
    next(c for c in at.checkbox if "earlier" in c.label).check()
    press(at, "Draw the sample")
    assert len(started) == 1
    assert drawn.path(SAMPLE_DESIGN).read_bytes() == kept


def test_a_sample_is_given_up_only_by_its_name(drawn: Run) -> None:
    sample_id = read_design(drawn).sample_id
    at = opened("results", run="r")
    press(at, "Give it up for good")
    assert any("nothing was given up" in told for told in alerts(at))
    assert read_design(drawn).sample_id == sample_id
    at.text_input[0].set_value(sample_id)
    press(at, "Give it up for good")
    assert not at.exception
    assert any("was given up" in told for told in alerts(at))
    assert not drawn.has(SAMPLE_DESIGN)
    assert sample_id in drawn.path(LOG).read_text()
    assert "Draw the sample" in [b.label for b in at.button]


@pytest.mark.parametrize("content", ["{", "[]", '{"areas": 3, "accuracy": [], "notes": 4}', '{"sample_id": 7}'])
def test_a_damaged_estimate_or_design_is_a_sentence(drawn: Run, content: str) -> None:
    drawn.path(ESTIMATE).write_text(content)
    at = opened("results", run="r")
    assert not at.exception
    assert "Downloads" in [h.value for h in at.header]
    drawn.path(SAMPLE_DESIGN).write_text(content)
    at = opened("results", run="r")
    assert not at.exception
    assert any("damaged" in told for told in alerts(at))


def test_notes_and_years_of_an_estimate_are_never_markup(drawn: Run) -> None:
    for text in HOSTILE:
        drawn.write_json(ESTIMATE, {"sample_id": text, "areas": {"new": {"ha": text}}, "notes": [text], "points": text})
        at = opened("results", run="r")
        assert not at.exception
        assert not any(text in e.value for kind in ("markdown", "caption", "warning") for e in at.get(kind))


def test_rows_that_were_drawn_are_the_rows_that_are_handed_out(drawn: Run) -> None:
    rows = list(csv.DictReader(table(drawn).open()))
    assert [r["point"] for r in rows] == [p.point for p in read_design(drawn).points]
    assert np.unique([r["point"] for r in rows]).size == 60
