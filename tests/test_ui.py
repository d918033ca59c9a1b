from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from ui_support import (
    CONFIG,
    EVALUATION,
    HOSTILE,
    alerts,
    finished_run,
    home,
    metrics,
    opened,
    run_in_state,
    shown,
    write_networks,
)

from minedetect import draft, jobs, runs, server
from minedetect.runs import Run
from minedetect.ui import downloads, scores, words

__all__ = ["home"]

STEP_WORDS = ("**Done.**", "**Ready.**", "**Next.**", "**Under", "Later.")


@pytest.fixture
def demo(home: Path) -> Run:
    return finished_run(home)


def test_overview_of_an_empty_home_says_what_to_do(home: Path) -> None:
    at = opened()
    assert not at.exception
    assert "There is no run yet" in shown(at)
    assert [b.label for b in at.button] == ["Build the built-in district"]
    assert "This computer works on" in shown(at)


def test_the_button_starts_the_demo(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(jobs, "start", lambda run, arguments: started.append((run.name, list(arguments))))
    opened().button[0].click().run()
    assert started == [("demo", ["demo", "demo"])]


def test_overview_of_a_finished_run(demo: Run) -> None:
    at = opened(main=True)
    assert not at.exception
    assert metrics(at) == {
        "Mining in 2016": "3,841.2 ha",
        "Mining in 2025": "5,012.7 ha",
        words.NEW: "1,234.5 ha",
        words.GONE: "67.8 ha",
        "Net change": "+1,171.5 ha",
    }
    assert ":green-badge[done]" in shown(at)
    assert ":orange-badge[needs review]" in shown(at)
    assert [b.label for b in at.button] == ["Open results"]


def test_overview_of_a_running_run_shows_step_and_progress(home: Path) -> None:
    run_in_state(home, "running", step="train", done=12, total=60)
    at = opened()
    assert not at.exception
    assert ":blue-badge[running]" in shown(at)
    progress = at.get("progress")[0].proto
    assert progress.value == 20
    assert "Step 2 of 5 · Training the model · epoch 12 of 60" in progress.text.replace("\\", "")
    assert [b.label for b in at.button] == ["Stop"]


def test_a_run_that_just_starts_says_so(home: Path) -> None:
    run_in_state(home, "running", steps=())
    assert opened().get("progress")[0].proto.text == "Starting"


def path(at: AppTest) -> list[str]:
    """The first word of each step on the Overview."""
    return [text.split(".")[0].strip("*") for text in (c.value for c in at.caption) if text.split()[0] in STEP_WORDS]


def test_the_path_begins_with_the_data(home: Path) -> None:
    at = opened()
    assert path(at) == ["Next", "Later", "Later", "Later", "Later"]
    labels = [link.proto.label for link in at.get("page_link")]
    assert labels == [rf"**{n}\. {t}**" for n, t in enumerate(("Data", "Mask", "Train", "Results", "Compare"), 1)]


def test_a_draft_is_listed_with_what_it_lacks(home: Path) -> None:
    draft.create("mine_1")
    at = opened()
    assert path(at) == ["Next", "Later", "Later", "Later", "Later"]
    assert "Give the image of the first date." in shown(at).replace("\\", "")
    *steps, link = (link.proto for link in at.get("page_link"))
    assert [step.query_string for step in steps] == ["run=mine_1"] * 3 + ["", ""]
    assert (link.label, link.query_string) == (r"mine\_1", "run=mine_1")


def test_the_path_follows_the_latest_run(home: Path) -> None:
    run = run_in_state(home, "running", step="train")
    assert path(opened()) == ["Done", "Done", "Under way", "Later", "Later"]
    run_in_state(home, "stopped")
    assert path(opened()) == ["Done", "Done", "Next", "Later", "Later"]
    run.write_json(runs.EVALUATION, EVALUATION)
    assert path(opened()) == ["Done", "Done", "Done", "Next", "Later"]
    finished_run(home, "other")
    at = opened()
    assert path(at) == ["Done", "Done", "Done", "Done", "Ready"]
    assert [link.proto.query_string for link in at.get("page_link")] == ["", "", "run=other", "run=other", ""]


@pytest.mark.parametrize(
    ("state", "badge", "advice"),
    [
        ("failed", ":red-badge[failed]", "ended with a fault"),
        ("stopped", ":orange-badge[stopped]", "stopped on request"),
        ("interrupted", ":orange-badge[interrupted]", "shut down"),
    ],
)
def test_a_run_that_ended_early_says_why_and_what_to_do(home: Path, state: str, badge: str, advice: str) -> None:
    log = (
        'predict: started\nTraceback (most recent call last):\n  File "x.py", line 1\n    boom\nValueError: no bands\n'
    )
    written = "running" if state == "interrupted" else state
    run = run_in_state(home, written, log=log, message="Give *five* bands.", pid=0, pid_created_s=0.0)
    for at in (opened(), opened("results", run="demo")):
        assert not at.exception
        assert advice in shown(at)
        assert (r"Give \*five\* bands\." in shown(at)) == (state != "stopped")
        assert at.code[0].value == "predict: started\nValueError: no bands"
    at = opened()
    assert badge in shown(at)
    assert [b.label for b in at.button] == ["Build the built-in district again"]
    run.write_json(runs.CONFIG, CONFIG)
    assert [b.label for b in opened().button] == ["Build the built-in district again", "Resume"]


def test_results_start_with_the_verdict_and_its_reasons(demo: Run) -> None:
    at = opened("results", main=True, run="demo")
    assert not at.exception
    assert at.warning[0].value.startswith("**Needs review.")
    assert r"Band B11 drifted by 6 \% between the dates\." in at.warning[0].value
    assert at.selectbox[0].value == "demo"


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [("plausible", "success"), ("review", "warning"), ("implausible", "error"), ("unknown", "info"), ("odd", "info")],
)
def test_each_verdict_has_its_alert(home: Path, verdict: str, kind: str) -> None:
    finished_run(home, verdict=verdict, reasons=[])
    at = opened("results", run="demo")
    assert len(at.get(kind)) == len(alerts(at)) == 1


