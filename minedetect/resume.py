"""Go on with a run that ended early: what was asked stands in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from minedetect.config import Settings
from minedetect.errors import RunError, SettingError
from minedetect.journal import Listener, no_listener
from minedetect.learn import train_run
from minedetect.manifest import LEARNING, SEED_MODEL, Record, recorded
from minedetect.pipeline import Job, run_job
from minedetect.presets import in_words
from minedetect.runs import Run
from minedetect.scenes import SceneFiles, named_scenes


def settings_to_resume(run: Run, given: Mapping[str, Any]) -> Settings:
    """The run's settings, with those the user gave over them.

    Raises:
        RunError: the run does not know what was asked of it.
        SettingError: a value outside its limits.
    """
    stored = _asked(run).settings
    if given.get("preset", "auto") not in ("auto", stored["preset"]):
        raise SettingError(f"The run {run.name} began with --preset {stored['preset']}. Go on with the same.")
    given = {name: value for name, value in given.items() if name != "preset"}
    try:
        return Settings.model_validate({**stored, **given})
    except ValidationError as error:
        raise SettingError(in_words(error)) from error


def resume_run(
    run: Run, settings: Settings, listener: Listener = no_listener, files: Sequence[SceneFiles] = ()
) -> dict[str, Any]:
    """Go on: training from the last whole checkpoint, what follows it anew.

    Args:
        run: what ended early, or shall train for more epochs.
        settings: as `settings_to_resume` gives them.
        listener: told of progress.
        files: the scenes of a training, where they were given again.

    Returns:
        What `train --json` prints, or the content of `summary.json`, as what was asked for gives.

    Raises:
        RunError: the run does not know what was asked of it, or its inputs have changed since.
        MinedetectError: anything else the user can mend.
    """
    asked = _asked(run)
    for role, given in asked.inputs.items():
        if role != SEED_MODEL and not given.is_same(run.root):
            raise RunError(f"{given.path} is gone or has changed since the run {run.name} began. Start it anew.")
    request, job = asked.request, None
    try:
        if request["command"] == "train":
            files = files or _scenes(request)
        else:
            job = Job.from_json(request)
    except (KeyError, TypeError, ValueError) as error:
        raise _unknown(run) from error
    if job is None:
        return train_run(run, files, settings, listener, resume=True).to_json()
    return run_job(run, job, settings, listener, resume=True)


def _scenes(request: Mapping[str, Any]) -> list[SceneFiles]:
    pairs = [(Path(image), Path(labels)) for image, labels in request["scenes"]]
    return named_scenes(pairs, tuple(request["mine_classes"]))


def _asked(run: Run) -> Record:
    try:
        asked = recorded(run)
    except RunError as error:
        raise _unknown(run) from error
    if asked.request.get("command") not in LEARNING:
        raise _unknown(run)
    return asked


def _unknown(run: Run) -> RunError:
    return RunError(f"The run {run.name} does not know what was asked of it, so it cannot go on. Start it anew.")
