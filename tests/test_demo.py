"""The whole job on the built-in district against its truth, and a wide scene. Minutes, so marked slow."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from minedetect.change import GONE, NEW, difference
from minedetect.measure import hectares
from minedetect.raster import CHANGE_NODATA, IGNORE, open_raster, read_classes
from minedetect.runs import Run

pytestmark = pytest.mark.slow


def minedetect(*arguments: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "minedetect", *map(str, arguments), "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    content: dict[str, Any] = json.loads(found.stdout)
    return content


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Trained for fewer epochs than the preset has, under a rate that falls to nothing: an epoch takes 14 s."""
    run = tmp_path_factory.mktemp("runs") / "demo"
    return run, minedetect("demo", run, "--epochs", "15", "--schedule", "cosine")


def test_the_demo_finds_the_mines_of_both_dates(demo: tuple[Path, dict[str, Any]]) -> None:
    _, content = demo
    assert all(content["truth"][year]["iou"] >= 0.80 for year in ("2016", "2025"))


def test_the_demo_s_hectares_and_change_are_near_the_truth(demo: tuple[Path, dict[str, Any]]) -> None:
    _, content = demo
    true = {year: content["truth"][year]["hectares"] for year in ("2016", "2025")}
    assert all(content["hectares"][year] == pytest.approx(true[year], rel=0.10) for year in true)
    assert content["net_ha"] == pytest.approx(true["2025"] - true["2016"], abs=0.05 * true["2016"])
    assert content["plausible"] is True


def test_firm_change_is_near_the_true_change(demo: tuple[Path, dict[str, Any]]) -> None:
    run, content = demo
    before, after = (open_raster(run / "inputs" / f"truth_{year}.tif") for year in ("2016", "2025"))
    change = difference(read_classes(before).astype(np.uint8), read_classes(after).astype(np.uint8))
    change[read_classes(open_raster(run / "change_map.tif")) == IGNORE] = CHANGE_NODATA
    for key, value in (("new_ha", NEW), ("gone_ha", GONE)):
        assert content[key] == pytest.approx(hectares(change, before.grid, value), rel=0.20)


def test_a_stop_ends_with_code_130_and_says_so(demo: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    inputs, run = demo[0] / "inputs", Run(tmp_path / "stopped")
    scene = ["--scene", str(inputs / "before_2016.tif"), str(inputs / "mines_2016.geojson")]
    command = [sys.executable, "-m", "minedetect", "train", *scene, "--out", str(run.root)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while run.status().step != "train":
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped on request" in said
    assert run.status().state == "stopped"


def test_a_wide_scene_is_predicted_within_a_few_gb(demo: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """As wide as a scene of 5567 x 3230 px and a third as high: bands of rows need no more for more of them."""
    rows, cols = 1856, 3230
    with rasterio.open(demo[0] / "inputs" / "after_2025.tif") as small:
        header, bands, pixels = small.profile, small.descriptions, small.read()
    again = np.tile(pixels, (1, rows // small.height + 1, cols // small.width + 1))[:, :rows, :cols]
    with rasterio.open(tmp_path / "big.tif", "w", **{**header, "height": rows, "width": cols}) as big:
        big.descriptions = bands
        big.write(again)
    found = minedetect("predict", tmp_path / "big.tif", "--model", demo[0], "--out", tmp_path / "p.tif")
    assert found["peak_rss_mb"] < 2500  # 1.5 to 2.1 GB, by the precision of the CPU
    assert found["mine_ha"] > 0
