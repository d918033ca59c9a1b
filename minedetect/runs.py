"""A run is one folder: what was asked, how far it got, and the artifacts under fixed names."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from minedetect.errors import RunError, SettingError
from minedetect.files import write_text

Progress = Callable[[int, int], None]
"""Called with (done, total); may raise Cancelled."""

State = Literal["new", "queued", "running", "done", "failed", "stopped"]
ACTIVE: tuple[State, ...] = ("queued", "running")
"""States in which a process is at work on a run, or waits for its turn."""

MODEL = "unet_mining_detector.pt"
CHECKPOINT = "checkpoint.pt"
FOLDS_FOLDER = "folds"  # files of each network, where a run trains several
SCENES_FOLDER = ".scenes"
"""Scaled scenes mapped from disk while a training needs them."""
METRICS, HISTORY = "metrics.csv", "training_history.png"
EVALUATION, EVALUATION_PICTURE = "evaluation.json", "evaluation.png"
MASK = "mask.tif"
MASK_PICTURE = "mask_visualization.png"
EDGE_PICTURE = "mask_edge_analysis.png"
QUALITY = "quality.json"
SPLIT = "split.json"
SPLIT_PICTURE = "split.png"
SPLIT_AREAS = "split.geojson"
CHANGE_MAP, CHANGE_KIND = "change_map.tif", "change_kind.tif"
CHANGE_POLYGONS = "change.geojson"
LABELLED_MINES = "labelled_mines.geojson"
THRESHOLD_HECTARES = "threshold_hectares.json"
SUSPECTS = "suspected_missing_labels.geojson"
SUSPECTS_PICTURE = "suspected_missing_labels.png"
AREAS = "areas.csv"
SUMMARY = "summary.json"
RESULTS_PICTURE = "inference_results.png"
REPORT = "report.html"
SAMPLE_DESIGN, ESTIMATE, SAMPLES = "sample_design.json", "estimate.json", "sample"
CONFIG = "config.json"
DRAFT, DRAFT_LOCK, CHECK_FOLDER = "draft.json", ".draft.lock", "check"
"""What was given so far, and the folder of what was found out about it."""
MANIFEST, STATUS, LOG = "manifest.json", "status.json", "log.txt"
SCENE_FILES = (MASK, MASK_PICTURE, EDGE_PICTURE, QUALITY)
"""What is written of each scene: in the run itself, or in `scenes/NAME` of several."""
OUTCOME = (
    *(MANIFEST, SUMMARY, AREAS, REPORT, RESULTS_PICTURE, EVALUATION, METRICS, HISTORY, SPLIT, CHANGE_MAP, CHANGE_KIND),
    *(CHECKPOINT, EVALUATION_PICTURE, ESTIMATE, SUSPECTS, SUSPECTS_PICTURE),
    *(SPLIT_PICTURE, SPLIT_AREAS, CHANGE_POLYGONS, "prediction_*.tif", "probability_*.tif", "mines_*.geojson"),
    *(LABELLED_MINES, THRESHOLD_HECTARES, "preview_*.tif", "outlines_*.geojson"),
    *SCENE_FILES,
    *(f"scenes/*/{name}" for name in SCENE_FILES),
    *(f"{FOLDS_FOLDER}/*/{name}" for name in (CHECKPOINT, METRICS)),
)
"""Files that state an outcome; they go before a new attempt starts. The model stays until a new one is whole."""
CHANGING = (MANIFEST, STATUS, LOG, CHECKPOINT, f"{FOLDS_FOLDER}/*/{CHECKPOINT}", ".lock", DRAFT, DRAFT_LOCK)
"""Files of a run that no manifest vouches for: they change after it, or are only there to go on from."""
ARTIFACTS = (*(pattern for pattern in OUTCOME if pattern not in CHANGING), MODEL, CONFIG, SAMPLE_DESIGN)
"""Files that a manifest vouches for."""


def require_date_labels(years: tuple[str, str]) -> None:
    """Raise unless two labels tell two dates apart and can be part of a file name.

    Raises:
        SettingError: a label is empty, too long, holds other signs, or both are one.
    """
    if years[0] == years[1] or not all(re.fullmatch(r"[\w-]{1,30}", year) for year in years):
        raise SettingError(
            f"--years is {years[0]!r} and {years[1]!r}. Give two different labels of letters, digits, _ and -, "
            "such as 2016 2025."
        )


def prediction_name(year: str) -> str:
    """Class raster of one date."""
    return f"prediction_{year}.tif"


def unmatched_name(year: str) -> str:
    """Class raster of a matched date as it is without matching."""
    return f"prediction_{year}_unmatched.tif"


def probability_name(year: str) -> str:
    """Probability raster of one date."""
    return f"probability_{year}.tif"


def preview_name(year: str) -> str:
    """Picture of one date for the map: colours stretched, overviews made."""
    return f"preview_{year}.tif"


def outlines_name(year: str) -> str:
    """The largest mine polygons of one date, for the map."""
    return f"outlines_{year}.geojson"


def mines_name(year: str) -> str:
    """Mine polygons of one date."""
    return f"mines_{year}.geojson"


class Status(BaseModel):
    """What `status.json` holds: which step, how far, since when, by whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    state: State = "new"
    steps: tuple[str, ...] = ()
    step: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    seconds: dict[str, float] = {}
    pid: int = 0
    pid_created_s: float = 0.0
    updated_s: float = 0.0

    def alive(self) -> bool:
        """Whether the process that writes this run still exists (and is not a zombie)."""
        if not self.pid:
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.pid_created_s) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def shown_state(self) -> str:
        """The state as a person should see it: a dead "running" is "interrupted"."""
        return "interrupted" if self.state in ACTIVE and not self.alive() else self.state


