"""How the command line speaks: results on stdout, everything else on stderr, one exit code for each ending."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

DONE, MENDABLE, IMPLAUSIBLE, INTERRUPTED = 0, 2, 3, 130


@dataclass(frozen=True)
class Face:
    """How a command speaks: to a person, or as JSON.

    Args:
        as_json: print one JSON object on stdout and everything else on stderr.
    """

    as_json: bool

    def say(self, content: dict[str, Any], lines: Sequence[str]) -> None:
        """Print the outcome."""
        if self.as_json:
            print(json.dumps(content, ensure_ascii=False))  # noqa: T201  (the one place that prints results)
        else:
            Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """A progress bar on stderr; silent when stderr is no terminal."""
        columns = (
            TextColumn("{task.description:9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            tasks: dict[str, Any] = {}

            def listen(step: str, done: int, total: int) -> None:
                if step not in tasks:
                    tasks[step] = bar.add_task(step, total=total)
                bar.update(tasks[step], completed=done, total=total)

            yield listen


def hectare_lines(summary: dict[str, Any], where: Path) -> list[str]:
    """The outcome of a comparison, verdict first."""
    first, second = summary["years"]
    lines = [f"Verdict: {summary['verdict']}", *(f"  - {reason}" for reason in summary["reasons"])]
    ranges = summary.get("sensitivity", {})
    for year, area in summary["hectares"].items():
        lines.append(f"  mine {year:<9} {area:>12,.1f} ha{_range(ranges.get('hectares', {}).get(year))}")
    for key, name in (("new_ha", "new"), ("gone_ha", "gone"), ("unchanged_ha", "unchanged"), ("net_ha", "net")):
        lines.append(f"  {name:<14} {summary[key]:>12,.1f} ha{_range(ranges.get(key))}")
    for side, kinds in summary["change_ha"].items():
        told = ", ".join(f"{kind} {area:,.1f}" for kind, area in kinds.items())
        lines.append(f"  all {side:<10} {sum(kinds.values()):>12,.1f} ha = {told}")
    if scores := summary.get("scores_after"):
        told = ", ".join(f"{key} {score(scores[key])}" for key in ("precision", "recall"))
        lines.append(f"  against the labels of {second}: IoU {score(scores['iou'])}, {told}")
    for year, scores in summary.get("truth", {}).items():
        true = f"{scores['hectares']:,.1f} ha true"
        lines.append(f"  against the known truth of {year}: IoU {score(scores['iou'])}, {true}")
    return [*lines, f"Hectares are true ground area where both {first} and {second} have data. Files: {where}"]


def _range(span: dict[str, Any] | None) -> str:
    return f", sensitivity {span['low']:,.1f} to {span['high']:,.1f}" if span else ""


def score(value: float | None) -> str:
    """A score from 0 to 1, for people; None where there is neither label nor prediction."""
    return "undefined" if value is None else f"{value:.3f}"


def score_lines(content: dict[str, Any]) -> list[str]:
    """What an evaluation found, for people."""
    iou, dice, precision, recall, baseline = (
        score(content[key]) for key in ("iou", "dice", "precision", "recall", "baseline_iou")
    )
    return [
        f"Mine IoU {iou}, Dice {dice}, precision {precision}, recall {recall} "
        f"on {content['pixels']:,} pixels at threshold {content['threshold']:.2f}.",
        f"Best single index on the same pixels: IoU {baseline} ({content['baseline']}); "
        f"calling everything mine: {score(content['all_mine_iou'])}.",
        f"Predicted {content['predicted_ha']:,.1f} ha, labelled {content['labelled_ha']:,.1f} ha.",
        *(f"Warning: {words}" for words in content.get("warnings", ())),
        *_worth_lines(content),
        *(
            f"{name} helped to make this model, in training or validation: its score flatters."
            for name in content["seen_in_training"]
        ),
    ]


def _worth_lines(content: dict[str, Any]) -> list[str]:
    """What scores rest on and which to quote; nothing where nobody wrote it down."""
    return [content[key] for key in ("independence", "note") if content.get(key)]


def check_lines(content: dict[str, Any]) -> list[str]:
    """What the checks found, for people."""
    lines = [f"{c['verdict']:9} {c['name']}: {c['message']}" for c in content["checks"]]
    return [f"Verdict: {content['verdict']}", *lines, *(f"note      {note}" for note in content["notes"])]


def mask_lines(content: dict[str, Any], out: Path) -> list[str]:
    """What a mask holds, for people."""
    lines = [
        f"  {p['index']}. {p['title']}: {p['mask_ha']:,.1f} ha on the mask, {p['hectares']:,.1f} ha drawn"
        for p in content["polygons"]
    ]
    return [f"{content['mine_ha']:,.1f} ha mine, {content['share']:.2%} of the scene: {out}", *lines]


def train_lines(content: dict[str, Any], model: Path) -> list[str]:
    """What training reached, for people."""
    return [
        f"Mine IoU {content['iou']:.3f}, Dice {content['dice']:.3f} on validation ground "
        f"(best single index there: {content['baseline_iou']:.3f}{_all_mine(content)}).",
        *(f"Warning: {words}" for words in content.get("warnings", ())),
        *_worth_lines(content),
        *(f"{sign['name']}: {sign['message']}" for sign in content["health"] if sign["verdict"] != "good"),
        f"{content['epochs']} epochs in {content['seconds']:.0f} s on {content['device']}, {content['precision']}, "
        f"{content['patches_per_s']:.1f} patches/s; {content['shared_pixels']} pixels shared with validation.",
        f"Model: {model}",
    ]


def _all_mine(content: dict[str, Any]) -> str:
    return f"; calling everything mine: {content['all_mine_iou']:.3f}" if "all_mine_iou" in content else ""


def predict_lines(content: dict[str, Any], out: Path) -> list[str]:
    """What a prediction holds, for people."""
    return [
        f"{content['mine_ha']:,.1f} ha mine in {content['seconds']:.1f} s ({content['mpx_per_s']:.2f} Mpx/s): {out}",
        *content["notes"],
    ]


def complain(message: str) -> int:
    """Print what is to be mended on stderr; returns the exit code for it."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False)
    return MENDABLE
