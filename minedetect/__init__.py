"""Where mining is, where it is new, where it has gone, in hectares.

Names are handed on when first used, so that `import minedetect` stays light: a web process never
loads torch by accident.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from minedetect.environment import guard_gdal

guard_gdal(os.environ)

if TYPE_CHECKING:
    from minedetect.assess import evaluate_model
    from minedetect.change import difference
    from minedetect.config import Settings
    from minedetect.errors import MinedetectError
    from minedetect.estimate import estimate_run
    from minedetect.learn import train_run
    from minedetect.measure import hectares
    from minedetect.model import Detector, load
    from minedetect.pipeline import Job, predict_image, run_job
    from minedetect.presets import settings_from
    from minedetect.runs import Run, open_run
    from minedetect.sample import sample_run
    from minedetect.scenes import SceneFiles
    from minedetect.verify import verify_run

_HOMES = {
    "Detector": "model",
    "Job": "pipeline",
    "MinedetectError": "errors",
    "Run": "runs",
    "SceneFiles": "scenes",
    "Settings": "config",
    "difference": "change",
    "estimate_run": "estimate",
    "evaluate_model": "assess",
    "hectares": "measure",
    "load": "model",
    "open_run": "runs",
    "predict_image": "pipeline",
    "run_job": "pipeline",
    "sample_run": "sample",
    "settings_from": "presets",
    "train_run": "learn",
    "verify_run": "verify",
}

__all__ = [
    "Detector",
    "Job",
    "MinedetectError",
    "Run",
    "SceneFiles",
    "Settings",
    "difference",
    "estimate_run",
    "evaluate_model",
    "hectares",
    "load",
    "open_run",
    "predict_image",
    "run_job",
    "sample_run",
    "settings_from",
    "train_run",
    "verify_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minedetect' has no attribute {name!r}")
    return getattr(import_module(f"minedetect.{_HOMES[name]}"), name)
