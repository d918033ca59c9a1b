"""The picture of an evaluation shows what the evaluation says, whatever that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from minedetect.calibrate import Calibration, Cuts, Tenths
from minedetect.evaluation_figures import draw_evaluation, evaluation_figure
from minedetect.measure import IndexBaseline
from minedetect.scorecard import Evidence, Ground, choice_note, content_of

CALIBRATION = Calibration(0.8, -0.5, 0.42, fitted=True)


def content(blocks: int, share: float = 0.05, test: bool = False, rule: str = "B11") -> dict[str, Any]:
    """What `evaluation.json` holds for a made-up model on some blocks."""
    rng, grounds = np.random.default_rng(0), []
    for _ in range(blocks):
        mine = rng.random(4000) < share
        raw = 1 / (1 + np.exp(-(rng.normal(-2, 1.5, 4000) + 4 * mine)))
        calibrated = CALIBRATION.probability(raw)
        cuts = Cuts.of(calibrated, mine, np.full(4000, 97.0), Cuts.edges_with(0.42))
        grounds.append(Ground(cuts, Tenths.of(raw, mine), Tenths.of(calibrated, mine), mines=2))
    evidence = Evidence(grounds, [[i] for i in range(blocks)], IndexBaseline(rule, 0.31, True, 0.2))
    told = content_of(evidence, 0.42, CALIBRATION)
    if test:
        told["test"] = content(1, share)
    return {**told, "note": choice_note(["epoch", "threshold"], told.get("test"))}


def panels(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.axison]


def words_of(figure: Figure) -> str:
    found = [figure.get_suptitle()]
    for ax in figure.axes:
        legend = ax.get_legend()
        found += [t.get_text() for t in ax.texts] + [ax.get_title()]
        found += [t.get_text() for t in legend.get_texts()] if legend else []
    return " ".join(" ".join(found).split())


@pytest.mark.parametrize("test", [False, True])
def test_the_curves_are_the_table(test: bool) -> None:
    told = content(3, test=test)
    reliability, bars, iou, hectares = panels(evaluation_figure(told))
    assert any(line.get_xydata().tolist() == [[0, 0], [1, 1]] for line in reliability.lines)
    dots = [[row["probability"], row["mine_share"]] for row in told["reliability"]]
    assert any(line.get_xydata().tolist() == dots for line in reliability.lines)
    for ax, key in ((iou, "iou"), (hectares, "predicted_ha")):
        curve = [[row["threshold"], row[key]] for row in told["thresholds"]]
        assert any(line.get_xydata().tolist() == curve for line in ax.lines)
        assert any(line.get_xydata().tolist() == [[told["threshold"], told[key]]] for line in ax.lines)
    widths = [bar.get_width() for bar in bars.patches]
    for part in [told, *([told["test"]] if test else [])]:
        assert {part["iou"], part["baseline_iou"], part["all_mine_iou"]} <= set(widths)
    assert len(widths) == (8 if test else 4)


def test_the_lines_of_rules_and_labels_are_drawn() -> None:
    told = content(3)
    _, _, iou, hectares = panels(evaluation_figure(told))
    level = {float(line.get_ydata()[0]) for line in iou.lines if len(set(line.get_ydata())) == 1}
    assert {told["baseline_iou"], told["all_mine_iou"]} <= level
    assert told["labelled_ha"] in {float(line.get_ydata()[0]) for line in hectares.lines}


@pytest.mark.parametrize("test", [False, True])
def test_the_words_are_there(test: bool) -> None:
    told = content(2, test=test)
    shown = words_of(evaluation_figure(told))
    assert told["independence"] in shown
    assert told["note"] in shown
    assert f"labelled mine: {told['labelled_ha']:,.1f} ha" in shown
    share = told["reliability"][0]["pixels"] / told["pixels"]
    assert f"{100 * share:.0f} %" in shown
    assert ("which chose nothing" in shown) is test


def test_a_warning_comes_before_the_rest() -> None:
    told = {**content(2), "warnings": ["Something is far off."]}
    shown = words_of(evaluation_figure(told))
    assert shown.index("WARNING, validation ground: Something is far off.") < shown.index(told["independence"])


def test_an_interval_is_drawn_where_there_is_one() -> None:
    assert "95 % interval, validation" in words_of(evaluation_figure(content(12)))
    assert "95 % interval, validation" not in words_of(evaluation_figure(content(2)))


@pytest.mark.parametrize(("blocks", "share"), [(1, 0.0), (1, 1.0), (12, 0.3)])
def test_any_evaluation_makes_a_picture(tmp_path: Path, blocks: int, share: float) -> None:
    told = content(blocks, share, test=True, rule=r"$\frac{$ B1")
    draw_evaluation(tmp_path / "e.png", told)
    picture = imread(tmp_path / "e.png")
    assert picture.shape[1] >= 1_200
    assert (picture[..., :3].min(axis=-1) < 0.6).mean() > 0.01
