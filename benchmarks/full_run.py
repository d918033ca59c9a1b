"""Makes a finished run of full size in which nothing was trained, for `app.py`: what it finds is the truth with faults.

    python benchmarks/full_run.py HOME [ROWS COLS]

The district, its draft, the checks, the comparison, pictures and layers of the map are made by the program's own
code; only the network's work, which takes by far the longest, is replaced.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from minedetect import draft as drafts
from minedetect import model
from minedetect.assess import Block, assess
from minedetect.calibrate import Calibration
from minedetect.cog import CogProfile, write_cog
from minedetect.compare import compare
from minedetect.config import Settings
from minedetect.curves import Epoch, write_metrics
from minedetect.dates import align, open_dates
from minedetect.demo import write_inputs
from minedetect.draft import Draft, Given, Role
from minedetect.evaluation_figures import draw_evaluation
from minedetect.evidence import Comparison, Truth
from minedetect.figures import Curves, draw_history
from minedetect.grid import whole
from minedetect.inspection import inspect
from minedetect.journal import Journal
from minedetect.manifest import begin, look_at, provenance, seal, tags
from minedetect.measure import hectares
from minedetect.model import Detector, UNet
from minedetect.pipeline import Job
from minedetect.predict import PROBABILITY_DECIMALS, Prediction, unwatched
from minedetect.prepare import Prepared, prepare
from minedetect.presets import settings_from
from minedetect.raster import IGNORE, MINE, Float, Raster, open_raster, read, read_classes
from minedetect.runs import (
    EVALUATION,
    EVALUATION_PICTURE,
    HISTORY,
    METRICS,
    MODEL,
    SUMMARY,
    Run,
    named_run,
    prediction_name,
    probability_name,
)
from minedetect.sieve import classified, sieved

NAME = "full"
FULL_PX = (5567, 3230)
WIDTH = 8
EPOCHS = 50
BLUR_PX, NOISE, NOISE_PX = 1.5, 1.5, 4.0
"""How far found mines are from true ones: soft borders, and blotches that sometimes pass the threshold."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    started = time.perf_counter()
    yield
    print(f"  {what}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def full_run(size_px: tuple[int, int] = FULL_PX) -> Run:
    """The finished run under MINEDETECT_HOME; it is made where it is not there."""
    run = named_run(NAME)
    if run.has(SUMMARY) and run.status().state == "done":
        return run
    drafts.create(NAME)
    with told("images, outlines and truth"):
        job = write_inputs(run, size_px, 0)
    with told("the checks of the draft"):
        _draft(run, job)
    settings = settings_from({"width": WIDTH, "epochs": EPOCHS}, gpu=False)
    journal = Journal(run, job.steps)
    with journal.session():
        _steps(journal, job, settings)
    return run


def _draft(run: Run, job: Job) -> None:
    """What a user would have given on the page Data, and what was found out about it."""
    files: dict[Role, Path] = {"before": job.before, "after": job.after, "labels": job.labels}
    given = {r: Given(path=str(p), name=p.name, size_bytes=p.stat().st_size) for r, p in files.items()}
    drafts.update(run, lambda _: Draft(inputs=given, years=job.years))
    inspect(run)


def _steps(journal: Journal, job: Job, settings: Settings) -> None:
    run = journal.run
    dates = open_dates(job.dates, settings)
    begin(run, job.to_json(), settings.model_dump(mode="json"), look_at(job.inputs()))
    with told("prepare"), journal.step("prepare"):
        prepared = prepare(run, [job.labelled], settings, unwatched)
        aligned = align(dates, prepared.scenes[0], settings)
    with told("probabilities and classes, invented"), journal.step("predict"):
        first, second = (
            _found(run, number, job, raster, settings)
            for number, raster in enumerate((aligned.dates.before, aligned.dates.after))
        )
    with told("scores and curves, invented"), journal.step("evaluate"):
        detector = _learned(run, prepared)
    comparison = Comparison(
        years=job.years,
        scene=prepared.scenes[0],
        rasters=(aligned.dates.before, aligned.dates.after),
        readings=aligned.dates.readings,
        predictions=(first, second),
        detector=detector,
        validation=None,
        pair=aligned.left,
        mask_after=None,
        notes=("Nothing was trained: the mines found are the true ones with faults added.",),
        truth=Truth(*job.truth) if job.truth else None,
        extra={"provenance": provenance(run)},
    )
    with told("change, figures, report, layers of the map"):
        compare(journal, comparison, settings)
    seal(run)


def _found(run: Run, number: int, job: Job, image: Raster, settings: Settings) -> Prediction:
    """Write probability and classes of a date, and return it as if it had been predicted."""
    started, year = time.perf_counter(), job.years[number]
    probability = _probability(read_classes(open_raster((job.truth or ())[number])) == MINE, number)
    probability[np.isnan(read(image, whole(image.shape))).any(axis=0)] = np.nan
    named = {**tags(run, ("before", "after")[number]), "date": year}
    floating = CogProfile("float32", float("nan"), ("mine_probability",), named)
    write_cog(run.path(probability_name(year)), probability, image.grid, floating)
    classes = sieved(classified(probability, Calibration().threshold), image.grid, settings.min_patch_ha)
    write_cog(run.path(prediction_name(year)), classes, image.grid, CogProfile("uint8", IGNORE, ("mine",), named))
    mine_ha, seconds = hectares(classes, image.grid, MINE), time.perf_counter() - started
    return Prediction(classes, image.grid, mine_ha, seconds, classes.size / 1e6 / seconds, 0.0)


def _probability(mine: npt.NDArray[np.bool_], seed: int) -> Float:
    """High on true mines and low elsewhere, float32 (H, W), with noise in blotches as networks have it."""
    noise = np.random.default_rng(seed).standard_normal(mine.shape, np.float32)
    noise = scipy.ndimage.gaussian_filter(noise, NOISE_PX, output=np.float32)
    log_odds = (
        10 * scipy.ndimage.gaussian_filter(mine.astype(np.float32), BLUR_PX) - 5 + NOISE * noise / noise.std() / 2
    )
    return np.round(1 / (1 + np.exp(-log_odds)), PROBABILITY_DECIMALS).astype(np.float32)


def _learned(run: Run, prepared: Prepared) -> Detector:
    """Write scores, curves and an untrained model under the names of real ones."""
    scene = prepared.scenes[0]
    probability = open_raster(run.path(probability_name("2016")))
    blocks = [
        Block(
            read(probability, window)[0],
            scene.known[window.slices],
            np.zeros((len(scene.names), 0), np.float32),
            np.zeros(0, bool),
            scene,
            window,
        )
        for window in prepared.split.scenes[0].validation
    ]
    evaluation = assess(blocks, Calibration(), Calibration().threshold, scene.names)
    run.write_json(EVALUATION, evaluation.content)
    draw_evaluation(run.path(EVALUATION_PICTURE), evaluation.content)
    history = [_epoch(number) for number in range(1, EPOCHS + 1)]
    write_metrics(run.path(METRICS), history)
    draw_history(run.path(HISTORY), [Curves([asdict(row) for row in history], EPOCHS)])
    detector = Detector(UNet(len(scene.names), WIDTH).eval(), WIDTH, prepared.contract)
    model.save(detector, run.path(MODEL))
    return detector


def _epoch(number: int) -> Epoch:
    """A row of the curves of a training that goes well."""
    iou = 0.65 * (1 - 0.9**number)
    return Epoch(
        epoch=number,
        train_loss=0.8 / number**0.5,
        validation_loss=0.9 / number**0.4,
        iou=iou,
        dice=2 * iou / (1 + iou),
        precision=0.8,
        recall=0.7,
        learning_rate=0.001,
        seconds=60.0,
        patches_per_s=20.0,
        memory_mb=900.0,
        predicted_share=0.022,
        mine_share=0.022,
        kept_epoch=number,
    )


if __name__ == "__main__":
    os.environ["MINEDETECT_HOME"] = sys.argv[1]
    rows, cols = (int(part) for part in sys.argv[2:4] or FULL_PX)
    print(full_run((rows, cols)).root)
