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
    lines += [f"  mine {year:<9} {area:>12,.1f} ha" for year, area in summary["hectares"].items()]
    for key, name in (("new_ha", "new"), ("gone_ha", "gone"), ("unchanged_ha", "unchanged"), ("net_ha", "net")):
        lines.append(f"  {name:<14} {summary[key]:>12,.1f} ha")
    for year, scores in summary.get("truth", {}).items():
        lines.append(f"  against the known truth of {year}: IoU {scores['iou']:.3f}, {scores['hectares']:,.1f} ha true")
    return [*lines, f"Hectares are true ground area where both {first} and {second} have data. Files: {where}"]


def score_lines(content: dict[str, Any]) -> list[str]:
    """What an evaluation found, for people."""

    def shown(key: str) -> str:
        return "undefined" if content[key] is None else f"{content[key]:.3f}"

    return [
        f"Mine IoU {shown('iou')}, Dice {shown('dice')}, precision {shown('precision')}, recall {shown('recall')} "
        f"on {content['pixels']:,} pixels at threshold {content['threshold']:.2f}.",
        f"Best single index on the same pixels: IoU {shown('baseline_iou')} ({content['baseline']}).",
        f"Predicted {content['predicted_ha']:,.1f} ha, labelled {content['labelled_ha']:,.1f} ha.",
        *(
            f"{name} helped to make this model, in training or validation: its score flatters."
            for name in content["seen_in_training"]
        ),
    ]


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
        f"(best single index there: {content['baseline_iou']:.3f}).",
        f"{content['epochs']} epochs in {content['seconds']:.0f} s on {content['device']}, {content['precision']}, "
        f"{content['patches_per_s']:.1f} patches/s; {content['shared_pixels']} pixels shared with validation.",
        f"Model: {model}",
    ]


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
