"""The steps in order; each reads from a run, calls the science, and writes to the run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from minedetect import assess, model
from minedetect.compare import compare, compare_classes
from minedetect.config import InferenceSettings, Settings
from minedetect.evidence import Comparison, Truth
from minedetect.journal import Journal, Listener, no_listener
from minedetect.labels import mask_on, open_labels
from minedetect.learn import train_step, write_config
from minedetect.model import Detector
from minedetect.predict import Output, Prediction, SceneReader, predict_scene
from minedetect.prepare import Scene, SceneFiles, load_scene, prepare, require_unblocked, write_scene
from minedetect.raster import Raster, onto_first, open_raster
from minedetect.runs import (
    Progress,
    Run,
    prediction_name,
    probability_name,
    require_date_labels,
)

log = logging.getLogger(__name__)

VERSION = version("minedetect")


def scene_reader(image: Raster, detector: Detector, settings: InferenceSettings) -> tuple[SceneReader, tuple[str, ...]]:
    """Check an image against a model's contract and plan how to read it.

    Returns:
        The reader, and sentences on what was assumed or changed.

    Raises:
        BandMismatch: bands, unit or pixel size do not fit.
    """
    contract = detector.contract
    reading = contract.reading(image, settings.bands, settings.reflectance_offset)
    raster, note = contract.at_pixel_size(image, settings.resample)
    return SceneReader(raster, reading, detector), (*reading.notes, *note)


def predict_image(
    image: Path, detector: Detector, settings: Settings, output: Output, progress: Progress
) -> tuple[Prediction, tuple[str, ...]]:
    """Predict one image file with a model; see `predict.predict_scene`."""
    reader, notes = scene_reader(open_raster(image), detector, settings)
    return predict_scene(reader, settings, output, progress), notes


@dataclass(frozen=True)
class Job:
    """Two dates to compare.

    Args:
        before: image of the first date.
        after: image of the second date.
        labels: outlines or mask of the first date.
        years: labels of the dates.
        labels_after: labels of the second date, or None.
        model: a trained model to apply instead of training, or None.
        mine_classes: which values of a class raster are mines.
        truth: rasters of the true classes of both dates; the built-in district alone has them.
    """

    before: Path
    after: Path
    labels: Path
    years: tuple[str, str]
    labels_after: Path | None = None
    model: Path | None = None
    mine_classes: tuple[int, ...] = ()
    truth: tuple[Path, Path] | None = None

    def inputs(self) -> list[Path]:
        return [p for p in (self.before, self.after, self.labels, self.labels_after, self.model) if p]

    @property
    def labelled(self) -> SceneFiles:
        """The first date with its labels."""
        return SceneFiles(self.before, self.labels, self.before.stem)

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps to come, in order."""
        return ("prepare", *(() if self.model else ("train", "evaluate")), "predict", "change", "report")

    def to_json(self) -> dict[str, Any]:
        return {
            "command": "run",
            "before": str(self.before),
            "after": str(self.after),
            "labels": str(self.labels),
            "years": list(self.years),
            "labels_after": str(self.labels_after or ""),
            "model": str(self.model or ""),
            "mine_classes": list(self.mine_classes),
        }


def run_job(run: Run, job: Job, settings: Settings, listener: Listener = no_listener) -> dict[str, Any]:
    """Everything: prepare, train (or apply a model), predict both dates, compare, judge, report.

    Args:
        run: where all goes.
        job: the two dates and their labels.
        settings: of every step.
        listener: told of progress.

    Returns:
        The content of `summary.json`.

    Raises:
        MinedetectError: anything the user can mend.
    """
    require_date_labels(job.years)
    journal = Journal(run, job.steps, listener)
    with journal.session():
        return do_job(journal, job, settings)


def do_job(journal: Journal, job: Job, settings: Settings) -> dict[str, Any]:
    """The steps of `run_job`, inside a session that somebody else opened."""
    write_config(journal.run, job.to_json(), settings, job.inputs())
    before = open_raster(job.before)
    size_note: tuple[str, ...] = ()
    given = model.load(job.model) if job.model else None
    if given is not None:
        before, size_note = given.contract.at_pixel_size(before, settings.resample)
    after, grid_note = onto_first(before, open_raster(job.after))
    if given is None:
        scene, detector, evaluation, notes = _training_steps(journal, job, settings)
    else:
        scene, detector, evaluation = _applying_step(journal, job, settings, given, before), given, None
        notes = (*scene.reading.notes, *size_note, f"Model {job.model} was applied; nothing was trained.")
    predictions, more = _predict_step(journal, (before, after), detector, settings, job.years)
    comparison = Comparison(
        years=job.years,
        scene=scene,
        rasters=(before, after),
        predictions=predictions,
        detector=detector,
        validation=evaluation,
        mask_after=_mask_after(job, scene),
        notes=tuple(dict.fromkeys((*notes, grid_note, *more))),
        truth=Truth(*job.truth) if job.truth else None,
    )
    return compare(journal, comparison, settings)


def _training_steps(
    journal: Journal, job: Job, settings: Settings
) -> tuple[Scene, Detector, assess.Assessment | None, tuple[str, ...]]:
    """Prepare the labelled date and train on it."""
    with journal.step("prepare") as progress:
        prepared = prepare(journal.run, [job.labelled], settings, progress, job.mine_classes)
    training = train_step(journal, prepared, settings)
    return prepared.scenes[0], training.detector, training.evaluation, prepared.notes


def _applying_step(journal: Journal, job: Job, settings: Settings, detector: Detector, before: Raster) -> Scene:
    """Check the labelled date against a model that was trained elsewhere."""
    with journal.step("prepare"):
        scene = load_scene(job.labelled, detector.contract.names, settings, job.mine_classes, before)
        write_scene(scene, journal.run.root, journal.run)
        require_unblocked(scene)
    return scene


def _mask_after(job: Job, scene: Scene) -> Any:
    if job.labels_after is None:
        return None
    return mask_on(open_labels(job.labels_after, job.mine_classes), scene.raster.grid)


def _predict_step(
    journal: Journal, rasters: tuple[Raster, Raster], detector: Detector, settings: Settings, years: tuple[str, str]
) -> tuple[tuple[Prediction, Prediction], tuple[str, ...]]:
    notes: list[str] = []
    found: list[Prediction] = []
    run = journal.run
    with journal.step("predict") as progress:
        for number, (raster, year) in enumerate(zip(rasters, years, strict=True)):
            reader, said = scene_reader(raster, detector, settings)
            output = Output(
                run.path(prediction_name(year)), run.path(probability_name(year)), {"run_id": run.name, "date": year}
            )

            def counted(done: int, total: int, number: int = number) -> None:
                progress(number * total + done, 2 * total)

            found.append(predict_scene(reader, settings, output, counted))
            notes += said
    return (found[0], found[1]), tuple(notes)


def change_rasters(
    run: Run, before: Path, after: Path, years: tuple[str, str], probabilities: tuple[Path, Path] | None = None
) -> dict[str, Any]:
    """Compare two class rasters that were made elsewhere; there is no verdict on them.

    Args:
        run: the folder to write to.
        before: class raster of the first date.
        after: class raster of the second date.
        years: labels of the dates.
        probabilities: probability rasters of both dates, for the mean probability of each patch.

    Returns:
        The content of `summary.json`.
    """
    require_date_labels(years)
    journal = Journal(run, ("change", "report"))
    with journal.session():
        return compare_classes(journal, before, after, years, probabilities)
