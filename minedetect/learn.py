"""From labelled scenes to a trained, calibrated and assessed model in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minedetect import assess, health, model, train
from minedetect.config import Settings
from minedetect.devices import pick_device
from minedetect.errors import Cancelled
from minedetect.evaluation_figures import draw_evaluation
from minedetect.figures import Curves, draw_history
from minedetect.fitting import Following, fit_folds, provenance_of
from minedetect.journal import Journal, Listener, no_listener
from minedetect.keeper import Fold, asked_to_stop
from minedetect.manifest import SEED_MODEL, begin, changed_inputs, look_at, seal
from minedetect.model import Detector, together
from minedetect.prepare import Prepared, prepare
from minedetect.runs import CHECKPOINT, EVALUATION, EVALUATION_PICTURE, HISTORY, METRICS, MODEL, Run
from minedetect.scenes import SceneFiles, admit_scenes, labels_of
from minedetect.turns import queue_of, turn

TRAINED_SO_FAR = (CHECKPOINT, METRICS, HISTORY)
TOLD = ("all_mine_iou", "blocks", "mines", "independence", "warnings", "note")
"""What of `evaluation.json` is told when training ends."""


def with_seed(inputs: Mapping[str, Path], settings: Settings) -> dict[str, Path]:
    """What a run reads, by role, and the model its training starts from, where there is one."""
    seed = Path(settings.init)
    return {**inputs, **({SEED_MODEL: seed} if settings.init and seed.is_file() else {})}


@dataclass(frozen=True)
class Training:
    """A trained, calibrated and assessed model."""

    detector: Detector
    prepared: Prepared
    evaluation: assess.Assessment
    trained: tuple[train.Trained, ...]
    signs: tuple[health.Sign, ...]

    def to_json(self) -> dict[str, Any]:
        """What `train --json` prints; of several networks the best epoch of the last."""
        last, seconds = self.trained[-1], sum(one.seconds for one in self.trained)
        return {
            "iou": self.evaluation.content["iou"],
            "dice": self.evaluation.content["dice"],
            "networks": len(self.trained),
            "epochs": sum(len(one.history) for one in self.trained),
            "best_epoch": last.best_epoch,
            "seconds": round(seconds, 1),
            "patches_per_s": round(sum(one.patches_per_s * one.seconds for one in self.trained) / (seconds or 1), 2),
            "shared_pixels": self.prepared.split.shared_pixels,
            "baseline_iou": self.evaluation.content["baseline_iou"],
            "threshold": self.evaluation.content["threshold"],
            "device": last.device.name,
            "precision": last.device.precision,
            "tiles_at_once": last.tiles_at_once,
            "health": [asdict(sign) for sign in self.signs],
            **{key: self.evaluation.content[key] for key in TOLD},
        }


def train_step(journal: Journal, prepared: Prepared, settings: Settings, resume: bool = False) -> Training:
    """Train, calibrate on the validation blocks, assess, and save the model with its curves.

    Args:
        journal: of the run.
        prepared: scenes, split and scaling.
        settings: of training.
        resume: go on from the run's checkpoint, where there is one.
    """
    run = journal.run
    kind = pick_device(settings).kind
    with ExitStack() as held:
        with asked_to_stop() as stop:
            with journal.queued() as waiting:

                def wait(ahead: str) -> None:
                    if stop():
                        raise Cancelled("Stopped on request before its turn came.")
                    waiting(f"Waits until the training of {ahead} is done: one trains at a time on this device.")

                held.enter_context(turn(queue_of(kind), run.name, wait))
            with journal.step("train") as progress:
                trained = fit_folds(run, prepared, settings, Following(progress, stop, resume))
            if stop():
                raise Cancelled("Stopped on request when training had just ended; going on assesses the model.")
        with journal.step("evaluate"):
            return _evaluated(run, prepared, settings, trained)


def _evaluated(run: Run, prepared: Prepared, settings: Settings, trained: Sequence[train.Trained]) -> Training:
    """Calibrate on the validation blocks, score there and on the test part, save the model."""
    calibration, evaluation = assess.assess_training(prepared, [one.detector for one in trained], settings)
    scores = {k: evaluation.content[k] for k in ("iou", "dice", "pixels", "blocks", "threshold")}
    detector = together([one.detector for one in trained]).calibrated(
        calibration, provenance_of(run, prepared, settings) | {"finished": True, "validation": scores}
    )
    model.save(detector, run.path(MODEL))
    evaluation.content["warnings"].extend((*prepared.doubts, *changed_inputs(run)))
    run.write_json(EVALUATION, evaluation.content)
    draw_evaluation(run.path(EVALUATION_PICTURE), evaluation.content)
    *before, last = trained
    draw_history(run.path(HISTORY), [Curves([asdict(e) for e in one.history], one.best_epoch) for one in trained])
    signs = [
        replace(sign, name=f"{sign.name}{Fold(run, number, len(trained))}")
        for number, one in enumerate(before, start=1)
        for sign in health.signs(one.history, settings)
        if sign.verdict == "bad"
    ]
    return Training(detector, prepared, evaluation, tuple(trained), (*health.signs(last.history, settings), *signs))


def train_run(
    run: Run,
    files: Sequence[SceneFiles],
    settings: Settings,
    listener: Listener = no_listener,
    resume: bool = False,
) -> Training:
    """Prepare and train on one or more labelled scenes.

    Args:
        run: where all goes.
        files: images and their labels.
        settings: of every step.
        listener: told of progress.
        resume: go on from the run's checkpoint, where there is one.

    Raises:
        MinedetectError: anything the user can mend.
    """
    journal = Journal(run, ("prepare", "train", "evaluate"), listener)
    with journal.session():
        admit_scenes(files, settings)  # before anything is removed or computed
        for one in files:
            labels_of(one, settings)
        inputs = {f"{kind} of {f.name}": p for f in files for kind, p in (("image", f.image), ("labels", f.labels))}
        read = look_at(with_seed(inputs, settings))
        run.forget_results(inputs.values(), TRAINED_SO_FAR if resume else ())
        begin(run, train_request(files), settings.model_dump(mode="json"), read)
        with journal.step("prepare") as progress:
            prepared = prepare(run, files, settings, progress)
        training = train_step(journal, prepared, settings, resume)
        seal(run)
        return training


def train_request(files: Sequence[SceneFiles]) -> dict[str, Any]:
    """What `config.json` says of a training, enough to ask for it again."""
    return {
        "command": "train",
        "scenes": [[str(f.image.absolute()), str(f.labels.absolute())] for f in files],
        "mine_classes": list(files[0].mine_classes) if files else [],
    }
