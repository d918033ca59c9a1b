from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from ui_support import (
    CONFIG,
    HOSTILE,
    SUMMARY,
    alerts,
    finished_run,
    home,
    opened,
    run_in_state,
    shown,
    status,
    write_networks,
    write_older_metrics,
)

from minedetect import jobs, runs
from minedetect.draft import check_run
from minedetect.errors import RunError
from minedetect.runs import Run, list_runs
from minedetect.ui import comparison, frame, words

__all__ = ["home"]

RANGES = {
    "hectares": {"2016": {"low": 3700.0, "high": 4000.5}},
    "new_ha": {"low": 1100.0, "high": 1300.0},
}


def asked(run: Run, **settings: object) -> None:
    run.write_json(runs.CONFIG, {**CONFIG, "settings": {**dict(CONFIG["settings"]), **settings}})


def compared(*names: str) -> AppTest:
    at = opened(main=True)
    at.switch_page(str(frame.COMPARE))
    if names:
        at.query_params["run"] = list(names)
    return at.run()


@pytest.fixture
def two(home: Path) -> tuple[Run, Run]:
    first, second = finished_run(home, "first", sensitivity=RANGES), finished_run(home, "second", new_ha=99.0)
    asked(second, epochs=7, flips=False)
    return first, second


def test_without_runs_the_page_says_what_to_do(home: Path) -> None:
    at = compared()
    assert not at.exception
    assert "there is none yet" in at.info[0].value
    assert [link.proto.label for link in at.get("page_link")] == ["Go to Train", "Go to Data"]
    assert not at.button


def test_one_run_is_not_enough_and_can_still_be_deleted(home: Path) -> None:
    finished_run(home, "only")
    run_in_state(home, "failed", "early")
    at = compared()
    assert "there is one, only." in at.info[0].value
    assert not at.multiselect
    assert sorted(at.selectbox[0].options) == ["early", "only"]


def test_curves_of_an_older_version_are_told_apart_from_none(two: tuple[Run, Run]) -> None:
    write_older_metrics(two[0], 3)
    at = compared("first", "second")
    assert not at.exception
    assert "first was trained by an older version, whose curves cannot be shown" in shown(at)
    assert "has no curves" not in shown(at)


def test_two_runs_side_by_side(two: tuple[Run, Run]) -> None:
    at = compared("second", "first")
    assert not at.exception
    assert at.multiselect[0].value == ["second", "first"]
    hectares, scores, settings = (table.value for table in at.dataframe)
    assert list(hectares["Run"]) == list(scores["Run"]) == ["second", "first"]
    assert list(hectares["New"]) == ["99.0 ha", "1,234.5 ha (1,100.0 to 1,300.0 ha)"]
    assert list(hectares["First year"]) == ["3,841.2 ha", "3,841.2 ha (3,700.0 to 4,000.5 ha)"]
    assert list(hectares["Verdict"]) == ["needs review"] * 2
    assert list(scores["IoU, 0 to 1"]) == ["0.62", "0.62"]
    assert settings.to_dict("list") == {
        comparison.SETTING: ["--flips", "--epochs"],
        "second": ["false", "7"],
        "first": ["true", "60"],
    }
    links = [link.proto for link in at.get("page_link")]
    assert [link.query_string for link in links] == ["run=second", "run=first"]


def test_each_run_has_one_colour_and_dash_in_all_curves(two: tuple[Run, Run]) -> None:
    specs = [json.loads(chart.proto.spec)["data"] for chart in compared("first", "second").get("plotly_chart")]
    assert len(specs) == 3
    for lines in specs:
        assert [line["name"] for line in lines] == ["first", "second"]
        assert [(line["line"]["color"], line["line"]["dash"]) for line in lines] == list(comparison.LINES[:2])
        assert lines[0]["x"] == [*range(1, 13)]


def test_choosing_changes_the_address(two: tuple[Run, Run], home: Path) -> None:
    finished_run(home, "third")
    at = compared("first", "second")
    at.multiselect[0].select("third").run()
    assert at.query_params["run"] == ["first", "second", "third"]
    assert list(at.dataframe[0].value["Run"]) == ["first", "second", "third"]
    at.multiselect[0].set_value(["third"]).run()
    assert "at least two" in alerts(at)[0]


def test_more_than_four_runs_are_not_left_out_in_silence(home: Path) -> None:
    names = [finished_run(home, f"run-{number}").name for number in range(5)]
    at = compared(*names)
    assert at.multiselect[0].value == names[:4]
    assert at.warning[0].value == "5 runs were asked for. Only the first 4 are shown."


