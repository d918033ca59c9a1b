"""What the commands share: their common arguments, and from flags to settings and files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from pydantic import BaseModel

from minedetect.config import Settings
from minedetect.errors import SettingError
from minedetect.presets import settings_from
from minedetect.runs import MODEL, open_run

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object; logs go to stderr.")]
Scenes = Annotated[
    list[tuple[Path, Path]] | None,
    Parameter(name="--scene", negative="", help="Image and its labels; repeat for several scenes."),
]
ScenesCsv = Annotated[
    Path | None, Parameter(name="--scenes", help="CSV with the columns image,labels; paths relative to it.")
]
MineClass = Annotated[
    list[int] | None,
    Parameter(
        name="--mine-class", negative="", consume_multiple=True, help="Which values of a class raster are mines."
    ),
]
Years = Annotated[tuple[str, str], Parameter(name="--years", negative="", help="Labels of the two dates.")]
ShiftPx = Annotated[float | None, Parameter(validator=Number(gte=0, lte=100))]
Flat = Parameter(name="*")


def settings_of(given: BaseModel | None, computes: bool = True, scenes: int = 1) -> Settings:
    """The user's flags over the preset over the defaults.

    Args:
        given: the flags.
        computes: whether a network will run; if not, torch is not even loaded to look for a GPU.
        scenes: how many there are to learn from.
    """
    values = {} if given is None else given.model_dump(include=given.model_fields_set)
    return settings_from(values, gpu=computes and _gpu_wanted(values), scenes=scenes)


def helped(settings: Settings) -> bool:
    """Whether this process was started to help another one train, and has done so."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    from minedetect.processes import is_follower
    from minedetect.train import follow

    if not is_follower():
        return False
    follow(settings)
    return True


def _gpu_wanted(values: dict[str, Any]) -> bool:
    from minedetect.devices import gpu_present

    return values.get("device", "auto") != "cpu" and gpu_present()


def scene_files(
    scenes: list[tuple[Path, Path]] | None, table: Path | None, mine_classes: list[int] | None
) -> list[Any]:
    """The labelled scenes, from repeated flags or from a CSV.

    Raises:
        SettingError: neither or both were given.
    """
    from minedetect.scenes import named_scenes, read_scenes_csv

    if bool(scenes) == bool(table):
        raise SettingError("Give scenes either as --scene IMAGE LABELS (repeated) or as --scenes scenes.csv.")
    return named_scenes(read_scenes_csv(table) if table else scenes or [], mine_classes or ())


def model_path(given: Path) -> Path:
    """A .pt file, or the model of a run folder or run name."""
    if given.is_file():
        return given
    run = given if given.is_dir() else open_run(str(given)).root
    return run / MODEL if run.is_dir() else given
