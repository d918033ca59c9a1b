"""The steps in order; each reads from a run, calls the science, and writes to the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minedetect.class_rasters import THRESHOLD_TAG, ClassPair, compare_classes
from minedetect.compare import compare
from minedetect.config import InferenceSettings, Settings
from minedetect.dates import Aligned, DateFiles, align, open_dates
from minedetect.evidence import Comparison, Truth
from minedetect.exclusion import sentence
from minedetect.files import require_other_files, sha256_once
from minedetect.intake import open_image
from minedetect.journal import Journal, Listener, no_listener
from minedetect.learn import TRAINED_SO_FAR, train_step, with_seed
from minedetect.manifest import GIVEN_MODEL, begin, changed_inputs, look_at, provenance, seal, tags
from minedetect.model import Detector, caveats, taught_by
from minedetect.predict import Output, Prediction, SceneReader, predict_scene
from minedetect.prepare import findings_json, prepare, write_scene
from minedetect.raster import Raster
from minedetect.runs import (
    QUALITY,
    Progress,
    Run,
    prediction_name,
    probability_name,
    require_date_labels,
    unmatched_name,
)
from minedetect.scenes import Scene, SceneFiles, load_scene, require_unblocked
from minedetect.tiff import Limits


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
    return SceneReader(raster, reading, detector), (*caveats(detector), *reading.notes, *note)


def predict_image(
    image: Path, detector: Detector, settings: Settings, output: Output, progress: Progress
) -> tuple[Prediction, tuple[str, ...]]:
    """Predict one image file with a model; see `predict.predict_scene`."""
    require_other_files(output.prediction, (image, output.probability))
    require_other_files(output.probability or output.prediction.with_name("none"), (image,))
    reader, notes = scene_reader(open_image(image, Limits.of(settings)), detector, settings)
    told = replace(
        output, tags={**output.tags, "image_sha256": sha256_once(image), **_threshold_tag(detector, settings)}
    )
    found = predict_scene(reader, settings, told, progress)
    return found, (*notes, *found.notes)


def _threshold_tag(detector: Detector, settings: InferenceSettings) -> dict[str, str]:
    """What `change` needs to know of a prediction to tell what its sieve did."""
    return {THRESHOLD_TAG: repr(float(settings.threshold or detector.calibration.threshold))}


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

    def inputs(self) -> dict[str, Path]:
        """What is read, by role."""
        given = {
            "before": self.before,
            "after": self.after,
            "labels": self.labels,
            "labels_after": self.labels_after,
            GIVEN_MODEL: self.model,
            **dict(zip(("truth_before", "truth_after"), self.truth or (), strict=False)),
        }
        return {role: path for role, path in given.items() if path}

    @property
    def labelled(self) -> SceneFiles:
        """The first date with its labels."""
        return SceneFiles(self.before, self.labels, self.before.stem, self.mine_classes)

    @property
    def dates(self) -> DateFiles:
        return DateFiles(self.labelled, self.after, self.labels_after, self.model)

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps to come, in order."""
        return ("prepare", *(() if self.model else ("train", "evaluate")), "predict", "change", "report")

    def to_json(self) -> dict[str, Any]:
        return {
            "command": "run",
            "before": _absolute(self.before),
            "after": _absolute(self.after),
            "labels": _absolute(self.labels),
            "years": list(self.years),
            "labels_after": _absolute(self.labels_after),
            "model": _absolute(self.model),
            "mine_classes": list(self.mine_classes),
            "truth": [_absolute(path) for path in self.truth or ()],
        }

    @classmethod
    def from_json(cls, request: Mapping[str, Any]) -> Job:
        """The job that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        first, second = request["years"]
        truth = [Path(path) for path in request["truth"]]
        return cls(
            before=Path(request["before"]),
            after=Path(request["after"]),
            labels=Path(request["labels"]),
            years=(first, second),
            labels_after=Path(request["labels_after"]) if request["labels_after"] else None,
            model=Path(request["model"]) if request["model"] else None,
            mine_classes=tuple(int(number) for number in request["mine_classes"]),
            truth=(truth[0], truth[1]) if truth else None,
        )


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def run_job(
    run: Run, job: Job, settings: Settings, listener: Listener = no_listener, resume: bool = False
) -> dict[str, Any]:
    """Everything: prepare, train (or apply a model), predict both dates, compare, judge, report.

    Args:
        run: where all goes.
        job: the two dates and their labels.
        settings: of every step.
        listener: told of progress.
        resume: go on from the run's checkpoint, where there is one.

    Returns:
        The content of `summary.json`.

    Raises:
        MinedetectError: anything the user can mend.
    """
    require_date_labels(job.years)
    journal = Journal(run, job.steps, listener)
    with journal.session():
        return do_job(journal, job, settings, resume)


def do_job(journal: Journal, job: Job, settings: Settings, resume: bool = False) -> dict[str, Any]:
    """The steps of `run_job`, inside a session that somebody else opened."""
    dates = open_dates(job.dates, settings)
    read = look_at(with_seed(job.inputs(), settings))
    journal.run.forget_results(job.inputs().values(), TRAINED_SO_FAR if resume else ())
    begin(journal.run, job.to_json(), settings.model_dump(mode="json"), read)
    if dates.given is None:
        with journal.step("prepare") as progress:
            prepared = prepare(journal.run, [job.labelled], settings, progress)
            scene = prepared.scenes[0]
            aligned = _align_step(journal.run, scene, align(dates, scene, settings))
        training = train_step(journal, prepared, settings, resume)
        detector, evaluation, how = training.detector, training.evaluation, tuple[str, ...]()
    else:
        with journal.step("prepare"):
            scene = load_scene(job.labelled, settings, dates.names, dates.before)
            write_scene(scene, journal.run.root, journal.run)
            require_unblocked(scene)
            aligned = _align_step(journal.run, scene, align(dates, scene, settings))
        detector, evaluation = dates.given, None
        seen = taught_by(detector, (job.before, job.after))
        how = (f"Model {job.model and job.model.name} was applied; nothing was trained.", *caveats(detector), *seen)
    dates = aligned.dates
    predictions, extra, told = _predict_step(journal, aligned, detector, settings, job.years)
    more = (note for reading in dates.readings for note in reading.notes)
    left_out = (sentence(scene.labels),) if scene.labels.left_out else ()
    doubts = (c.message for c in (*aligned.second, *aligned.left.checks) if c.verdict == "warning")
    before_all = (*how, *left_out, *changed_inputs(journal.run))
    comparison = Comparison(
        years=job.years,
        scene=scene,
        rasters=(dates.before, dates.after),
        readings=dates.readings,
        predictions=predictions,
        detector=detector,
        validation=evaluation,
        pair=aligned.left,
        mask_after=dates.mask_after,
        notes=tuple(dict.fromkeys((*before_all, *dates.notes, *aligned.notes, *told, *doubts, *more))),
        truth=Truth(*job.truth) if job.truth else None,
        extra={**extra, "provenance": provenance(journal.run)},
    )
    summary = compare(journal, comparison, settings)
    seal(journal.run)
    return summary


def _align_step(run: Run, scene: Scene, aligned: Aligned) -> Aligned:
    """Write what was measured on the pair beside the findings on the scene; raise where it blocks."""
    content = findings_json(scene, aligned.measured, aligned.second)
    if aligned.left is not aligned.measured:
        content["pair_corrected"] = aligned.left.figures
    run.write_json(QUALITY, content)
    require_unblocked(scene, aligned.measured.checks)
    return aligned


def _predict_step(
    journal: Journal, aligned: Aligned, detector: Detector, settings: Settings, years: tuple[str, str]
) -> tuple[tuple[Prediction, Prediction], dict[str, Any], tuple[str, ...]]:
    """Predict both dates, and the second one unmatched as well where it was matched.

    Returns:
        Both predictions, facts for the summary, and sentences for its notes.
    """
    dates, run = aligned.dates, journal.run
    jobs = [
        (SceneReader(dates.before, dates.readings[0], detector), prediction_name(years[0]), probability_name(years[0])),
        (SceneReader(dates.after, dates.readings[1], detector), prediction_name(years[1]), probability_name(years[1])),
    ]
    if dates.readings[1].matching:
        plain = replace(dates.readings[1], matching=())
        jobs.append((SceneReader(dates.after, plain, detector), unmatched_name(years[1]), ""))
    found: list[Prediction] = []
    with journal.step("predict") as progress:
        for number, (reader, classes, probability) in enumerate(jobs):
            date = min(number, 1)
            named = {**tags(run, ("before", "after")[date]), "date": years[date], **_threshold_tag(detector, settings)}
            output = Output(run.path(classes), run.path(probability) if probability else None, named)

            def counted(done: int, total: int, number: int = number) -> None:
                progress(number * total + done, len(jobs) * total)

            found.append(predict_scene(reader, settings, output, counted))
    first, second, *unmatched = found
    notes = tuple(note for prediction in found for note in prediction.notes)
    if not unmatched:
        return (first, second), {}, notes
    on, off = second.mine_ha, unmatched[0].mine_ha
    effect = {"with_ha": round(on, 2), "without_ha": round(off, 2), "effect_ha": round(on - off, 2)}
    told = f"Matching changes the mine area of {years[1]} by {on - off:+,.1f} ha, from {off:,.1f} to {on:,.1f} ha."
    return (first, second), {"matching": effect}, (*notes, told)


def change_rasters(run: Run, pair: ClassPair, settings: Settings) -> dict[str, Any]:
    """Compare two class rasters that were made elsewhere; there is no verdict on them.

    Args:
        run: the folder to write to.
        pair: the class rasters, and what is known about them.
        settings: of change.

    Returns:
        The content of `summary.json`.
    """
    require_date_labels(pair.years)
    journal = Journal(run, ("change", "report"))
    with journal.session():
        return compare_classes(journal, pair, settings)
