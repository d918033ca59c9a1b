"""A run is one folder: what was asked, how far it got, and the artifacts under fixed names."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from minedetect.errors import BadInput, RunError, SettingError

Progress = Callable[[int, int], None]
"""Called with (done, total); may raise Cancelled."""

State = Literal["new", "running", "done", "failed", "stopped"]

MODEL = "unet_mining_detector.pt"
METRICS = "metrics.csv"
HISTORY = "training_history.png"
EVALUATION = "evaluation.json"
MASK = "mask.tif"
MASK_PICTURE = "mask_visualization.png"
EDGE_PICTURE = "mask_edge_analysis.png"
QUALITY = "quality.json"
SPLIT = "split.json"
SPLIT_PICTURE = "split.png"
SPLIT_AREAS = "split.geojson"
CHANGE_MAP = "change_map.tif"
CHANGE_KIND = "change_kind.tif"
CHANGE_POLYGONS = "change.geojson"
AREAS = "areas.csv"
SUMMARY = "summary.json"
RESULTS_PICTURE = "inference_results.png"
REPORT = "report.html"
CONFIG = "config.json"
STATUS = "status.json"
LOG = "log.txt"
OUTCOME = (
    *(SUMMARY, AREAS, REPORT, RESULTS_PICTURE, EVALUATION, METRICS, HISTORY, SPLIT, CHANGE_MAP, CHANGE_KIND),
    *(SPLIT_PICTURE, SPLIT_AREAS, CHANGE_POLYGONS, "prediction_*.tif", "probability_*.tif", "mines_*.geojson"),
)
"""Files that state an outcome; they go before a new attempt starts. The model stays until a new one is whole."""


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
        return "interrupted" if self.state == "running" and not self.alive() else self.state


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
        except ValueError as error:
            raise RunError(f"{self.path(name)} is damaged. Run that step again.") from error
        return content

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        write_text(self.path(name), json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def forget_results(self, inputs: Iterable[Path | None] = ()) -> None:
        """Remove the outcome of an earlier attempt, so that a new one that fails never shows older figures.

        Raises:
            SettingError: one of the new attempt's `inputs` would be removed; nothing was.
        """
        old = [path for pattern in OUTCOME for path in self.root.glob(pattern)]
        for read in inputs:
            if read is not None and read.resolve() in {path.resolve() for path in old}:
                raise SettingError(
                    f"{read} is a result of the run {self.name} itself and would be replaced. Choose another --out."
                )
        for path in old:
            path.unlink(missing_ok=True)

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


def existing_run(name: str) -> Run:
    """A run under `home()` by its bare name, as it arrives from a web page.

    Raises:
        RunError: the name is no plain folder name, or there is no such run.
    """
    if re.fullmatch(r"[\w][\w .-]{0,99}", name) is None:
        raise RunError("That is not the name of a run.")
    run = Run(home() / name)
    if not run.has(STATUS):
        raise RunError(f"There is no run {name}.")
    return run


def list_runs() -> list[Run]:
    """Every run under `home()`, the latest first."""
    folder = home()
    if not folder.is_dir():
        return []
    found = [Run(path) for path in folder.iterdir() if (path / STATUS).is_file()]
    return sorted(found, key=lambda run: run.path(STATUS).stat().st_mtime, reverse=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block ends well.

    A reader sees the old file or the whole new one, also when the writer is killed. The
    temporary name keeps the suffix, which some libraries choose a format by.

    Raises:
        BadInput: the disk is full or the folder cannot be written; the old file is untouched.
    """
    if not path.name or path.is_dir():
        raise BadInput("WRITE", f"{path} is a folder. Name the file to write.")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise BadInput(
            "WRITE", f"{path} could not be written: {error.strerror or error}. Free space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):  # where even that fails, the first error is the one to show
            temporary.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that a reader never sees half of it."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_other_files(out: Path, others: Iterable[Path | None]) -> None:
    """Raise when an output would take the place of an input or of another output.

    Raises:
        SettingError: naming the file.
    """
    if any(other is not None and out.resolve() == other.resolve() for other in others):
        raise SettingError(f"{out} is used twice: what is written must not replace what is read. Choose another name.")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
