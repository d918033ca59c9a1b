"""From labelled scenes to a trained, calibrated and assessed model in a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from minedetect import assess, model, train
from minedetect.config import Settings
from minedetect.figures import draw_history
from minedetect.journal import Journal, Listener, no_listener
from minedetect.model import Detector
from minedetect.prepare import Prepared, prepare
from minedetect.runs import CONFIG, EVALUATION, HISTORY, METRICS, MODEL, Run, sha256_of
from minedetect.scenes import SceneFiles, admit_scenes, labels_of
from minedetect.tiles import training_scene

log = logging.getLogger(__name__)

VERSION = version("minedetect")


def write_config(run: Run, request: Mapping[str, Any], settings: Settings, inputs: Sequence[Path]) -> None:
    """Write what was asked: the request, every setting, and the inputs with their hashes."""
    run.write_json(
        CONFIG,
        {
            "run_id": run.name,
            "minedetect": VERSION,
            "request": dict(request),
            "settings": settings.model_dump(),
            "inputs": {str(path): sha256_of(path) for path in inputs if path.is_file()},
        },
    )


@dataclass(frozen=True)
class Training:
    """A trained, calibrated and assessed model."""

    detector: Detector
    prepared: Prepared
    evaluation: assess.Assessment
    trained: train.Trained

    def to_json(self) -> dict[str, Any]:
        """What `train --json` prints."""
        return {
            "iou": self.evaluation.content["iou"],
            "dice": self.evaluation.content["dice"],
            "epochs": len(self.trained.history),
            "best_epoch": self.trained.best_epoch,
            "seconds": round(self.trained.seconds, 1),
            "patches_per_s": round(self.trained.patches_per_s, 2),
            "shared_pixels": self.prepared.split.shared_pixels,
            "baseline_iou": self.evaluation.content["baseline_iou"],
            "threshold": self.evaluation.content["threshold"],
            "device": self.trained.device.name,
            "precision": self.trained.device.precision,
        }


def train_step(journal: Journal, prepared: Prepared, settings: Settings) -> Training:
    """Train, calibrate on the validation blocks, assess, and save the model with its curves."""
    run = journal.run
    with journal.step("train") as progress:
        scenes = [
            training_scene(scene.read, scene.known, prepared.contract, part.training, part.validation)
            for scene, part in zip(prepared.scenes, prepared.split.scenes, strict=True)
        ]

        def on_epoch(done: int, most: int, history: Sequence[train.Epoch]) -> None:
            last = history[-1]
            train.write_metrics(run.path(METRICS), history)
            log.info(
                "epoch %d: loss %.4f, validation loss %.4f, IoU %.4f, Dice %.4f",
                last.epoch,
                last.train_loss,
                last.validation_loss,
                last.iou,
                last.dice,
            )
            progress(done, most)

        trained = train.fit(scenes, prepared.contract, settings, on_epoch)
    with journal.step("evaluate"):
        blocks = assess.validation_blocks(prepared, trained.detector, settings)
        calibration = assess.fit_calibration(blocks)
        threshold = settings.threshold or calibration.threshold
        evaluation = assess.assess(blocks, calibration, threshold, prepared.contract.names)
        evaluation.content["mines"] = prepared.split.mines
        tested = assess.test_blocks(prepared, trained.detector, settings)
        if tested:
            kept_apart = assess.assess(tested, calibration, threshold, prepared.contract.names)
            evaluation.content["test"] = {**kept_apart.content, "mines": prepared.split.test_mines}
        evaluation.content["chosen_on_validation"] = [
            "epoch",
            "calibration",
            *(() if settings.threshold else ("threshold",)),
        ]
        detector = trained.detector.calibrated(calibration, _provenance(run, prepared, settings, evaluation))
        model.save(detector, run.path(MODEL))
        run.write_json(EVALUATION, evaluation.content)
        draw_history(run.path(HISTORY), [asdict(e) for e in trained.history], trained.best_epoch)
    return Training(detector, prepared, evaluation, trained)


def _provenance(run: Run, prepared: Prepared, settings: Settings, evaluation: assess.Assessment) -> dict[str, Any]:
    return {
        "run_id": run.name,
        "minedetect": VERSION,
        "settings": settings.model_dump(),
        "scenes": {s.files.name: sha256_of(s.files.image) for s in prepared.scenes},
        "validation": {k: evaluation.content[k] for k in ("iou", "dice", "pixels", "blocks", "threshold")},
    }


def train_run(
    run: Run,
    files: Sequence[SceneFiles],
    settings: Settings,
    listener: Listener = no_listener,
) -> Training:
    """Prepare and train on one or more labelled scenes.

    Raises:
        MinedetectError: anything the user can mend.
    """
    journal = Journal(run, ("prepare", "train", "evaluate"), listener)
    with journal.session():
        admit_scenes(files, settings)  # before anything is removed or computed
        for one in files:
            labels_of(one, settings)
        run.forget_results(p for f in files for p in (f.image, f.labels))
        request = {"command": "train", "scenes": [[str(f.image), str(f.labels)] for f in files]}
        write_config(run, request, settings, [p for f in files for p in (f.image, f.labels)])
        with journal.step("prepare") as progress:
            prepared = prepare(run, files, settings, progress)
        return train_step(journal, prepared, settings)
