"""The commands that predict with a model: one image, or many on several machines; they join those of `commands`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from minedetect.arguments import Flat, Json, model_path, settings_of
from minedetect.commands import app
from minedetect.config import InferenceSettings, Settings
from minedetect.console import DONE, MENDABLE, Face, predict_lines
from minedetect.errors import SettingError
from minedetect.files import sha256_once


@app.command
def predict(
    image: Path | None = None,
    *,
    model: Path,
    out: Path,
    probability: Path | None = None,
    scenes: Annotated[Path | None, Parameter(help="CSV with the column image: predict all of them.")] = None,
    probabilities: Annotated[bool, Parameter(negative="")] = False,
    scheduler: str = "",
    json: Json = False,
    settings: Annotated[InferenceSettings | None, Flat] = None,
) -> int:
    """Predict mines with a trained model, on one image or on a list of them.

    Args:
        image: GeoTIFF.
        model: .pt file or run folder.
        out: class raster to write (0, 1, 255 without data); with --scenes the folder to write them to.
        probability: probability raster to write as well.
        probabilities: with --scenes, write probability rasters as well.
        scheduler: with --scenes, address of a running dask scheduler; without one this machine does the work.
    """
    if (image is None) == (scenes is None):
        raise SettingError("Give one IMAGE, or --scenes with a list of them.")
    if scenes is not None:
        if probability is not None:
            raise SettingError("With --scenes choose --probabilities; the rasters go to the folder of --out.")
        return _predict_list(scenes, model_path(model), out, (probabilities, scheduler, json), settings_of(settings))
    if probabilities or scheduler or image is None:
        raise SettingError("--probabilities and --scheduler go with --scenes. For one image choose --probability FILE.")
    from minedetect.model import load

    face, path = Face(json), model_path(model)
    detector = load(path)  # refused before all that training needs is loaded
    from minedetect.pipeline import predict_image
    from minedetect.predict import Output

    chosen = settings_of(settings)
    asked = chosen.model_dump_json(include=set(InferenceSettings.model_fields))
    output = Output(out, probability, {"model": path.name, "model_sha256": sha256_once(path), "settings": asked})
    with face.progress() as listen:
        found, notes = predict_image(
            image, detector, chosen, output, lambda done, total: listen("predict", done, total)
        )
    content = found.to_json() | {"notes": list(notes)}
    face.say(content, predict_lines(content, out))
    return DONE


def _predict_list(table: Path, model: Path, out: Path, how: tuple[bool, str, bool], settings: Settings) -> int:
    from minedetect.cluster import predict_scenes
    from minedetect.many import lines, scene_tasks, write_summary

    with_probability, scheduler, as_json = how
    face, started = Face(as_json), time.perf_counter()
    tasks = scene_tasks(table, out, with_probability)
    with face.progress() as listen:
        outcomes = predict_scenes(
            tasks, model.absolute(), settings, scheduler, lambda done, total: listen("scenes", done, total)
        )
    content = write_summary(out, outcomes, time.perf_counter() - started)
    face.say(content, lines(content, out))
    return MENDABLE if content["failed"] else DONE
