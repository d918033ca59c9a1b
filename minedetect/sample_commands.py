"""The commands that prove a run's hectares with a sample; they join those of `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from minedetect.arguments import Flat, Json
from minedetect.commands import app
from minedetect.config import SampleSettings
from minedetect.console import DONE, Face
from minedetect.runs import ESTIMATE, open_run


@app.command
def sample(run: str, *, out: Path, json: Json = False, settings: Annotated[SampleSettings | None, Flat] = None) -> int:
    """Draw a stratified random sample of a run's change map, for people to interpret without seeing the map.

    Args:
        run: run folder; a bare name lies under MINEDETECT_HOME.
        out: folder for sample.csv, the points, their pictures and how to interpret them.
    """
    from minedetect.sample import sample_run

    face = Face(json)
    with face.progress() as listen:
        content = sample_run(
            open_run(run), out, settings or SampleSettings(), lambda done, total: listen("chips", done, total)
        )
    face.say(content, _sample_lines(content, out))
    return DONE


@app.command
def estimate(run: str, labelled: Path, *, json: Json = False) -> int:
    """Error-adjusted hectares with 95 % intervals, and the map's accuracy, from an interpreted sample.

    Args:
        run: run folder; a bare name lies under MINEDETECT_HOME.
        labelled: the sample.csv of its sample, with the column reference filled in.
    """
    from minedetect.estimate import estimate_run

    target = open_run(run)
    content = estimate_run(target, labelled)
    Face(json).say(content, [*_estimate_lines(content), f"Written to {target.path(ESTIMATE)}"])
    return DONE


def _words(name: str) -> str:
    return name.replace("_", " ")


def _sample_lines(content: dict[str, Any], out: Path) -> list[str]:
    """What was drawn, for people."""
    return [
        f"Sample {content['sample_id']}: {content['n']} points.",
        *(
            f"  {_words(name):<14} {s['points']:>6} points of {s['pixels']:>12,} pixels, {s['hectares']:>12,.1f} ha"
            for name, s in content["strata"].items()
        ),
        f"A standard error of overall accuracy of {content['target_error']:g} would need about "
        f"{content['points_for_target_error']:,} points (Cochran 1977, eq. 5.25, with user's accuracies as expected "
        "before anything was looked at).",
        *content["notes"],
        f"To interpret: {out / 'README.txt'}",
    ]


def _estimate_lines(content: dict[str, Any]) -> list[str]:
    """Areas with their intervals and accuracies, for people."""
    first, second = content["years"]
    names = {"before": f"mine {first}", "after": f"mine {second}", "net": "net change", "stable_mine": "mine on both"}
    lines = [f"{'hectares':<14} {'on the map':>12} {'estimated':>12}    95 % interval"]
    for key, area in content["areas"].items():
        between = "none" if area["low_ha"] is None else f"{area['low_ha']:,.1f} to {area['high_ha']:,.1f}"
        lines.append(f"{names.get(key, key):<14} {area['mapped_ha']:>12,.1f} {area['ha']:>12,.1f}    {between}")
    accuracy = content["accuracy"]
    lines.append(f"Overall accuracy {_share(accuracy['overall'])}")
    for name, share in accuracy["users"].items():
        lines.append(f"  {_words(name):<14} user's {_share(share)}, producer's {_share(accuracy['producers'][name])}")
    return [*lines, *content["notes"]]


def _share(accuracy: dict[str, float | None]) -> str:
    """A share with its 95 % interval."""
    if accuracy["value"] is None:
        return "undefined"
    between = "no interval" if accuracy["low"] is None else f"{accuracy['low']:.3f} to {accuracy['high']:.3f}"
    return f"{accuracy['value']:.3f} ({between})"
