"""The steps in order; each reads from a run, calls the science, and writes to the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minedetect import assess, model
from minedetect.bands import Reading, name_bands, reading_of, training_bands
from minedetect.compare import compare, compare_classes
from minedetect.config import InferenceSettings, Settings
from minedetect.errors import BandMismatch
from minedetect.evidence import Comparison, Truth
from minedetect.journal import Journal, Listener, no_listener
from minedetect.labels import mask_on, open_labels
from minedetect.learn import train_step, write_config
from minedetect.model import Detector
from minedetect.predict import Output, Prediction, SceneReader, predict_scene
from minedetect.prepare import Scene, SceneFiles, load_scene, prepare, require_unblocked, write_scene
from minedetect.raster import Mask, Raster, onto_first, open_raster
from minedetect.runs import (
    Progress,
    Run,
    prediction_name,
    probability_name,
    require_date_labels,
    require_other_files,
)


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
    require_other_files(output.prediction, (image, output.probability))
    require_other_files(output.probability or output.prediction.with_name("none"), (image,))
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
    dates = _open_dates(job, settings)
    journal.run.forget_results()
    write_config(journal.run, job.to_json(), settings, job.inputs())
    if dates.given is None:
        scene, detector, evaluation, notes = _training_steps(journal, job, settings)
    else:
        scene = _applying_step(journal, job, settings, dates.before, dates.given)
        detector, evaluation = dates.given, None
        notes = (*scene.reading.notes, f"Model {job.model} was applied; nothing was trained.")
    predictions, readings = _predict_step(journal, dates, detector, settings, job.years)
    more = (note for reading in readings for note in reading.notes)
    comparison = Comparison(
        years=job.years,
        scene=scene,
        rasters=(dates.before, dates.after),
        readings=readings,
        predictions=predictions,
        detector=detector,
        validation=evaluation,
        mask_after=dates.mask_after,
        notes=tuple(dict.fromkeys((*notes, *dates.notes, *more))),
        truth=Truth(*job.truth) if job.truth else None,
    )
    return compare(journal, comparison, settings)


@dataclass(frozen=True)
class _Dates:
    """Both images and what comes with them, opened and checked before any work is done.

    Args:
        before: the first date, perhaps resampled to a given model's pixel size.
        after: the second date on the first one's grid.
        given: the model to apply, or None to train one.
        mask_after: labels of the second date, or None.
        notes: sentences on what was done.
    """

    before: Raster
    after: Raster
    given: Detector | None
    mask_after: Mask | None
    notes: tuple[str, ...]


def offsets(settings: Settings) -> tuple[float, float]:
    """Reflectance offset of the first and of the second date."""
    return settings.reflectance_offset, settings.reflectance_offset_after


def _open_dates(job: Job, settings: Settings) -> _Dates:
    before, after = open_raster(job.before), open_raster(job.after)
    open_labels(job.labels, job.mine_classes)
    given = model.load(job.model) if job.model else None
    notes: tuple[str, ...] = ()
    if given is not None:
        before, first = given.contract.at_pixel_size(before, settings.resample)
        after, second = given.contract.at_pixel_size(after, settings.resample)
        notes = (*first, *second)
    after, grid_note = onto_first(before, after)
    wanted = given.contract.names if given else training_bands(before, settings.bands)
    units = {
        reading_of(raster, name_bands(raster, settings.bands), wanted, offset).unit
        for raster, offset in zip((before, after), offsets(settings), strict=True)
    }
    if len(units) > 1:
        raise BandMismatch(f"{job.before.name} and {job.after.name} hold values of different kinds: {sorted(units)}.")
    labels_after = open_labels(job.labels_after, job.mine_classes) if job.labels_after else None
    mask_after = mask_on(labels_after, before.grid, warp=True) if labels_after else None
    return _Dates(before, after, given, mask_after, (*notes, grid_note))


def _training_steps(
    journal: Journal, job: Job, settings: Settings
) -> tuple[Scene, Detector, assess.Assessment | None, tuple[str, ...]]:
    """Prepare the labelled date and train on it."""
    with journal.step("prepare") as progress:
        prepared = prepare(journal.run, [job.labelled], settings, progress, job.mine_classes)
    training = train_step(journal, prepared, settings)
    return prepared.scenes[0], training.detector, training.evaluation, prepared.notes


def _applying_step(journal: Journal, job: Job, settings: Settings, before: Raster, detector: Detector) -> Scene:
    """Check the labelled date against a model that was trained elsewhere."""
    with journal.step("prepare"):
        scene = load_scene(job.labelled, detector.contract.names, settings, job.mine_classes, before)
        write_scene(scene, journal.run.root, journal.run)
        require_unblocked(scene)
    return scene


def _predict_step(
    journal: Journal, dates: _Dates, detector: Detector, settings: Settings, years: tuple[str, str]
) -> tuple[tuple[Prediction, Prediction], tuple[Reading, Reading]]:
    found: list[Prediction] = []
    readings: list[Reading] = []
    run = journal.run
    with journal.step("predict") as progress:
        pair = zip((dates.before, dates.after), offsets(settings), years, strict=True)
        for number, (raster, offset, year) in enumerate(pair):
            reader, _ = scene_reader(raster, detector, settings.model_copy(update={"reflectance_offset": offset}))
            tags = {"run_id": run.name, "date": year}
            output = Output(run.path(prediction_name(year)), run.path(probability_name(year)), tags)

            def counted(done: int, total: int, number: int = number) -> None:
                progress(number * total + done, 2 * total)

            found.append(predict_scene(reader, settings, output, counted))
            readings.append(reader.reading)
    return (found[0], found[1]), (readings[0], readings[1])


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
