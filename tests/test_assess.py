"""An evaluation says one thing: table, headlines, baselines and words agree, and parts add up to the whole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from minedetect.assess import Assessment, Block, assess, fit_calibration
from minedetect.calibrate import SHOWN_THRESHOLDS, Calibration
from minedetect.config import Settings
from minedetect.grid import Window
from minedetect.measure import Counts, count, hectares
from minedetect.scenes import Scene, SceneFiles, load_scene
from minedetect.scorecard import choice_note

GRID = GeoBox.from_bbox((27.80, -12.55, 27.88, -12.47), crs="EPSG:4326", shape=(400, 400))
SETTINGS = Settings(tile_px=64, preset="cpu", device="cpu")
CALIBRATION = Calibration(1.2, -0.4, 0.42, fitted=True)
NAMES = ("B4", "B8")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """400 x 400 px with three labelled patches, unknown ground and a hole in the image."""
    import rasterio

    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("scene")
    labels = np.zeros((400, 400), np.uint8)
    labels[20:60, 30:90] = labels[250:300, 40:80] = labels[220:260, 300:390] = 1
    labels[100:120] = 255
    pixels = rng.normal(0.25, 0.04, (2, 400, 400)).clip(0.05).astype(np.float32)
    pixels[0] += 0.1 * (labels == 1)
    pixels[:, 150:160, 10:60] = np.nan
    for name, data, nodata in (("image", pixels, np.nan), ("mask", labels[None], 255)):
        header = {"crs": "EPSG:4326", "transform": GRID.transform, "dtype": data.dtype, "nodata": nodata}
        with rasterio.open(folder / f"{name}.tif", "w", "GTiff", 400, 400, len(data), **header) as file:
            file.write(data)
            for number, band in enumerate(NAMES[: len(data)] if name == "image" else (), start=1):
                file.set_band_description(number, band)
    return load_scene(SceneFiles(folder / "image.tif", folder / "mask.tif", "image"), SETTINGS)


def block(scene: Scene, window: Window, seed: int = 0) -> Block:
    """One block whose network is right more often than not."""
    labels = scene.known[window.slices]
    odds = np.random.default_rng(seed).normal(-2.5, 1.2, labels.shape) + 3.5 * (labels == 1)
    raw = np.where(labels == 255, np.nan, 1 / (1 + np.exp(-odds))).astype(np.float32)
    known = labels <= 1
    return Block(raw, labels, scene.read(window)[:, known], labels[known] == 1, scene, window)


WINDOWS = (Window(0, 0, 200, 200), Window(0, 200, 200, 200), Window(200, 0, 200, 400))


@pytest.fixture(scope="module")
def parts(scene: Scene) -> list[Block]:
    return [block(scene, window, seed) for seed, window in enumerate(WINDOWS)]


def assessed(blocks: list[Block], threshold: float = 0.42) -> Assessment:
    return assess(blocks, CALIBRATION, threshold, NAMES)


def by_hand(blocks: list[Block], threshold: float) -> Counts:
    called = (CALIBRATION.probability(b.raw) >= np.float32(threshold) for b in blocks)
    return sum((count(c, b.labels) for c, b in zip(called, blocks, strict=True)), Counts())


@pytest.mark.parametrize("threshold", [0.42, 0.3, 0.123456, 0.97])
def test_the_table_at_the_chosen_threshold_is_the_headline(parts: list[Block], threshold: float) -> None:
    content = assessed(parts, threshold).content
    (row,) = [row for row in content["thresholds"] if row["chosen"]]
    assert row == {"chosen": True, **{key: content[key] for key in row if key != "chosen"}}
    assert {round(t, 4) for t in SHOWN_THRESHOLDS} <= {row["threshold"] for row in content["thresholds"]}


def test_scores_and_hectares_equal_another_way_of_counting(parts: list[Block]) -> None:
    found = assessed(parts)
    pooled = by_hand(parts, 0.42)
    assert found.content["iou"] == round(pooled.iou, 4)
    assert found.content["pixels"] == pooled.pixels
    predicted = sum(
        hectares(((CALIBRATION.probability(b.raw) >= np.float32(0.42)) & b.known).astype(np.uint8), b.grid, 1)
        for b in parts
    )
    labelled = sum(hectares(b.labels, b.grid, 1) for b in parts)
    assert found.content["predicted_ha"] == round(predicted, 2)
    assert found.content["labelled_ha"] == round(labelled, 2)


def test_hectares_never_rise_with_the_threshold(parts: list[Block]) -> None:
    rows = assessed(parts).content["thresholds"]
    assert (np.diff([row["threshold"] for row in rows]) > 0).all()
    assert (np.diff([row["predicted_ha"] for row in rows]) <= 0).all()
    assert (np.diff([row["recall"] for row in rows]) <= 0).all()


def test_ground_without_labels_and_calls_adds_nothing_to_iou(scene: Scene, parts: list[Block]) -> None:
    with_mines = [parts[0], parts[2]]
    empty = replace(parts[1], raw=np.where(np.isnan(parts[1].raw), np.nan, np.float32(1e-4)))
    alone, more = assessed(with_mines).content, assessed([*with_mines, empty]).content
    assert (more["iou"], more["predicted_ha"]) == (alone["iou"], alone["predicted_ha"])
    assert more["pixels"] > alone["pixels"]
    assert (more["blocks"], more["blocks_with_mines"]) == (3, 2)


def test_wholly_unknown_ground_changes_no_figure(parts: list[Block]) -> None:
    nothing = np.zeros((2, 0), np.float32)
    unknown = replace(
        parts[1], labels=np.full_like(parts[1].labels, 255), sample=nothing, sample_mine=np.zeros(0, bool)
    )
    alone, more = assessed([parts[0]]).content, assessed([parts[0], unknown]).content
    for key in ("iou", "pixels", "baselines", "thresholds", "reliability", "predicted_ha"):
        assert more[key] == alone[key]
    assert assessed([unknown]).content["iou"] is None


def test_baselines_are_of_the_very_pixels_that_are_scored(parts: list[Block]) -> None:
    content = assessed(parts).content
    everything = sum((count(np.ones_like(b.labels), np.where(b.known, b.labels, 255)) for b in parts), Counts())
    assert content["all_mine_iou"] == content["baselines"]["all_mine"]["iou"] == round(everything.iou, 4)
    assert content["baselines"]["all_background"]["iou"] == 0
    assert content["baseline"].startswith("B4 >=")
    assert content["baseline_iou"] >= content["all_mine_iou"]
    best = max(b["iou"] for b in content["baselines"].values())
    assert content["gain_over_baseline"] == pytest.approx(content["iou"] - best, abs=1e-4)


def test_a_block_weighs_what_it_holds_however_few_of_its_pixels_the_baseline_sees(parts: list[Block]) -> None:
    """A thinned sample of ground without mines must not make false alarms there count for less."""
    empty = replace(parts[1], sample=parts[1].sample[:, ::5], sample_mine=parts[1].sample_mine[::5])
    full, thinned = assessed(parts).content, assessed([parts[0], empty, parts[2]]).content
    assert thinned["baseline_iou"] == pytest.approx(full["baseline_iou"], abs=0.01)
    without = assessed([parts[0], parts[2]]).content
    assert abs(without["baseline_iou"] - full["baseline_iou"]) > 0.02, "the ground that is seen thinly does count"


def test_shares_of_the_reliability_table_give_the_mine_share(parts: list[Block]) -> None:
    content = assessed(parts).content
    for key in ("reliability", "reliability_before"):
        assert sum(row["pixels"] for row in content[key]) == content["pixels"]
        mines = sum(row["pixels"] * row["mine_share"] for row in content[key])
        assert mines / content["pixels"] == pytest.approx(content["calibration_quality"]["mine_share"], abs=1e-5)


def test_fitted_probabilities_add_up_to_the_labelled_pixels(parts: list[Block]) -> None:
    fitted = fit_calibration(parts)
    total = sum(float(fitted.probability(b.raw[b.known]).sum(dtype=np.float64)) for b in parts)
    labelled = sum(int((b.labels == 1).sum()) for b in parts)
    assert total == pytest.approx(labelled, abs=1 + 1e-4 * labelled)
    quality = assess(parts, fitted, fitted.threshold, NAMES).content["calibration_quality"]
    assert quality["after"]["ece"] < quality["before"]["ece"]
    assert quality["after"]["brier"] < quality["brier_of_mine_share"]


def test_views_of_the_same_ground_are_one_piece_of_evidence(parts: list[Block]) -> None:
    apart, again = assessed([parts[0], parts[2]]).content, assessed([parts[2]] * 12).content
    assert (apart["blocks"], apart["places"], apart["mines"]) == (2, 2, 3)
    assert (again["blocks"], again["places"], again["mines"]) == (12, 1, 2)
    assert again["ci95"] is None
    assert "12 blocks that show 1 separate piece of ground" in again["independence"]
    assert again["iou"] == assessed([parts[2]]).content["iou"]


def test_an_interval_needs_ten_pieces_of_ground_with_mines(scene: Scene) -> None:
    strips = [block(scene, Window(20, col, 20, 6), col) for col in range(30, 90, 6)]
    nine, ten = assessed(strips[:9]).content, assessed(strips).content
    assert nine["ci95"] is None
    assert "no 95 % interval" in nine["independence"]
    low, high = ten["ci95"]
    assert low <= ten["iou"] <= high
    assert f"between {low:.2f} and {high:.2f}" in ten["independence"]


def test_what_is_far_off_is_told(parts: list[Block]) -> None:
    fitted = fit_calibration(parts)
    assert assess(parts, fitted, fitted.threshold, NAMES).content["warnings"] == []
    everywhere = replace(fitted, intercept=fitted.intercept + 3)
    told = " ".join(assess(parts, everywhere, fitted.threshold, NAMES).content["warnings"])
    assert "times as much" in told
    assert "not as odds" in told
    (alone,) = assess([parts[1]], fitted, fitted.threshold, NAMES).content["warnings"]
    assert "No mine is labelled" in alone


def test_a_model_that_a_plain_rule_beats_is_told(parts: list[Block]) -> None:
    blind = [replace(b, raw=np.where(np.isnan(b.raw), np.nan, np.float32(0.9))) for b in parts]
    content = assessed(blind).content
    assert content["gain_over_baseline"] <= 0
    assert any("do not rely on it" in told for told in content["warnings"])


def test_the_note_says_what_was_chosen_and_which_score_to_quote() -> None:
    without = choice_note(["epoch", "calibration", "threshold"], None)
    assert "the epoch, the calibration and the threshold" in without
    assert "--test-share" in without
    tested = choice_note(["epoch", "calibration"], {"iou": 0.5678})
    assert "threshold" not in tested
    assert "quote the score of the test part" in tested
    assert "0.568" in tested


def test_an_evaluation_is_plain_json(parts: list[Block]) -> None:
    content: dict[str, Any] = assessed(parts).content
    assert json.loads(json.dumps(content, allow_nan=False)) == content