def test_results_show_all_hectares_with_units(demo: Run) -> None:
    at = opened("results", run="demo")
    shown_metrics = metrics(at)
    assert shown_metrics["Mining in 2016"] == "3,841.2 ha"
    assert shown_metrics["Unchanged"] == "3,700.1 ha"
    assert shown_metrics["Net change"] == "+1,171.5 ha"
    assert next(m for m in at.metric if m.label == "Mining in 2025").delta == "+1,171.5 ha since 2016"
    assert "5,020.1 ha in 2025" in shown(at).replace("\\", "")


def test_the_ledger_adds_up_to_the_net_change(demo: Run) -> None:
    ledger = opened("results", run="demo").dataframe[0].value
    everything = ledger[ledger["Kind"] == "All"].iloc[0]
    assert everything["New, ha"] - everything["Gone, ha"] == pytest.approx(1171.5)
    assert list(ledger["Kind"]) == ["Firm", "Doubtful", "Ring", "Sieved", "All"]


def test_results_list_each_mine(demo: Run) -> None:
    mines = opened("results", run="demo").dataframe[1].value
    assert list(mines["Mine"]) == ["Nchanga", "Mimbula", "outside the labels"]
    assert list(mines["2016, ha"]) == [1180.0, 1080.0, 980.0]


def test_results_show_the_pictures_in_order_with_alt_texts(demo: Run) -> None:
    at = opened("results", run="demo")
    images = [element.proto.imgs[0] for element in at.get("image")]
    assert [image.caption.split()[0] for image in images] == ["Both", "How", "The", "The"]
    assert "Scene north" in images[3].caption
    assert all(image.alt for image in images)


def test_results_explain_the_scores(demo: Run) -> None:
    at = opened("results", run="demo")
    assert metrics(at)["Overlap (IoU)"] == "0.62"
    text = shown(at).replace("\\", "")
    assert "found 73 % of the ground labelled as mine" in text
    assert "The best rule on a single index (NDBI above 0.05) reaches 0.31" in text
    assert "too few separate blocks" in text


def test_a_model_no_better_than_a_plain_rule_is_called_that(demo: Run) -> None:
    assert "no better than that rule" not in shown(opened("results", run="demo"))
    demo.write_json(runs.EVALUATION, {**EVALUATION, "iou": 0.2})
    assert "no better than that rule" in shown(opened("results", run="demo"))


def test_the_invented_district_is_held_against_its_truth(demo: Run) -> None:
    truth = opened("results", run="demo").dataframe[-1].value
    assert list(truth["True, ha"]) == [3900.0, 5100.5]
    assert list(truth["Found, ha"]) == [3841.2, 5012.7]


def test_results_of_a_run_at_work_say_that_they_may_change(home: Path) -> None:
    run_in_state(finished_run(home).root.parent, "running", step="train", done=3, total=60)
    at = opened("results", run="demo")
    assert "being worked on" in at.info[0].value
    assert len(at.get("progress")) == 1


def test_the_curve_leaves_out_a_half_written_line(demo: Run) -> None:
    at = opened("results", run="demo")
    assert not at.get("plotly_chart")
    at.session_state[f"{scores.EPOCHS} demo"] = True
    charts = at.run().get("plotly_chart")
    assert len(charts) == 2
    assert json.loads(charts[1].proto.spec)["data"][0]["x"] == [*range(1, 13)]


def test_the_curve_of_one_of_several_networks_is_called_that(demo: Run) -> None:
    write_networks(demo, 12, 12, 3)
    at = opened("results", run="demo")
    at.session_state[f"{scores.EPOCHS} demo"] = True
    charts = at.run().get("plotly_chart")
    assert json.loads(charts[0].proto.spec)["data"][0]["x"] == [1, 2, 3]
    assert "those of network 3 of 3" in shown(at)