@dataclass(frozen=True)
class Run:
    """One run folder.

    Args:
        root: the folder; it need not exist yet.
    """

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    def path(self, name: str) -> Path:
        return self.root / name

    def has(self, name: str) -> bool:
        return self.path(name).is_file()

    def read_json(self, name: str) -> dict[str, Any]:
        """Content of one JSON artifact.

        Raises:
            RunError: it is not there or not JSON.
        """
        try:
            content: dict[str, Any] = json.loads(self.path(name).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunError(f"{self.root} has no {name}. Is it a run folder, and did that step finish?") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{self.path(name)} is damaged. Run that step again.") from error
        return content

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one JSON artifact; it names this run unless its content does so."""
        named = {"run_id": self.name, **content}
        write_text(self.path(name), json.dumps(named, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_geojson(self, name: str, collection: Mapping[str, Any]) -> None:
        """Write a FeatureCollection that names this run (a foreign member, RFC 7946, section 6.1)."""
        write_text(self.path(name), json.dumps({**collection, "run_id": self.name}) + "\n")

    def forget_results(self, inputs: Iterable[Path | None] = (), keep: Collection[str] = ()) -> None:
        """Remove the outcome of an earlier attempt, so that a new one that fails never shows older figures.

        Args:
            inputs: what the new attempt reads.
            keep: names of what the new attempt goes on from.

        Raises:
            SettingError: one of the new attempt's `inputs` would be removed; nothing was.
        """
        old = [path for pattern in OUTCOME for path in self.root.glob(pattern) if path.name not in keep]
        for read in inputs:
            if read is not None and read.resolve() in {path.resolve() for path in old}:
                raise SettingError(
                    f"{read} is a result of the run {self.name} itself and would be replaced. Choose another --out."
                )
        for path in old:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed writers left half done: temporary files, and scenes mapped for training."""
        for path in (*self.root.glob(".*"), *self.root.glob(f"{FOLDS_FOLDER}/*/.*")):
            if re.fullmatch(r"\..+\.\d+\.[0-9a-f]{8}(\.staging)?(\.\w+)?", path.name) and not path.name.startswith(
                ".status."
            ):
                path.unlink(missing_ok=True)
        shutil.rmtree(self.path(SCENES_FOLDER), ignore_errors=True)

    def status(self) -> Status:
        """The run's status; a fresh one where none was written yet.

        Raises:
            RunError: `status.json` is damaged.
        """
        if not self.has(STATUS):
            return Status(run_id=self.name)
        try:
            return Status.model_validate(self.read_json(STATUS))
        except ValidationError as error:
            raise RunError(f"{self.path(STATUS)} is damaged: {error.error_count()} fields do not fit.") from error

    def write_status(self, status: Status) -> None:
        stamped = status.model_copy(update={"updated_s": time.time()})
        write_text(self.path(STATUS), stamped.model_dump_json(indent=1) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for one writer.

        Raises:
            RunError: another process writes this run now.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.root} cannot be a run folder: {error.strerror}. Choose another --out.") from error
        try:
            with FileLock(self.root / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise RunError(
                f"The run {self.name} is in use by another process. Wait for it, stop it, or choose another name."
            ) from error


def home() -> Path:
    """The folder of all runs: MINEDETECT_HOME, or ./runs."""
    return Path(os.environ.get("MINEDETECT_HOME", "runs")).expanduser().absolute()


def open_run(name: str) -> Run:
    """The run of a folder path; a bare name lies under `home()`."""
    path = Path(name).expanduser()
    return Run(home() / path if path.name == name and not path.is_absolute() and name != "." else path.absolute())


def named_run(name: str) -> Run:
    """A run under `home()` by its bare name, as it arrives from a web page; it need not exist yet.

    Raises:
        RunError: the name is no plain folder name.
    """
    if re.fullmatch(r"[\w][\w .-]{0,99}", name) is None:
        raise RunError("That is not the name of a run. Use letters, digits, spaces, dots, - and _.")
    return Run(home() / name)


def existing_run(name: str) -> Run:
    """A run under `home()` by its bare name, as it arrives from a web page.

    Raises:
        RunError: the name is no plain folder name, or there is no such run.
    """
    run = named_run(name)
    if not run.has(STATUS):
        raise RunError(f"There is no run {name}.")
    return run


def list_runs() -> list[Run]:
    """Every run under `home()`, the latest first."""
    folder = home()
    if not folder.is_dir():
        return []
    found = [Run(path) for path in folder.glob("[!.]*") if (path / STATUS).is_file()]
    return sorted(found, key=lambda run: run.path(STATUS).stat().st_mtime, reverse=True)
