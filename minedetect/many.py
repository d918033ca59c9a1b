"""Prediction of a list of scenes into a folder: what is asked, and what is told of all of them together."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minedetect.cluster import Outcome, SceneTask
from minedetect.errors import SettingError
from minedetect.files import write_text
from minedetect.report import cell
from minedetect.scenes import read_images_csv, unique_names

SUMMARY_JSON, SUMMARY_CSV = "scenes.json", "scenes.csv"
COLUMNS = ("scene", "state", "mine_ha", "observed_ha", "counted_mine_ha", "counted_observed_ha", "seconds", "reason")


def scene_tasks(table: Path, out: Path, with_probability: bool) -> list[SceneTask]:
    """A task for each image of a list.

    Args:
        table: CSV with the column image, paths relative to it.
        out: folder of the predictions.
        with_probability: whether to write probability rasters as well.

    Raises:
        BadInput: the list cannot be read.
        SettingError: the folder is a file, or an image of the list lies where its prediction would.
    """
    images = [path.absolute() for path in read_images_csv(table)]
    if out.is_file():
        raise SettingError(f"{out} is a file. With --scenes, --out is the folder the predictions go to.")
    tasks = []
    for name, image in zip(unique_names(images), images, strict=True):
        prediction = out.absolute() / f"prediction_{name}.tif"
        probability = out.absolute() / f"probability_{name}.tif" if with_probability else None
        tasks.append(SceneTask(name, image, prediction, probability))
    written = {path for task in tasks for path in (task.prediction, task.probability)}
    if (clash := next((image for image in images if image in written), None)) is not None:
        raise SettingError(f"{clash} would be written over by its own prediction. Choose another folder for --out.")
    return tasks


def write_summary(out: Path, outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Write `scenes.csv` and `scenes.json`, and return the latter's content.

    `mine_ha` counts ground that several scenes show once; `sum_ha` adds up the scenes as they are.
    """
    measured = [outcome.hectares for outcome in outcomes if outcome.hectares]
    content: dict[str, Any] = {
        "mine_ha": round(sum(h.own_mine_ha for h in measured), 2),
        "observed_ha": round(sum(h.own_observed_ha for h in measured), 2),
        "sum_ha": round(sum(h.mine_ha for h in measured), 2),
        "predicted": sum(o.state == "predicted" for o in outcomes),
        "kept": sum(o.state == "kept" for o in outcomes),
        "failed": sum(o.state == "failed" for o in outcomes),
        "seconds": round(seconds, 1),
        "scenes": [_row(outcome) for outcome in outcomes],
    }
    write_text(out / SUMMARY_JSON, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_text(out / SUMMARY_CSV, _csv(content["scenes"]))
    return content


def _row(outcome: Outcome) -> dict[str, Any]:
    found = outcome.hectares
    return {
        "scene": outcome.name,
        "state": outcome.state,
        "mine_ha": round(found.mine_ha, 2) if found else None,
        "observed_ha": round(found.observed_ha, 2) if found else None,
        "counted_mine_ha": round(found.own_mine_ha, 2) if found else None,
        "counted_observed_ha": round(found.own_observed_ha, 2) if found else None,
        "seconds": round(outcome.seconds, 2),
        "reason": outcome.reason,
        "image": str(outcome.image),
        "prediction": str(outcome.prediction) if found else None,
        "notes": list(outcome.notes),
    }


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = (row[column] for column in COLUMNS)
        writer.writerow(["" if v is None else cell(v) if isinstance(v, str) else v for v in values])
    return text.getvalue()


def lines(content: dict[str, Any], out: Path) -> list[str]:
    """What was found, for people: the total, then what failed and why."""
    done = content["predicted"] + content["kept"]
    kept = f", {content['kept']} of them kept from before" if content["kept"] else ""
    overlap = content["sum_ha"] - content["mine_ha"]
    twice = f" {overlap:,.1f} ha lie where scenes overlap and count once." if overlap >= 0.05 else ""
    return [
        f"{content['mine_ha']:,.1f} ha mine on {content['observed_ha']:,.1f} ha of ground, {done} scenes{kept}.{twice}",
        *(f"failed  {row['scene']}: {row['reason']}" for row in content["scenes"] if row["state"] == "failed"),
        f"Hectares a scene: {out / SUMMARY_CSV}",
    ]