def test_every_artifact_can_be_downloaded(demo: Run) -> None:
    write_networks(demo, 12, 12)
    buttons = opened("results", run="demo").get("download_button")
    labels = " ".join(button.proto.label.replace("\\", "") for button in buttons)
    there = {p.relative_to(demo.root).as_posix() for p in demo.root.rglob("*") if p.is_file()}
    assert there == {name for name in there if f"{name} (" in labels}


def test_downloads_know_every_artifact_name() -> None:
    known = {name for names in downloads.GROUPS.values() for name in names}
    constants = {value for name, value in vars(runs).items() if name.isupper() and isinstance(value, str)}
    alone = (
        *(runs.CHECKPOINT, runs.SCENES_FOLDER, runs.FOLDS_FOLDER),
        *(runs.DRAFT, runs.DRAFT_LOCK, runs.CHECK_FOLDER, runs.SAMPLES),
    )
    assert constants - {*alone} <= known  # what is of use to the program alone


def test_a_run_that_only_trained_shows_what_there_is(demo: Run) -> None:
    demo.path(runs.SUMMARY).unlink()
    at = opened("results", run="demo")
    assert not at.exception
    assert "compared no dates" in shown(at)
    assert metrics(at)["Recall"] == "0.73"
    assert not opened().exception


def test_a_damaged_file_is_one_sentence_and_the_rest_stays(demo: Run) -> None:
    demo.path(runs.SUMMARY).write_text("{", encoding="utf-8")
    at = opened("results", run="demo")
    assert not at.exception
    assert [a.value for a in at.error if "is damaged" in a.value]
    assert metrics(at)["Recall"] == "0.73"


@pytest.mark.parametrize("name", ["broken", "demo"])
def test_a_damaged_status_does_not_hide_other_runs(home: Path, name: str) -> None:
    finished_run(home, "other")
    Run(home / name).root.mkdir(parents=True)
    Run(home / name).path(runs.STATUS).write_text("[]", encoding="utf-8")
    at = opened()
    assert not at.exception
    assert "is damaged" in shown(at)
    assert "Open results" in [b.label for b in at.button]


@pytest.mark.parametrize("name", ["nowhere", "../../etc", "<b>"])
def test_an_unknown_run_is_refused_in_words(demo: Run, name: str) -> None:
    at = opened("results", run=name)
    assert not at.exception
    assert len(at.error) == 1
    assert at.selectbox[0].options == ["demo"]


def test_results_without_runs_lead_to_the_overview(home: Path) -> None:
    at = opened("results", main=True)
    assert not at.exception
    assert "There is no run yet" in shown(at)


def test_choosing_another_run_changes_the_address(demo: Run, home: Path) -> None:
    finished_run(home, "second", verdict="plausible", reasons=[])
    at = opened("results", run="demo")
    at.selectbox[0].select("second").run()
    assert at.query_params["run"] in ("second", ["second"])
    assert len(at.success) == 1


def test_text_from_files_is_never_markup(home: Path) -> None:
    mines = [{"mine": text, "status": text, "labelled_ha": 1.0} for text in HOSTILE]
    finished_run(home, reasons=list(HOSTILE), notes=list(HOSTILE), mine_definition=HOSTILE[1], per_mine=mines)
    at = opened("results", run="demo")
    assert not at.exception
    for text in HOSTILE:
        assert text in [t.value for t in at.text]
        assert text not in at.warning[0].value
        assert f"- {words.literal(text)}" in at.warning[0].value
    assert list(at.dataframe[1].value["Mine"]) == list(HOSTILE)


def test_literal_escapes_every_mark() -> None:
    assert words.literal("a_b: <i>\n# $x$ 1.5") == r"a\_b\: \<i\> \# \$x\$ 1\.5"


@pytest.mark.parametrize("name", ["overview", "train", "results"])
def test_pages_are_quick(demo: Run, name: str) -> None:
    took_s = []
    for _ in range(4):
        started = time.process_time()  # what the script costs, whatever else the machine does
        opened(name, run="demo")
        took_s.append(time.process_time() - started)
    assert min(took_s) < 0.3


def test_the_web_process_never_loads_torch(demo: Run) -> None:
    code = f"""
import runpy, sys
from streamlit.testing.v1 import AppTest
sys.path.insert(0, {str(server.ROOT)!r})
import app
for page in ("main", "train", "results"):
    file = {str(server.MAIN)!r} if page == "main" else {str(server.PAGES)!r} + f"/{{page}}.py"
    at = AppTest.from_file(file, default_timeout=20)
    at.query_params["run"] = "demo"
    assert not at.run().exception
print([name for name in sys.modules if name.split(".")[0] in ("torch", "lightning_fabric", "lightning")])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=demo.root)
    assert answer.stdout.strip().splitlines()[-1] == "[]"


def test_scores_may_be_missing(demo: Run) -> None:
    demo.write_json(runs.EVALUATION, {"iou": EVALUATION["iou"]})
    at = opened("results", run="demo")
    assert not at.exception
    assert metrics(at)["Overlap (Dice)"] == "not known"
