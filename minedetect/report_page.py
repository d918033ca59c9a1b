"""`report.html`: one printable page, made from the files of a run folder alone."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

import jinja2

from minedetect.change import KINDS
from minedetect.config import AugmentationSettings, ModelSettings, OptimizerSettings, Settings
from minedetect.files import write_text
from minedetect.findings import shown_ha
from minedetect.plausible import VERDICT_WORDS
from minedetect.presets import PRESETS, flag
from minedetect.runs import (
    CONFIG,
    ESTIMATE,
    EVALUATION,
    EVALUATION_PICTURE,
    HISTORY,
    REPORT,
    RESULTS_PICTURE,
    SUMMARY,
    SUSPECTS_PICTURE,
    Run,
)

Content = Mapping[str, Any]

KIND_WORDS = {
    "firm": "The two dates differ clearly. These are the headline figures.",
    "doubtful": "The map changes here, but the two probabilities differ too little to be sure.",
    "ring": "A rim around a mine that stands, no wider than the shift between the images and one pixel: more likely a "
    "matter of where the border runs than of digging.",
    "sieved": "Comes only from leaving out patches too small to trust; without that step both maps agree.",
}
PART_WORDS = {
    "threshold": "another threshold",
    "border": "one pixel more or less of border",
    "matching": "matching the dates' brightness, or not",
}
MINUS = "\N{MINUS SIGN}"
EACH_MINE = (
    ("labelled_ha", "Labelled"),
    ("before_ha", ""),
    ("after_ha", ""),
    ("gained_ha", "Gained"),
    ("lost_ha", "Lost"),
    ("unobserved_ha", "Not seen"),
)
ONLY_TRAINING = {*ModelSettings.model_fields, *OptimizerSettings.model_fields, *AugmentationSettings.model_fields}
"""Settings that say nothing about a run that applied a model trained before."""


def write_report(run: Run) -> Path:
    """Write `report.html`: one file that needs no network, verdict first.

    It is made of what the run folder holds, so it can be written again whenever a file there is new.

    Args:
        run: a run whose `summary.json` exists.

    Raises:
        RunError: `summary.json` is missing, or a file is damaged.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("minedetect", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ha": _ha, "number": _number, "signed": _signed, "moment": _moment, "flag": flag}
    path = run.path(REPORT)
    write_text(path, environment.get_template("report.html.j2").render(_context(run)))
    return path


def _context(run: Run) -> dict[str, Any]:
    summary, config, evaluation = run.read_json(SUMMARY), _content(run, CONFIG), _content(run, EVALUATION)
    settings, estimate = config.get("settings", {}), _content(run, ESTIMATE)
    return {
        "summary": summary,
        "verdict_words": VERDICT_WORDS[summary["verdict"]],
        "movement": movement(summary),
        "kinds": [(kind, KIND_WORDS[kind]) for kind in KINDS],
        "ranges": list(sensitivity_rows(summary)),
        "part_words": PART_WORDS,
        "columns": EACH_MINE,
        "estimate": estimate,
        "estimated": estimate_rows(estimate, summary["years"]),
        "suspects": summary.get("suspected_missing", ()),
        "about": summary.get("about", {}),
        "truth": summary.get("truth", {}),
        "scores_after": summary.get("scores_after", {}),
        "evaluation_lines": evaluation_lines(evaluation),
        "trained": bool(evaluation),
        "min_patch_ha": settings.get("min_patch_ha"),
        "identity": identity(summary, config),
        "preset": PRESETS.get(settings.get("preset", ""), ("", {}))[0],
        "changed": [row for row in setting_rows(settings, bool(evaluation)) if row["changed"]],
        "every_setting": list(setting_rows(settings, True)),
        "pictures": {
            key: _inline(run.path(name))
            for key, name in (
                ("results", RESULTS_PICTURE),
                ("suspects", SUSPECTS_PICTURE),
                ("evaluation", EVALUATION_PICTURE),
                ("history", HISTORY),
            )
            if run.has(name)
        },
    }


def _content(run: Run, name: str) -> dict[str, Any]:
    return run.read_json(name) if run.has(name) else {}


def _ha(value: float) -> str:
    return shown_ha(value).replace("-", MINUS).replace(" ", "\N{NO-BREAK SPACE}")


def _number(value: float) -> str:
    """Hectares for a table whose head names the unit."""
    return _ha(value).removesuffix("\N{NO-BREAK SPACE}ha")


def _signed(value: float) -> str:
    """Hectares with a sign, except for what is shown as nothing."""
    shown = _ha(value)
    return shown if shown.startswith((MINUS, "0.0")) else f"+{shown}"


def _moment(iso: str) -> str:
    try:
        when = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def movement(summary: Content) -> str:
    """What happened, as one sentence for somebody who reads no further."""
    first, second = summary["years"]
    before, after = summary["hectares"][first], summary["hectares"][second]
    net = abs(summary["net_ha"])
    how = "grew" if after > before else "shrank" if after < before else ""
    moved = f"{how} by {_ha(net)}, from {_ha(before)} to {_ha(after)}" if how else f"stayed at {_ha(before)}"
    return (
        f"On the ground that both images show, mining {moved} between {first} and {second}. "
        f"{_ha(summary['new_ha'])} are firmly new and {_ha(summary['gone_ha'])} firmly gone."
    )


def sensitivity_rows(summary: Content) -> Iterator[tuple[str, float, Content]]:
    """Name, hectares and sensitivity range of each headline figure that has one."""
    ranges = summary.get("sensitivity") or {}
    for year in summary["years"]:
        if year in ranges.get("hectares", {}):
            yield f"Mine {year}", summary["hectares"][year], ranges["hectares"][year]
    for key, name in (("new_ha", "New, firm"), ("gone_ha", "Gone, firm"), ("net_ha", "Net change")):
        if key in ranges:
            yield name, summary[key], ranges[key]


def estimate_rows(estimate: Content, years: Sequence[str]) -> list[tuple[str, Content]]:
    """Words for each area of `estimate.json`, and the area; none where nobody checked a sample."""
    words = {
        "before": f"Mine in {years[0]}",
        "after": f"Mine in {years[1]}",
        "new": "New",
        "gone": "Gone",
        "stable_mine": "Mine on both dates",
        "net": "Net change",
    }
    areas = estimate.get("areas", {})
    return [(what, areas[key]) for key, what in words.items() if key in areas]


def identity(summary: Content, config: Content) -> dict[str, Any]:
    """What tells this run's files and model from all others.

    Returns:
        `files`: (role, name, SHA-256) of each input; `model` and `settings`: SHA-256 or None; `versions`.
    """
    kept = summary.get("provenance") or {}
    files = [(role, of["name"], of["sha256"]) for role, of in kept.get("inputs", {}).items()]
    if not files:  # runs of earlier versions
        files = [("input", PurePath(path).name, digest) for path, digest in config.get("inputs", {}).items()]
    versions = kept.get("versions") or {key: config[key] for key in ("minedetect",) if key in config}
    return {
        "files": files,
        "model": kept.get("model_sha256"),
        "settings": kept.get("settings_sha256"),
        "versions": versions,
    }


def setting_rows(settings: Content, trained: bool) -> Iterator[dict[str, Any]]:
    """Every setting of a run in the order of the README, with its default and why it differs.

    Args:
        settings: of `config.json`, perhaps of another version.
        trained: whether the run trained its model; if not, settings of training are left out.
    """
    preset = PRESETS.get(settings.get("preset", ""), ("", {}))[1]
    defaults = Settings().model_dump(mode="json")  # as `config.json` has them
    for name, field in Settings.model_fields.items():
        if name not in settings or (not trained and name in ONLY_TRAINING):
            continue
        value, by_preset = settings[name], name in preset and preset[name] == settings[name]
        yield {
            "name": name,
            "value": _told(value),
            "default": _told(defaults[name]),
            "changed": value != defaults[name] and name != "preset",
            "why": f"preset {settings['preset']}" if by_preset else "asked for",
            "help": field.description,
        }


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return "none" if value == "" else str(value)


def evaluation_lines(content: Content) -> list[str]:
    """Sentences on how good the model is, warnings first; none where nothing was scored.

    Args:
        content: the content of `evaluation.json`.
    """
    if "iou" not in content:
        return []
    test = content.get("test", {})
    scored = [("validation", content), *([("test", test)] if test else [])]
    return [
        *(f"Warning, {part} ground: {words}" for part, of in scored for words in of.get("warnings", ())),
        *(_score_line(part, of) for part, of in scored),
        *(baseline["words"] for baseline in content.get("baselines", {}).values()),
        *(f"{part.capitalize()} ground: {of['independence']}" for part, of in scored if "independence" in of),
        *([content["note"]] if "note" in content else []),
    ]


def _score_line(part: str, content: Content) -> str:
    iou = "undefined" if content["iou"] is None else f"{content['iou']:.3f}"
    return (
        f"On {part} ground the overlap of found and labelled mines (IoU, 1 is perfect) is {iou}: "
        f"{shown_ha(content['predicted_ha'])} are called mine, {shown_ha(content['labelled_ha'])} are labelled."
    )


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
