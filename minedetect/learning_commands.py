"""The commands that make, continue and judge a model; they join those of `commands`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import BaseModel

from minedetect.arguments import Flat, Json, MineClass, Scenes, ScenesCsv, helped, model_path, scene_files, settings_of
from minedetect.commands import app, verdict_code
from minedetect.config import InferenceSettings, Settings, TrainingSettings
from minedetect.console import DONE, Face, hectare_lines, score_lines, train_lines
from minedetect.errors import RunError
from minedetect.runs import CONFIG, MODEL, open_run


@app.command
def train(
    *,
    out: str,
    scene: Scenes = None,
    scenes: ScenesCsv = None,
    mine_class: MineClass = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    settings: Annotated[TrainingSettings | None, Flat] = None,
) -> int:
    """Train a model on one or more labelled scenes.

    Args:
        out: run folder; a bare name lies under MINEDETECT_HOME.
        resume: go on from the run's checkpoint with the settings it began with; scenes need not be given again.
    """
    files = scene_files(scene, scenes, mine_class) if scene or scenes or not resume else ()
    if resume and open_run(out).has(CONFIG):
        return _go_on(out, settings, json, files)
    if not files:
        raise RunError(f"The run {out} has not begun yet, so --resume needs its scenes. Give --scene or --scenes.")
    from minedetect.learn import train_run

    face, target, chosen = Face(json), open_run(out), settings_of(settings, scenes=len(files))
    if helped(chosen):
        return DONE
    with face.progress() as listen:
        content = train_run(target, files, chosen, listen).to_json()
    face.say(content, train_lines(content, target.path(MODEL)))
    return DONE


@app.command
def resume(run: str, *, json: Json = False, settings: Annotated[Settings | None, Flat] = None) -> int:
    """Go on with a run that was stopped, killed or failed: its training from the last checkpoint, the rest anew.

    Args:
        run: run folder; a bare name lies under MINEDETECT_HOME.
    """
    return _go_on(run, settings, json, ())


def _go_on(name: str, given: BaseModel | None, as_json: bool, files: Sequence[Any]) -> int:
    from minedetect.resume import resume_run, settings_to_resume

    face, target = Face(as_json), open_run(name)
    chosen = settings_to_resume(target, {} if given is None else given.model_dump(include=given.model_fields_set))
    if helped(chosen):
        return DONE
    with face.progress() as listen:
        content = resume_run(target, chosen, listen, files)
    if "verdict" not in content:
        face.say(content, train_lines(content, target.path(MODEL)))
        return DONE
    face.say(content, hectare_lines(content, target.root))
    return verdict_code(content)


@app.command
def evaluate(
    model: Path,
    *,
    scene: Scenes = None,
    scenes: ScenesCsv = None,
    mine_class: MineClass = None,
    json: Json = False,
    settings: Annotated[InferenceSettings | None, Flat] = None,
) -> int:
    """Score a model on labelled scenes, pooled over all their pixels.

    Args:
        model: .pt file or run folder.
    """
    from minedetect.assess import evaluate_model
    from minedetect.model import load

    face = Face(json)
    files = scene_files(scene, scenes, mine_class)
    with face.progress() as listen:
        content = evaluate_model(
            load(model_path(model)),
            files,
            settings_of(settings),
            lambda done, total: listen("evaluate", done, total),
        )
    face.say(content, score_lines(content))
    return DONE