def test_unknown_runs_in_the_address_are_said_in_words(two: tuple[Run, Run]) -> None:
    unknown = ("nowhere", "../../etc", "<b>")
    at = compared("first", *unknown)
    assert not at.exception
    assert at.warning[0].value == f"There is no finished or trained run {words.literal(', '.join(unknown))}\\."
    assert at.multiselect[0].value == ["first"]


def test_a_run_that_trained_alone_is_compared_in_what_it_has(two: tuple[Run, Run]) -> None:
    two[1].path(runs.SUMMARY).unlink()
    two[1].path(runs.METRICS).unlink()
    at = compared("first", "second")
    assert list(at.dataframe[0].value["Run"]) == ["first"]
    assert "second compared no dates" in shown(at)
    assert "second has no curves" in shown(at)


def test_curves_of_one_of_several_networks_are_called_that(two: tuple[Run, Run]) -> None:
    assert "several networks" not in shown(compared("first", "second"))
    write_networks(two[1], 12, 3)
    at = compared("first", "second")
    assert "second has several networks; the curves are those of the one that was trained last" in shown(at)
    lines = json.loads(at.get("plotly_chart")[0].proto.spec)["data"]
    assert lines[1]["x"] == [1, 2, 3]


def test_runs_on_different_files_are_said_to_be(two: tuple[Run, Run]) -> None:
    assert not compared("first", "second").warning
    for run, digest in zip(two, ("aa", "bb"), strict=True):
        inputs = {"before": {"name": "a.tif", "sha256": digest}, "labels": {"name": "l.geojson", "sha256": "cc"}}
        run.write_json(runs.SUMMARY, {**SUMMARY, "provenance": {"inputs": inputs}})
    assert "different files (before)" in compared("first", "second").warning[0].value.replace("\\", "")


def test_text_from_files_is_never_markup(home: Path) -> None:
    plain, hostile = finished_run(home, "plain"), finished_run(home, HOSTILE[2], years=list(HOSTILE[:2]))
    asked(plain)
    asked(hostile, mine_definition=HOSTILE[1], **{HOSTILE[0]: HOSTILE[3]})
    at = compared("plain", HOSTILE[2])
    assert not at.exception
    settings = at.dataframe[2].value
    assert {HOSTILE[1], HOSTILE[3]} <= set(settings[HOSTILE[2]])
    assert all(text not in shown(at).replace("\\", "") for text in HOSTILE)
    assert all(link.proto.label != f"Results of {HOSTILE[2]}" for link in at.get("page_link"))
    chart = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert chart["data"][1]["name"] == words.in_html(HOSTILE[2])


def test_a_run_is_deleted_only_when_its_name_is_typed(two: tuple[Run, Run], home: Path) -> None:
    at = compared("first", "second")
    at.selectbox[0].select("second").run()
    at.button[0].click().run()
    at.text_input[0].input("first")
    at.button[1].click().run()
    assert "nothing was deleted" in at.error[0].value
    assert two[1].has(runs.SUMMARY)
    at.text_input[0].input("second")
    at.button[1].click().run()
    assert [run.name for run in list_runs()] == ["first"]
    assert [path.name for path in home.iterdir()] == ["first"]
    assert "The run second is deleted." in at.success[0].value
    assert at.selectbox[0].value is None
    assert "there is one, first." in at.info[0].value


def test_an_active_run_is_not_deleted(two: tuple[Run, Run]) -> None:
    two[1].write_status(status("running", step="train"))
    at = compared("first", "second")
    at.selectbox[0].select("second").run()
    at.button[0].click().run()
    at.text_input[0].input("second")
    at.button[1].click().run()
    assert "being worked on" in at.error[0].value
    assert two[1].has(runs.SUMMARY)


def test_a_run_that_is_written_or_checked_is_not_deleted(home: Path) -> None:
    run = finished_run(home)
    with run.locked(), pytest.raises(RunError, match="in use"):
        jobs.delete(run)
    check_run(run).root.mkdir()
    check_run(run).write_status(status("running"))
    with pytest.raises(RunError, match="being checked"):
        jobs.delete(run)
    assert run.has(runs.SUMMARY)


def test_no_link_is_followed(home: Path, tmp_path: Path) -> None:
    outside, run = finished_run(tmp_path, "outside"), finished_run(home, "inside")
    (home / "link").symlink_to(outside.root)
    run.path("scenes").joinpath("link").symlink_to(outside.root)
    for refused in (Run(home / "link"), outside, Run(home / "inside" / ".." / "inside"), Run(home)):
        with pytest.raises(RunError):
            jobs.delete(refused)
    jobs.delete(run)
    assert not run.root.exists()
    assert (home / "link").is_symlink()
    assert outside.has(runs.SUMMARY)


def test_what_a_deletion_cut_short_left_is_no_run(home: Path) -> None:
    finished_run(home, f"{jobs.GONE}abc")
    assert list_runs() == []
