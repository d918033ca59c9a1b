"""The page Data, as a visitor sees it."""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from draft_support import FACTS, IMAGE, drafted, found, given
from streamlit.testing.v1 import AppTest
from ui_support import HOSTILE, alerts, home, opened, run_in_state, shown

from minedetect import draft as drafts
from minedetect import incoming, jobs, server
from minedetect.runs import DRAFT, Run, Status
from minedetect.ui import data, words

__all__ = ["home"]

Started = list[tuple[Path, list[str], tuple[str, ...]]]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What is started in the background, instead of starting it."""
    lines: Started = []

    def start(run: Run, arguments: list[str], command: tuple[str, ...] = jobs.COMMAND) -> None:
        lines.append((run.root, list(arguments), tuple(command)))
        run.write_status(Status(run_id=run.name, state="running", pid=0))

    monkeypatch.setattr(jobs, "start", start)
    monkeypatch.delenv(incoming.DATA, raising=False)
    return lines


def plain(at: AppTest) -> str:
    return shown(at).replace("\\", "")


def zones(at: AppTest) -> list[Any]:
    return list(at.get("bidi_component"))


def buttons(at: AppTest) -> dict[str, bool]:
    return {button.label: button.disabled for button in at.button}


def test_without_anything_there_are_four_places_for_files(home: Path) -> None:
    at = opened("data", main=True)
    assert not at.exception
    assert len(zones(at)) == 4
    assert at.text_input(key="name of the draft").value == "run-1"
    assert buttons(at) == {"Look at the mask": True}
    assert incoming.DATA in shown(at)
    assert not home.exists() or list(home.glob(f"*/{DRAFT}")) == []


def test_the_first_thing_said_puts_a_draft_on_disk(home: Path) -> None:
    at = opened("data", main=True)
    at.text_input(key="name of the draft").set_value("north").run()
    at.text_input(key="new year 0").set_value(" 2016 ").run()
    assert not at.exception
    assert drafts.read(Run(home / "north")).years == ("2016", "")
    assert at.query_params["run"] in ("north", ["north"])
    again = opened("data", run="north")
    assert again.text_input(key="north year 0").value == "2016"


def test_a_taken_name_is_refused_in_words(home: Path) -> None:
    drafted(home, "north")
    at = opened("data")
    at.text_input(key="name of the draft").set_value("north").run()
    at.text_input(key="new year 0").set_value("2016").run()
    assert "already" in alerts(at)[0]
    at.text_input(key="name of the draft").set_value("../up").run()
    at.text_input(key="new year 0").set_value("2016").run()
    assert "not the name of a run" in alerts(at)[0]


def test_a_draft_is_checked_once_and_followed(home: Path, started: Started) -> None:
    run = drafted(home)
    at = opened("data", run="mine")
    assert not at.exception
    assert [(root, line) for root, line, _ in started] == [(drafts.check_run(run).root, ["mine"])]
    assert started[0][2] == (sys.executable, "-m", "minedetect.inspection")
    assert ":gray-badge[being checked]" in shown(at)


def test_a_check_that_died_is_not_started_for_ever(home: Path, started: Started) -> None:
    drafted(home)
    opened("data", run="mine")
    at = opened("data", run="mine")
    assert len(started) == 1
    assert "ended without an answer" in alerts(at)[0]
    next(b for b in at.button if b.label == "Check again").click().run()
    assert len(started) == 2


def test_what_was_found_is_shown_in_words(home: Path, started: Started) -> None:
    run = found(drafted(home))
    at = opened("data", main=True, run="mine")
    assert not at.exception
    assert started == []
    text = plain(at)
    assert "B2, B3, B4, B8, B11 · 1,024 x 768 px · pixels of 9.851 m · EPSG:4326 · float32 · nodata nan" in text
    assert "2 outlines" in text
    assert "14.3 MB · SHA-256" in text
    assert "1 thing to look at; training can go on" in text
    assert "1 check in order" in [e.label for e in at.expander]
    assert len(at.get("image")) == 2
    assert buttons(at)["Look at the mask"] is False
    next(b for b in at.button if b.key == "remove after").click().run()
    assert "after" not in drafts.read(run).inputs
    assert len(started) == 1


def test_a_file_that_cannot_be_used_says_why_beside_it(home: Path) -> None:
    problem = "x.tif is not a TIFF file, whatever its name says."
    found(drafted(home), files={**FACTS, "after": {"problem": problem}}, verdict="ok")
    at = opened("data", run="mine")
    assert problem in alerts(at)[0].replace("\\", "")
    assert ":red-badge[cannot be used]" in shown(at)
    assert "1 thing must be mended" in plain(at)


def test_years_days_and_the_definition_are_kept(home: Path) -> None:
    run = found(drafted(home))
    at = opened("data", run="mine")
    at.text_input(key="mine year 1").set_value("2024").run()
    at.date_input(key="mine acquired").set_value(datetime.date(2016, 8, 24)).run()
    at.text_input(key="mine mine_definition").set_value("Pits alone").run()
    assert not at.exception
    draft = drafts.read(run)
    assert draft.years == ("2016", "2024")
    assert draft.values == {"acquired": "2016-08-24", "mine_definition": "Pits alone"}
    found(run)
    again = opened("data", run="mine")
    assert again.date_input(key="mine acquired").value == datetime.date(2016, 8, 24)


def test_bands_without_names_are_asked_for_with_a_proposal(home: Path) -> None:
    run = found(drafted(home), files={**FACTS, "before": {**IMAGE, "bands": []}})
    at = opened("data", run="mine")
    field = next(t for t in at.text_input if t.label == "Bands in the file's order")
    assert field.value == "B2,B3,B4,B8,B11"
    next(b for b in at.button if b.label == "These are the bands").click().run()
    assert drafts.read(run).values == {"bands": "B2,B3,B4,B8,B11"}


def test_names_of_the_other_date_are_proposed_first() -> None:
    unnamed = {**IMAGE, "bands": []}
    assert data.proposed([unnamed], []) == "B2,B3,B4,B8,B11"
    assert data.proposed([unnamed], [{**IMAGE, "bands": ["RED", "NIR"]}]) == "RED,NIR"
    assert data.proposed([unnamed], [{**IMAGE, "count": 3}]) == "B2,B3,B4,B8,B11"
    assert data.proposed([{**unnamed, "proposal": "NAME1,NAME2"}], []) == ""


def test_classes_and_layer_are_asked_for_where_they_matter(home: Path) -> None:
    files = {**FACTS, "labels": {**IMAGE, "raster": True}}
    run = found(drafted(home), files=files)
    at = opened("data", run="mine")
    at.text_input(key="mine classes").set_value("3, 5 and 7").run()
    assert drafts.read(run).mine_classes == (3, 5, 7)
    run = found(drafted(home, "other"), files={**FACTS, "labels": {**FACTS["labels"], "undecided": "Two layers."}})
    at = opened("data", run="other")
    at.text_input(key="other layer").set_value("pits").run()
    assert drafts.read(run).values == {"layer": "pits"}


def test_a_file_on_the_server_is_taken_as_it_lies(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big.tif").write_bytes(b"12345")
    monkeypatch.setenv(incoming.DATA, str(tmp_path / "data"))
    at = opened("data")
    at.selectbox(key="server before").set_value("big.tif").run()
    next(b for b in at.button if b.key == "use before").click().run()
    assert not at.exception
    kept = drafts.read(Run(home / "run-1")).inputs["before"]
    assert (kept.path, kept.name, kept.size_bytes) == (str(tmp_path / "data" / "big.tif"), "big.tif", 5)


def test_names_and_messages_are_never_markup(home: Path) -> None:
    for number, text in enumerate(HOSTILE):
        run = drafted(home, f"h{number}", inputs={"before": given(home, "before", text)})
        check = {"name": "ids", "verdict": "warning", "message": text}
        found(run, files={"before": {"problem": text}}, checks=[check], shown=[text])
        at = opened("data", run=f"h{number}")
        assert not at.exception
        sent = shown(at)
        assert text not in sent
        assert sent.count(words.literal(text)) >= 4


def test_a_bad_address_and_damaged_files_are_a_sentence(home: Path) -> None:
    for name in ("../../etc", "<b>", "nowhere"):
        at = opened("data", run=name)
        assert not at.exception
        assert len(alerts(at)) == 1
    run = drafted(home)
    drafts.check_run(run).root.mkdir()
    drafts.check_run(run).path(drafts.FINDINGS).write_text("{", encoding="utf-8")
    assert "damaged" in alerts(opened("data", run="mine"))[0]
    run.path(DRAFT).write_text("{", encoding="utf-8")
    at = opened("data", run="mine")
    assert not at.exception
    assert "damaged" in alerts(at)[0]


def test_a_run_that_has_begun_says_so(home: Path) -> None:
    found(drafted(home))
    run_in_state(home, "done", "mine")
    at = opened("data", run="mine")
    assert "counts when it is started again" in plain(at)
    assert ":green-badge[done]" in shown(at)


def test_the_page_opens_quickly(home: Path) -> None:
    found(drafted(home))
    at = AppTest.from_file(server.PAGES / "data.py", default_timeout=20)
    at.query_params["run"] = "mine"
    at.run()
    started_s = time.process_time()
    at.run()
    assert time.process_time() - started_s < 1.0


def test_classes_that_are_no_numbers_are_refused_and_not_dropped(home: Path) -> None:
    run = found(drafted(home, "classes", mine_classes=(5,)), files={**FACTS, "labels": {**IMAGE, "raster": True}})
    at = opened("data", run=run.name)
    (asked,) = [t for t in at.text_input if t.label.startswith("Values that are mines")]
    at = asked.set_value("5-8").run()
    assert any("5-8 is no class of a raster" in told.replace("\\", "") for told in alerts(at))
    assert drafts.read(run).mine_classes == (5,)


def test_what_is_missing_is_not_asked_for_twice(home: Path) -> None:
    """Both files are there; what keeps the mask away stands under the checks."""
    assert "Give the image of the first date" in plain(opened("data"))
    wrong = {"problem": "classes.tif holds the values [2, 5]. Say which values are mines: --mine-class N."}
    run = found(drafted(home, "classes"), files={**FACTS, "labels": wrong})
    drafts.check_run(run).path("mask_layer.png").unlink(missing_ok=True)
    told = plain(opened("data", run=run.name))
    assert "Give the image of the first date" not in told
    assert "mend what stands under Checks" in told
    assert "The page Data asks for them: Values that are mines." in told
