"""The training loop, top to bottom, in one process or in several."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minedetect import snapshots
from minedetect.bands import BandContract
from minedetect.checkpoint import Snapshot
from minedetect.config import TrainingSettings
from minedetect.curves import Epoch
from minedetect.devices import Device
from minedetect.errors import Cancelled
from minedetect.grid import Window
from minedetect.model import Detector
from minedetect.processes import make_fabric
from minedetect.tiles import TrainingScene, mapped_scene
from minedetect.training_state import Best, Task, TrainingState

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

OnEpoch = Callable[[int, int, Sequence[Epoch]], None]
"""Called after each epoch with (done, most, history); may raise Cancelled."""
BetweenSteps = Callable[[TrainingState], None]
"""Called after each step and epoch, when the state is whole and can be saved; may raise Cancelled."""


def nothing(*_: object) -> None:
    """For those who do not watch."""


@dataclass(frozen=True)
class Watch:
    """Who is told while a network learns; in the leading process alone.

    Args:
        on_epoch: after each epoch.
        between_steps: after each step and epoch.
        save: when `on_epoch` raises Cancelled.
    """

    on_epoch: OnEpoch = nothing
    between_steps: BetweenSteps = nothing
    save: BetweenSteps = nothing


@dataclass(frozen=True)
class Trained:
    """What training hands on: the network of the best epoch, and how it got there.

    Args:
        detector: the averaged network of the best epoch, not yet calibrated.
        history: one row an epoch.
        best: that epoch.
        seconds: all epochs together, those before an interruption too.
        patches_per_s: training tiles a second over all of `seconds`, validation included.
        device: where it ran last.
        tiles_at_once: tiles the device held at a time in the end.
    """

    detector: Detector
    history: tuple[Epoch, ...]
    best: Best
    seconds: float
    patches_per_s: float
    device: Device
    tiles_at_once: int

    @property
    def best_epoch(self) -> int:
        """Which epoch the network is of."""
        return self.best.epoch


def fit(
    scenes: Sequence[TrainingScene],
    contract: BandContract,
    settings: TrainingSettings,
    watch: Watch = Watch(),
    saved: Snapshot | None = None,
) -> Trained:
    """Train a U-Net and keep the weights of the epoch with the best validation mine IoU.

    With several devices this is the leading process; the others call `follow`.

    Args:
        scenes: scaled scenes with their tiles and blocks; mapped from disk where there are several devices.
        contract: bands and scaling the scenes were scaled with.
        settings: all of training.
        watch: told after each step and epoch.
        saved: where to go on from; None to begin.

    Raises:
        SplitError: there is no training tile or no validation block.
        ModelError: the loss is no longer a number, or `saved` is of another training.
        DeviceError: the device is not there, or its memory is too small.
    """
    fabric, device = make_fabric(settings)
    task = Task(tuple(scenes), contract, settings)
    if fabric.world_size > 1:
        fabric.launch()
        fabric.broadcast((_Shared.of(task), saved))
    state = _learn(fabric, task, watch, saved)
    state.net.load_state_dict(dict(state.best.weights))
    seconds = sum(row.seconds for row in state.history)
    tiles = state.tiles_per_epoch * len(state.history)
    return Trained(
        detector=Detector(state.net.cpu().eval(), settings.width, contract),
        history=tuple(state.history),
        best=state.best,
        seconds=seconds,
        patches_per_s=tiles / seconds if seconds else 0.0,
        device=device,
        tiles_at_once=min(state.at_once, settings.batch),
    )


def follow(settings: TrainingSettings) -> None:
    """Help the leading process of a training on several devices until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leading process saves and decides
    fabric, _ = make_fabric(settings)
    fabric.launch()
    sent: Any = fabric.broadcast(None)  # what the leading process sends
    shared, saved = sent
    _learn(fabric, shared.task(), Watch(), saved)


def _learn(fabric: Fabric, task: Task, watch: Watch, saved: Snapshot | None) -> TrainingState:
    state = TrainingState(fabric, task)
    if saved is not None:
        snapshots.restore(state, saved)
    while not state.finished:
        state.begin_epoch()
        while state.at < len(state.order):
            state.step()
            watch.between_steps(state)
        state.end_epoch()
        try:
            watch.on_epoch(state.epoch, task.settings.epochs, state.history)
        except Cancelled:
            watch.save(state)
            raise
        watch.between_steps(state)
    if state.epoch < task.settings.epochs:
        log.info("No better IoU for %d epochs: training ends.", task.settings.early_stop_epochs)
    return state


@dataclass(frozen=True)
class _Shared:
    """A task as it is sent to other processes: where its scenes are mapped from, not what they hold."""

    folders: tuple[Path | None, ...]
    windows: tuple[tuple[tuple[Window, ...], tuple[Window, ...]], ...]
    contract: BandContract
    settings: TrainingSettings

    @classmethod
    def of(cls, task: Task) -> _Shared:
        folders = tuple(s.folder for s in task.scenes)
        windows = tuple((s.training, s.validation) for s in task.scenes)
        return cls(folders, windows, task.contract, task.settings)

    def task(self) -> Task:
        scenes = [mapped_scene(f, w) for f, w in zip(self.folders, self.windows, strict=True) if f is not None]
        return Task(tuple(scenes), self.contract, self.settings)
