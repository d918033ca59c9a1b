"""`sample_design.json`: what a sample was drawn from and which pixels it holds; hidden from who looks at them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minedetect.allocation import STRATA
from minedetect.errors import RunError
from minedetect.files import sha256_once
from minedetect.runs import SAMPLE_DESIGN, Run

SAMPLE_TABLE, SAMPLE_POINTS, HOW_TO_FILE, CHIPS_FOLDER = "sample.csv", "sample.geojson", "README.txt", "chips"
"""What an interpreter gets."""
COLUMNS = ("point", "lon", "lat", "row", "col", "reference", "note")
UNUSABLE = "unusable"
REFERENCES = {"other_both": "stable_other", "mine_both": "stable_mine", "new": "new", "gone": "gone"}
"""What an interpreter writes, and the class of STRATA it means."""


class Stratum(BaseModel):
    """One stratum: its size, and the points drawn from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels: int = Field(ge=0)
    hectares: float = Field(ge=0)
    weight: float = Field(ge=0, le=1)
    points: int = Field(ge=0)


class Point(BaseModel):
    """One drawn pixel, with its stratum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    point: str
    stratum: str = Field(pattern="^(" + "|".join(STRATA) + ")$")
    row: int = Field(ge=0)
    col: int = Field(ge=0)
    lon: float
    lat: float
    pixel_m2: float = Field(gt=0)


class Design(BaseModel):
    """A drawn sample.

    Args:
        sample_id: tells it from every other; part of the name of each point.
        seed: of the draw.
        n: points that were asked for.
        min_per_stratum: least points of a stratum that were asked for.
        years: labels of the dates.
        files: SHA-256 of the rasters it was drawn from, by name.
        strata: each stratum by name, in the order of STRATA.
        points: in the order of `sample.csv`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_id: str = Field(pattern="^s[0-9a-f]{8}$")
    seed: int
    n: int
    min_per_stratum: int
    years: tuple[str, str]
    files: dict[str, str]
    strata: dict[str, Stratum]
    points: tuple[Point, ...]

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """A figure of all strata, in the order of STRATA: float64 (H,)."""
        return np.array([getattr(self.strata[s], name) for s in STRATA], dtype=np.float64)


def sample_id_of(files: Mapping[str, str], seed: int, n: int, min_per_stratum: int) -> str:
    """The same map and the same settings give the same sample, and the same name to it."""
    told = json.dumps([sorted(files.items()), seed, n, min_per_stratum])
    return "s" + hashlib.sha256(told.encode()).hexdigest()[:8]


def is_of_this_map(run: Run, design: Design) -> bool:
    """Whether a run's map is still the one that a sample was drawn from."""
    return all(
        Path(name).name == name and run.has(name) and sha256_once(run.path(name)) == drawn_for
        for name, drawn_for in design.files.items()
    )


def read_design(run: Run) -> Design:
    """The sample drawn from a run's map.

    Raises:
        RunError: there is none, or it is damaged.
    """
    if not run.has(SAMPLE_DESIGN):
        raise RunError(f"{run.root} has no {SAMPLE_DESIGN}. Draw a sample first: minedetect sample RUN --out DIR.")
    try:
        content = run.read_json(SAMPLE_DESIGN)
        named = {k: v for k, v in content.items() if k != "run_id"} if isinstance(content, dict) else content
        design = Design.model_validate(named)
    except ValidationError as error:
        raise RunError(
            f"{run.path(SAMPLE_DESIGN)} is damaged: {error.error_count()} fields do not fit. "
            "Delete it and draw a new sample."
        ) from error
    if set(design.strata) != set(STRATA):
        raise RunError(f"{run.path(SAMPLE_DESIGN)} is damaged: its strata are {', '.join(design.strata) or 'missing'}.")
    return design
