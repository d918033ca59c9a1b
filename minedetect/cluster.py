"""Prediction of many scenes on dask.distributed: a task for each scene, on this machine or on a cluster."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import psutil
from distributed import Client, Future, LocalCluster, as_completed

from minedetect.config import InferenceSettings, Settings
from minedetect.coverage import Covered, covered, earlier_overlaps
from minedetect.errors import MinedetectError, SettingError
from minedetect.files import sha256_of, sha256_once
from minedetect.model import Detector, load
from minedetect.pipeline import predict_image
from minedetect.predict import Output, unwatched
from minedetect.raster import open_raster
from minedetect.runs import Progress
from minedetect.tiff import UNLIMITED, opened

VERSION = version("minedetect")
WORKER_BYTES = 3 * 2**30
"""Memory one local worker should find: the network, its windows, and the rasters on their way."""
JOIN_S = 60
"""How long the first worker of a cluster may take to join."""
ANYHOW = ("device", "window_px")
"""Settings that change how a prediction is computed, not what it says."""


@dataclass(frozen=True)
class SceneTask:
    """One scene to predict.

    Args:
        name: names its files.
        image: absolute path, the same on every worker.
        prediction: class raster to write.
        probability: probability raster to write as well, or None.
    """

    name: str
    image: Path
    prediction: Path
    probability: Path | None


@dataclass(frozen=True)
class Outcome:
    """How one scene ended.

    Args:
        name: of the scene.
        image: what was predicted.
        prediction: the class raster.
        state: predicted, kept (it was done before) or failed.
        reason: why it failed, "" else.
        seconds: how long it took, 0 for one that was kept.
        notes: sentences on what was assumed.
        hectares: what the scene shows, None where it failed.
    """

    name: str
    image: Path
    prediction: Path
    state: str
    reason: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    hectares: Covered | None = None


@lru_cache(maxsize=1)
def _detector(model: Path, sha256: str) -> Detector:
    """The model, loaded once a worker."""
    if sha256_of(model) != sha256:
        raise MinedetectError(f"{model} is another file on this worker than where the command was given.")
    return load(model)


def job_id(image: Path, model_sha256: str, settings: Settings) -> str:
    """What a finished prediction is known by: the image's content, the model's, and what was asked."""
    names = [name for name in InferenceSettings.model_fields if name not in ANYHOW]
    asked = {name: getattr(settings, name) for name in names}
    told = json.dumps([sha256_once(image), model_sha256, asked, VERSION], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def predict_task(task: SceneTask, model: Path, model_sha256: str, settings: Settings) -> Outcome:
    """Predict one scene, or keep what an earlier command made of the same image, model and settings.

    Runs on a worker. What a user can mend becomes an outcome, so that one bad scene stops no other.
    """
    ended = Outcome(task.name, task.image, task.prediction, "kept")
    try:
        if not task.image.is_file():
            raise MinedetectError(f"{task.image} is not there, seen from this worker. All of them need the same paths.")
        job = job_id(task.image, model_sha256, settings)
        if _is_done(task, job):
            return ended
        output = Output(task.prediction, task.probability, {"model": model.name, "job": job})
        found, notes = predict_image(task.image, _detector(model, model_sha256), settings, output, unwatched)
    except MinedetectError as error:
        return replace(ended, state="failed", reason=str(error))
    return replace(ended, state="predicted", seconds=found.seconds, notes=notes)


def _is_done(task: SceneTask, job: str) -> bool:
    wanted = [path for path in (task.prediction, task.probability) if path]
    return all(path.is_file() and _job_of(path) == job for path in wanted)


def _job_of(path: Path) -> str:
    try:
        with opened(path) as dataset:
            return str(dataset.tags().get("job", ""))
    except MinedetectError:
        return ""


def predict_scenes(
    tasks: Sequence[SceneTask], model: Path, settings: Settings, scheduler: str, progress: Progress
) -> list[Outcome]:
    """Predict scenes on workers and measure them, ground that several show counted once.

    A worker that is lost is replaced by the others: its scene begins again there. Files appear whole or
    not at all, so nothing is doubled.

    Args:
        tasks: the scenes; where two show the same ground, the earlier one counts.
        model: a .pt file that every worker can read at this path.
        settings: of prediction.
        scheduler: address of a dask scheduler, or "" for workers on this machine.
        progress: told the scenes done.

    Returns:
        An outcome a scene, in their order.

    Raises:
        ModelError: the model cannot be used.
        SettingError: no scheduler answers, no worker joins, or one runs another version.
    """
    load(model)  # refused here rather than once a scene
    sha256 = sha256_of(model)
    with connected(scheduler, len(tasks)) as client:
        futures = [client.submit(predict_task, task, model, sha256, settings, pure=False) for task in tasks]
        ended = _collected(client, futures, tasks, progress)
        return _measured(client, ended)


def _collected(
    client: Client, futures: Sequence[Future[Outcome]], tasks: Sequence[SceneTask], progress: Progress
) -> list[Outcome]:
    number_of = {future.key: number for number, future in enumerate(futures)}
    found: dict[int, Outcome] = {}
    for future in as_completed(futures, loop=client.loop):
        number = number_of[future.key]
        task = tasks[number]
        found[number] = (
            future.result()
            if future.status == "finished"
            else Outcome(task.name, task.image, task.prediction, "failed", _in_words(future.exception()))
        )
        progress(len(found), len(futures))
    return [found[number] for number in range(len(futures))]


def _in_words(error: BaseException | None) -> str:
    if type(error).__name__ == "KilledWorker":
        return "Every worker that tried it died, most likely for want of memory. Choose a smaller --window-px."
    return f"{type(error).__name__}: {error}"


def _measured(client: Client, ended: Sequence[Outcome]) -> list[Outcome]:
    """Hectares of every scene that has a prediction, measured by the workers."""
    whole = [number for number, outcome in enumerate(ended) if outcome.state != "failed"]
    grids = [open_raster(ended[number].prediction, UNLIMITED).grid for number in whole]
    futures = [
        client.submit(covered, ended[n].prediction, [ended[whole[j]].prediction for j in before], pure=False)
        for n, before in zip(whole, earlier_overlaps(grids), strict=True)
    ]
    hectares = dict(zip(whole, client.gather(futures), strict=True))
    return [replace(outcome, hectares=hectares.get(number)) for number, outcome in enumerate(ended)]


@contextmanager
def connected(scheduler: str, task_count: int) -> Iterator[Client]:
    """A client of a running scheduler, or of workers on this machine that end with the block.

    Raises:
        SettingError: no scheduler answers, no worker joins, or one runs another version of minedetect.
    """
    with ExitStack() as held:
        try:
            where = scheduler or held.enter_context(_local(task_count))
            client = held.enter_context(Client(where, timeout=JOIN_S, set_as_default=False))
            client.wait_for_workers(1, timeout=JOIN_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise SettingError(
                f"{scheduler or 'This machine'} offers no workers ({error}). Start `dask scheduler` and `dask worker`, "
                "and give --scheduler the address the scheduler prints, like tcp://10.0.0.5:8786."
            ) from error
        others = {name: theirs for name, theirs in client.run(_version).items() if theirs != VERSION}
        if others:
            name, theirs = next(iter(others.items()))
            raise SettingError(f"Worker {name} has minedetect {theirs}, here is {VERSION}. Install one version on all.")
        yield client


def _version() -> str:
    return VERSION


def _local(task_count: int) -> LocalCluster:
    """Workers on this machine: as many as there are cores, memory and scenes for; one where a GPU does the work."""
    from minedetect.devices import gpu_present

    cores = len(os.sched_getaffinity(0))
    room = int(psutil.virtual_memory().available // WORKER_BYTES)
    workers = 1 if gpu_present() else max(1, min(cores, room, task_count))
    threads = str(max(1, cores // workers))
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs=logging.ERROR,
        env={"OMP_NUM_THREADS": threads, "DASK_LOGGING__DISTRIBUTED": "error"},
    )
