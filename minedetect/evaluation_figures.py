"""The picture of how good a model is: its probabilities, its threshold, its hectares, and what simple rules reach."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from minedetect.calibrate import TENTHS
from minedetect.figures import BLUE, DPI, GREY, RED, YELLOW, plain, save

Content = Mapping[str, Any]
"""As `evaluation.json` holds it."""

DARK = "#4A4E57"

TEXT_SIGNS = 150
LINE_IN = 0.23
PANELS_IN = 9.2
WIDTH_IN = 12.5


def draw_evaluation(path: Path, content: Content) -> None:
    """`evaluation.png`: four panels, and below them in words what the scores rest on.

    Args:
        path: the PNG.
        content: the content of `evaluation.json`.
    """
    save(evaluation_figure(content), path)


def evaluation_figure(content: Content) -> Figure:
    """The figure that `draw_evaluation` writes."""
    lines = [
        line for text in _words(content) for line in textwrap.wrap(plain(text), TEXT_SIGNS, break_on_hyphens=False)
    ]
    below_in = LINE_IN * (len(lines) + 1)
    figure = Figure(figsize=(WIDTH_IN, PANELS_IN + below_in), dpi=DPI, layout="constrained")
    rows = figure.add_gridspec(3, 2, height_ratios=(1, 1, 2 * below_in / PANELS_IN))
    _draw_reliability(figure.add_subplot(rows[0, 0]), content)
    _draw_bars(figure.add_subplot(rows[0, 1]), content)
    _draw_iou(figure.add_subplot(rows[1, 0]), content)
    _draw_hectares(figure.add_subplot(rows[1, 1]), content)
    words = figure.add_subplot(rows[2, :])
    words.set_axis_off()
    words.text(0, 1, "\n".join(lines), va="top", fontsize=10.5, linespacing=1.45, transform=words.transAxes)
    figure.suptitle(_headline(content), fontsize=14)
    return figure


def _headline(content: Content) -> str:
    test = content.get("test")
    if test:
        return (
            f"How well the model finds mines: overlap (IoU) {_shown(test['iou'])} on test ground, "
            f"which chose nothing; {_shown(content['iou'])} on validation ground"
        )
    return f"How well the model finds mines: overlap (IoU) {_shown(content['iou'])} on validation ground"


def _words(content: Content) -> list[str]:
    """Sentences under the panels, the gravest first."""
    test = content.get("test")
    return [
        *(f"WARNING, validation ground: {words}" for words in content["warnings"]),
        *(f"WARNING, test ground: {words}" for words in (test["warnings"] if test else ())),
        f"Validation ground: {content['independence']}",
        *([f"Test ground: {test['independence']}"] if test else []),
        *([content["note"]] if "note" in content else []),
    ]


def _shown(value: float | None, digits: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _share(value: float) -> str:
    """A share in per cent: small ones with a decimal, the smallest told as such."""
    if value < 0.0005:
        return "<0.1 %"
    return f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"


def _draw_reliability(ax: Axes, content: Content) -> None:
    """Mean probability against what is mine, per tenth; above, the share of pixels in each."""
    quality, total = content["calibration_quality"], max(content["pixels"], 1)
    ax.plot([0, 1], [0, 1], color=DARK, linestyle="--", linewidth=1, label="perfect: as likely as told")
    curves = [
        ("before calibration", content["reliability_before"], quality["before"]["ece"], GREY, "s:"),
        ("after calibration", content["reliability"], quality["after"]["ece"], BLUE, "o-"),
    ]
    if content.get("test"):
        test = content["test"]
        curves.append(("test ground", test["reliability"], test["calibration_quality"]["after"]["ece"], DARK, "^-."))
    for label, rows, error, colour, style in curves:
        x, y = ([row[axis] for row in rows] for axis in ("probability", "mine_share"))
        told = f"{label}: {100 * error:.2g} percentage points off on average"
        ax.plot(x, y, style, color=colour, markersize=5, label=told)
    for row in content["reliability"]:
        middle = (min(int(row["probability"] * TENTHS), TENTHS - 1) + 0.5) / TENTHS
        ax.text(middle, 1.04, _share(row["pixels"] / total), ha="center", va="bottom", fontsize=8.5, color=BLUE)
    ax.text(1.005, 1.04, " of ground", va="bottom", fontsize=8.5, color=BLUE)
    ax.set(xlim=(0, 1.18), ylim=(0, 1.5), xlabel="probability that the model tells")
    ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])  # what is above is room for the legend
    ax.set_ylabel("share that is labelled mine")
    ax.set_title("Do its probabilities hold?")
    _tidy(ax)


def _draw_bars(ax: Axes, content: Content) -> None:
    """The model beside rules that need no network, on validation and test ground."""
    names = {
        "best_single_index": "best rule on\none index",
        "all_mine": "everything\ncalled mine",
        "all_background": "nothing\ncalled mine",
    }
    parts = [("validation", content, BLUE, "")]
    if content.get("test"):
        parts.append(("test, which chose nothing", content["test"], YELLOW, "//"))
    thick = 0.8 / len(parts)
    for number, (label, part, colour, hatch) in enumerate(parts):
        values = [part["iou"] or 0.0, *(part["baselines"][name]["iou"] for name in names)]
        at = [row + (number - (len(parts) - 1) / 2) * thick for row in range(len(values))]
        ax.barh(at, values, 0.92 * thick, color=colour, hatch=hatch, edgecolor="white", label=label)
        ends = [*values]
        if part["ci95"]:
            low, high = part["ci95"]
            ax.plot([low, high], [at[0], at[0]], color=DARK, linewidth=2, marker="|", label=f"95 % interval, {label}")
            ends[0] = max(high, values[0])
        for y, value, end in zip(at, values, ends, strict=True):
            ax.text(end + 0.015, y, f"{value:.2f}" if value >= 0.1 or not value else f"{value:.3f}", va="center")
    ax.set_yticks(range(1 + len(names)), ["the\nmodel", *names.values()])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.12), xlabel="overlap with the labels (IoU), 1 is perfect")
    ax.set_title("Is it worth a network?")
    _tidy(ax, "lower right")


def _draw_iou(ax: Axes, content: Content) -> None:
    """IoU at every threshold, the chosen one marked, and the simple rules as level lines."""
    x, y = _line(content, "iou")
    ax.plot(x, y, color=BLUE, linewidth=2, marker=".", label="model, validation")
    if content.get("test"):
        ax.plot(*_line(content["test"], "iou"), color=DARK, linestyle="-.", label=_tested(content["test"]))
    _mark(ax, content, "iou", _shown(content["iou"]))
    levels = [
        ("best_single_index", "best rule on one index", "--"),
        ("all_mine", "everything called mine", ":"),
    ]
    for name, label, style in levels:
        iou = content["baselines"][name]["iou"]
        ax.axhline(iou, color=GREY, linestyle=style, linewidth=1.6, label=f"{label}: {_shown(iou, 3)}")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold: probability from which a pixel is mine")
    ax.set_ylabel("overlap with the labels (IoU)")
    ax.set_title("Does the score hang on the threshold?")
    _tidy(ax, "best")


def _tested(test: Content) -> str:
    return f"model, test ground: {_shown(test['iou'])}"


def _draw_hectares(ax: Axes, content: Content) -> None:
    """Hectares called mine at every threshold, beside the labelled hectares."""
    x, y = _line(content, "predicted_ha")
    ax.plot(x, y, color=BLUE, linewidth=2, marker=".", label="called mine, validation")
    ax.axhline(
        content["labelled_ha"], color=DARK, linestyle="--", label=f"labelled mine: {content['labelled_ha']:,.1f} ha"
    )
    _mark(ax, content, "predicted_ha", f"{content['predicted_ha']:,.1f} ha")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.08 * max(*y, content["labelled_ha"], 1e-3))
    ax.set_xlabel("threshold: probability from which a pixel is mine")
    ax.set_ylabel("hectares")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.6g}"))
    ax.set_title("Do its hectares hang on the threshold?")
    _tidy(ax, "best")


def _line(content: Content, key: str) -> tuple[list[float], list[float]]:
    rows: Sequence[Mapping[str, Any]] = [row for row in content["thresholds"] if row[key] is not None]
    return [row["threshold"] for row in rows], [row[key] for row in rows]


def _mark(ax: Axes, content: Content, key: str, value: str) -> None:
    """The chosen threshold as a line, and its value as a dot."""
    at = content["threshold"]
    ax.axvline(at, color=RED, linestyle="--", linewidth=1.4, label=f"chosen threshold {at:.2f}: {value}")
    if content[key] is not None:
        ax.plot([at], [content[key]], color=RED, marker="D", markersize=8, linestyle="none", zorder=5)


def _tidy(ax: Axes, legend: Literal["upper left", "lower right", "best"] = "upper left") -> None:
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=9, loc=legend)
