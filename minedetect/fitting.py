"""The networks of a run, one or one a fold: trained with checkpoints beside them, the best model so far kept."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from minedetect import calibrate, health, model, train
from minedetect.config import (
    AugmentationSettings,
    ModelSettings,
    OptimizerSettings,
    SeedSettings,
    Settings,
    TileSettings,
)
from minedetect.curves import Epoch, write_metrics
from minedetect.errors import Cancelled, SettingError
from minedetect.files import sha256_once
from minedetect.keeper import Fold, Keeper, saved_in
from minedetect.manifest import versions
from minedetect.model import Detector, UNet, together
from minedetect.prepare import Prepared
from minedetect.runs import METRICS, MODEL, SCENES_FOLDER, Progress, Run
from minedetect.split import Split
from minedetect.tiles import TrainingScene, training_scene
from minedetect.training_state import Best

log = logging.getLogger(__name__)

LEARNING = (ModelSettings, OptimizerSettings, AugmentationSettings, TileSettings, SeedSettings)
"""Settings that decide what is learned."""
MAY_CHANGE = ("epochs", "early_stop_epochs", "checkpoint_s", "devices", "init")
"""Those of them that may differ when a training goes on: how long, and on how many devices."""
LARGEST_IN_MEMORY = 0.5
"""Scenes are kept in memory up to this share of what is free; beyond it they are mapped from disk."""


@dataclass(frozen=True)
class Following:
    """How a training is followed: who is told, who may stop it, and whether it goes on from a checkpoint."""

    progress: Progress
    stop: Callable[[], bool]
    resume: bool


def fit_folds(run: Run, prepared: Prepared, settings: Settings, following: Following) -> list[train.Trained]:
    """Train the network of each fold, one after another.

    Raises:
        Cancelled: somebody asked to stop; what there is can be gone on from.
        SettingError: several networks on several devices.
    """
    count = len(prepared.split.folds)
    if count > 1 and (settings.devices > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1):
        raise SettingError("Several networks (--folds) are trained on one device. Choose --folds 1 or --devices 1.")
    if count < settings.folds:
        log.info("--folds is %d; there are places for %d: so many networks are trained.", settings.folds, count)
    if count > 1 and settings.validation_share != Settings.model_fields["validation_share"].default:
        log.info("With several networks each place is validation once; --validation-share is for --folds 1.")
    for number in range(1, count + 1) if count > 1 else ():
        table = Fold(run, number, count).path(METRICS)
        if not table.is_file():
            write_metrics(table, ())  # who watches sees from the start how many there will be
    trained: list[train.Trained] = []
    for number, split in enumerate(prepared.split.folds, start=1):
        fold = Fold(run, number, count)
        if trained and following.stop():
            raise Cancelled(f"Stopped on request before the training{fold}; going on begins there.")
        trained.append(_fit(fold, prepared, split, settings, _Earlier(following, [t.best for t in trained])))
    return trained


@dataclass(frozen=True)
class _Earlier:
    """How a network is followed, and the best epochs of those trained before it."""

    following: Following
    bests: list[Best]


def _fit(fold: Fold, prepared: Prepared, split: Split, settings: Settings, earlier: _Earlier) -> train.Trained:
    run, following = fold.run, earlier.following
    own = settings.model_copy(update={"seed": settings.seed + fold.number - 1})
    identity = identity_of(prepared, split, own)
    saved = saved_in(fold, identity) if following.resume else None
    if following.resume:
        log.info(
            "Training%s goes on after %d epochs and %d tiles.", fold, saved.about["epoch"], saved.about["at"]
        ) if saved else log.info("There is no checkpoint%s yet: training begins.", fold)

    def save_best(best: Best) -> None:
        model.save(_model_so_far(run, prepared, settings, [*earlier.bests, best]), run.path(MODEL))

    alarmed: set[str] = set()

    def on_epoch(done: int, most: int, history: Sequence[Epoch]) -> None:
        write_metrics(run.path(METRICS), history)
        if fold.count > 1:
            write_metrics(fold.path(METRICS), history)
        signs = health.signs(history, settings)
        log.info("%s %s", _told(history[-1], fold), health.summary(signs))
        for sign in signs:
            if sign.verdict == "bad" and sign.name not in alarmed:
                alarmed.add(sign.name)
                log.warning("%s%s: %s", sign.name, fold, sign.message)
        following.progress((fold.number - 1) * most + done, fold.count * most)

    keeper = Keeper(fold, identity, save_best, following.stop, settings.checkpoint_s)
    with training_scenes(run, prepared, split, settings) as scenes:
        return train.fit(scenes, prepared.contract, own, train.Watch(on_epoch, keeper, keeper.save), saved)


def _told(last: Epoch, fold: Fold) -> str:
    scores = f"loss {last.train_loss:.4f}, validation loss {last.validation_loss:.4f}, IoU {last.iou:.4f}"
    return f"epoch {last.epoch}{fold}: {scores}, Dice {last.dice:.4f}."


def identity_of(prepared: Prepared, split: Split, settings: Settings) -> dict[str, Any]:
    """What must be the same for a training to go on from its checkpoint."""
    names = [name for group in LEARNING for name in group.model_fields if name not in MAY_CHANGE]
    parts = split.to_json([s.files.name for s in prepared.scenes])
    return {
        "settings": {name: getattr(settings, name) for name in names},
        **({"left_out": list(settings.exclude_mine)} if settings.exclude_mine else {}),
        "contract": json.loads(json.dumps(prepared.contract.to_json())),
        "split": parts["scenes"],
        "inputs": [[sha256_once(s.files.image), sha256_once(s.files.labels)] for s in prepared.scenes],
    }


@contextmanager
def training_scenes(run: Run, prepared: Prepared, split: Split, settings: Settings) -> Iterator[list[TrainingScene]]:
    """All scenes ready for training: in memory, or mapped from disk where they are large or shared by processes."""
    size = sum(s.mask.size * (4 * len(prepared.contract.names) + 1) for s in prepared.scenes)
    shared = settings.devices > 1 or "LOCAL_WORLD_SIZE" in os.environ
    mapped = shared or size > LARGEST_IN_MEMORY * psutil.virtual_memory().available
    folder = run.path(SCENES_FOLDER)
    try:
        yield [
            training_scene(
                scene.read,
                scene.known,
                prepared.contract,
                (part.training, part.validation),
                folder / str(number) if mapped else None,
            )
            for number, (scene, part) in enumerate(zip(prepared.scenes, split.scenes, strict=True))
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _model_so_far(run: Run, prepared: Prepared, settings: Settings, bests: Sequence[Best]) -> Detector:
    """The networks of the best epochs as a model that can be used, should training end here."""
    detectors = []
    for best in bests:
        net = UNet(len(prepared.contract.names), settings.width, settings.coarsen)
        net.load_state_dict({name: tensor.cpu() for name, tensor in best.weights.items()})
        detectors.append(Detector(net, settings.width, prepared.contract))
    raw, mine = (np.concatenate([getattr(best, of) for best in bests]) for of in ("raw", "mine"))
    calibration, best = calibrate.fit(raw, mine.astype(np.uint8)), bests[-1]
    about = {"finished": False, "best_epoch": best.epoch, "validation": {"iou": round(best.iou, 4)}}
    return together(detectors).calibrated(calibration, provenance_of(run, prepared, settings) | about)


def provenance_of(run: Run, prepared: Prepared, settings: Settings) -> dict[str, Any]:
    """What a model file says of where it comes from: plain JSON values."""
    return {
        "run_id": run.name,
        "versions": versions(),
        "settings": settings.model_dump(mode="json"),
        "scenes": {s.files.name: sha256_once(s.files.image) for s in prepared.scenes},
        "labels": {s.files.name: sha256_once(s.files.labels) for s in prepared.scenes},
    }
