"""The command line as a user meets it: output, exit codes, one JSON object."""

import contextlib
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest

from minedetect.cli import main
from minedetect.demo import district_job
from minedetect.pipeline import Job
from minedetect.runs import Run

QUICK = ["--preset", "cpu", "--width", "8", "--epochs", "3", "--tile-px", "64"]
QUICK += ["--max-gap-px", "32", "--device", "cpu", "--window-px", "128"]


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ending:
        main([str(a) for a in arguments])
    return int(ending.value.code or 0)


@dataclass(frozen=True)
class Demo:
    """What `demo --json` left behind: its folder, its code, what it printed."""

    folder: Path
    code: int
    printed: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder, printed = tmp_path_factory.mktemp("demo") / "d", io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = call("demo", folder, "--size", "256", "192", "--json", *QUICK)
    return Demo(folder, code, printed.getvalue())


@pytest.fixture(scope="module")
def inputs(demo: Demo) -> Job:
    return district_job(Run(demo.folder))


@pytest.fixture(scope="module")
def trained(demo: Demo) -> Path:
    return demo.folder


def spoken(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one JSON object on stdout."""
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


def test_demo_prints_the_keys_of_a_comparison(demo: Demo) -> None:
    assert demo.printed.count("\n") == 1
    content = json.loads(demo.printed)
    assert {
        "hectares",
        "new_ha",
        "gone_ha",
        "unchanged_ha",
        "net_ha",
        "change_ha",
        "verdict",
        "plausible",
        "reasons",
        "truth",
    } <= content.keys()
    assert set(content["hectares"]) == {"2016", "2025"}
    assert demo.code == (3 if content["verdict"] == "implausible" else 0)
    names = {p.name for p in (demo.folder / "inputs").iterdir()}
    assert names == {"before_2016.tif", "after_2025.tif", "mines_2016.geojson", "truth_2016.tif", "truth_2025.tif"}


def test_train_prints_its_keys(inputs: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "scenes.csv"
    table.write_text(f"image,labels\n{inputs.before},{inputs.labels}\n")
    assert (
        call("train", "--scenes", table, "--out", tmp_path / "t", "--json", *QUICK[:4], *QUICK[6:], "--epochs", "1")
        == 0
    )
    assert {"iou", "dice", "epochs", "seconds", "patches_per_s", "shared_pixels"} <= spoken(capsys).keys()


def test_evaluate_prints_its_keys(inputs: Job, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert call("evaluate", trained, "--scene", inputs.before, inputs.labels, "--json") == 0
    content = spoken(capsys)
    assert {"iou", "dice", "precision", "recall", "baseline_iou", "ci95", "threshold", "pixels"} <= content.keys()
    assert content["ci95"] is None, "one block is too few for an interval"


def test_predict_prints_its_keys_and_writes_both_rasters(
    inputs: Job, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out, probability = tmp_path / "p.tif", tmp_path / "q.tif"
    assert call("predict", inputs.after, "--model", trained, "--out", out, "--probability", probability, "--json") == 0
    assert {"seconds", "mpx_per_s", "peak_rss_mb", "mine_ha"} <= spoken(capsys).keys()
    assert out.is_file()
    assert probability.is_file()


def test_mask_prints_its_keys(inputs: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("mask", inputs.before, inputs.labels, "--out", tmp_path / "m.tif", "--json") == 0
    content = spoken(capsys)
    assert {"mine_ha", "share", "polygons"} <= content.keys()
    assert content["mine_ha"] == pytest.approx(sum(p["mask_ha"] for p in content["polygons"]), abs=0.1)


def test_check_prints_its_keys_and_writes_pictures(
    inputs: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("check", inputs.before, inputs.labels, "--out", tmp_path / "c", "--json") == 0
    content = spoken(capsys)
    assert content["verdict"] == "warning", "the outlines hold an id twice, and the scene is low"
    assert {c["name"] for c in content["checks"] if c["verdict"] == "warning"} >= {"ids", "size"}
    assert (tmp_path / "c" / "mask_visualization.png").is_file()


def test_check_of_a_pair_tells_what_lies_between_the_dates(
    inputs: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = ["--acquired", "2016-08-24", "--acquired-after", "2025-01-15"]
    pair = ["--pair", inputs.after, "--out", tmp_path / "c", *days]
    assert call("check", inputs.before, inputs.labels, *pair, "--json") == 0
    content = spoken(capsys)
    assert {"shift", "invariant_px", "common_ha"} <= content["pair"].keys()
    verdicts = {c["name"]: c["verdict"] for c in content["checks"]}
    assert verdicts["season"] == "warning"
    assert verdicts["grid_after"] == "ok"
    written = Run(tmp_path / "c").read_json("quality.json")
    assert written["pair"] == content["pair"]
    assert written["checks"] == content["checks"]


def test_a_layer_that_must_be_chosen_is_asked_for_with_its_flag(
    inputs: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = gpd.GeoDataFrame.from_features(json.loads(inputs.labels.read_text())["features"], crs="EPSG:4326")
    for layer in ("old", "new"):
        frame.to_file(tmp_path / "two.gpkg", layer=layer)
    assert call("mask", inputs.before, tmp_path / "two.gpkg", "--out", tmp_path / "m.tif") == 2
    assert "--layer" in capsys.readouterr().err
    assert not (tmp_path / "m.tif").exists()


def test_an_image_beyond_the_limits_is_refused_with_the_flag_to_raise(
    inputs: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("check", inputs.before, inputs.labels, "--max-side-px", "200") == 2
    said = capsys.readouterr().err
    assert "--max-side-px" in said
    assert "256 x 192" in said


def test_change_of_bare_rasters(inputs: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inputs.truth is not None
    code = call("change", *inputs.truth, "--years", "2016", "2025", "--out", tmp_path / "c", "--json")
    content = spoken(capsys)
    assert code == 0
    assert (content["verdict"], content["plausible"]) == ("unknown", None)
    assert content["net_ha"] == pytest.approx(content["hectares"]["2025"] - content["hectares"]["2016"], abs=0.02)


def test_change_prints_the_ledger_and_what_could_not_be_told(
    inputs: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inputs.truth is not None
    assert call("change", *inputs.truth, "--years", "a", "b", "--out", tmp_path / "c", "--shift-px", "1.4") == 0
    said = capsys.readouterr().out
    assert re.search(r"all new +[\d,.]+ ha = firm [\d,.]+, doubtful 0.0, ring [\d,.]+, sieved 0.0", said)
    assert "no probability rasters" in said
    assert "3 px thick" in said
    assert call("change", *inputs.truth, "--years", "a", "b", "--out", tmp_path / "c", "--shift-px", "-1") == 2


@pytest.mark.slow
def test_an_implausible_run_ends_with_code_3(inputs: Job, trained: Path, tmp_path: Path) -> None:
    common = [inputs.before, inputs.after, inputs.labels, "--years", "2016", "2025", "--model", trained]
    assert call("run", *common, "--out", tmp_path / "low", "--threshold", "0.00001", "--min-patch-ha", "0") == 3
    assert Run(tmp_path / "low").read_json("summary.json")["verdict"] == "implausible"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["predict"], "requires an argument"),
        (["train", "--out", "x", "--epochs", "0", "--scene", "a", "b"], "--epochs"),
        (["train", "--out", "x", "--epochs", "many", "--scene", "a", "b"], "--epochs"),
        (["train", "--out", "x"], "--scene"),
        (["check", "nowhere.tif", "nowhere.geojson"], "nowhere.tif"),
        (["evaluate", "nothing.pt", "--scene", "a", "b"], "nothing.pt"),
        (["demo", "x", "--size", "10", "10"], "out of range"),
        (["change", "a.tif", "b.tif", "--out", "x", "--years", "../a", "b"], "--years"),
        (["change", "a.tif", "b.tif", "--out", "x", "--years", "2016", "2016"], "--years"),
    ],
)
def test_what_a_user_can_mend_is_one_plain_message_and_code_2(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINEDETECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert not said.out


def test_a_bare_run_name_lies_under_the_home_folder(
    inputs: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINEDETECT_HOME", str(tmp_path))
    assert inputs.truth is not None
    assert call("change", *inputs.truth, "--years", "a", "b", "--out", "named") == 0
    assert (tmp_path / "named" / "change_map.tif").is_file()


def test_the_module_runs_as_a_program() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "minedetect", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip()


def test_doctor_reports_a_forward_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor", "--json", "--width", "8", "--device", "cpu") == 0
    content = spoken(capsys)
    assert content["forward_s_per_patch"] > 0
    assert content["device"] == "cpu"
    assert np.isfinite(content["free_memory_gb"])
    assert content["advice"]
