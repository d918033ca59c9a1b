"""How long a training would take: what a moment of it shows of its pace, times what there is to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minedetect.config import AugmentationSettings, DeviceSettings, ModelSettings, Settings
from minedetect.errors import DeviceError
from minedetect.grid import validation_cores

COMMAND = (sys.executable, "-m", "minedetect.probe")
PATIENCE_S = 120.0
"""How long a probe may take, start included, on a machine that has much else to do."""
OTHERS = ("tile_px", "batch", "averaging")


@dataclass(frozen=True)
class Pace:
    """How fast a training goes.

    Args:
        learned_per_s: training tiles a second.
        judged_per_s: validation tiles a second.
        device: for people.
        precision: "bf16" or "float32".
        whole: measured on steps as the training takes them; else on smaller ones, and reckoned from those.
    """

    learned_per_s: float
    judged_per_s: float
    device: str
    precision: str
    whole: bool


@dataclass(frozen=True)
class Work:
    """What one epoch goes through.

    Args:
        learned: training tiles.
        judged: validation tiles.
    """

    learned: int
    judged: int


def work_of(split: Mapping[str, Any], settings: Settings) -> Work:
    """What one epoch goes through, from the content of a `split.json`.

    Raises:
        KeyError: the content is no split.
    """
    scenes = split["scenes"].values()
    blocks = [block for scene in scenes for block in scene["validation"]]
    judged = sum(len(validation_cores((height, width), settings.tile_px)) for _, _, height, width in blocks)
    return Work(settings.tiles_per_epoch or sum(len(scene["training"]) for scene in scenes), judged)


def foretold_s(pace: Pace, work: Work, epochs: int) -> float:
    """Seconds that so many epochs take, validation after each one included."""
    return epochs * (work.learned / pace.learned_per_s + work.judged / pace.judged_per_s)


def deciding(settings: Settings) -> dict[str, Any]:
    """The settings that decide the pace."""
    groups = (ModelSettings, AugmentationSettings, DeviceSettings)
    names = [*OTHERS, *(name for group in groups for name in group.model_fields if name != "init")]
    return {name: getattr(settings, name) for name in names}


def measured(values: Mapping[str, Any], bands: int, spare: bool) -> Pace:
    """Train for about a second in a process of its own, which loads the learning libraries.

    Args:
        values: as `deciding` gives them.
        bands: C, bands of an image.
        spare: leave a core to whoever works on this machine already.

    Raises:
        DeviceError: the device or precision asked for is not there, or the probe came to no end.
    """
    asked = json.dumps({"settings": dict(values), "bands": bands, "spare": spare})
    try:
        ended = subprocess.run([*COMMAND, asked], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"The pace could not be measured within {PATIENCE_S:.0f} s: this computer is very busy. Try again later."
        ) from error
    if ended.returncode:
        raise DeviceError(_why(ended.stderr))
    return Pace(**json.loads(ended.stdout.splitlines()[-1]))


def _why(told: str) -> str:
    """The last line a probe left, where it is a sentence of ours."""
    last = told.strip().splitlines()[-1:] or [""]
    if last[0].endswith("."):
        return last[0]
    return "The pace could not be measured: the computer was short of memory, or the probe was shut down. Try again."
