"""What a training leaves on disk while it goes on: checkpoints, the best model so far, and a way to stop it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from minedetect import checkpoint, snapshots
from minedetect.checkpoint import Snapshot
from minedetect.errors import Cancelled, RunError
from minedetect.presets import flag
from minedetect.runs import CHECKPOINT, FOLDS_FOLDER, Run, open_run
from minedetect.training_state import Best, TrainingState

LARGEST_COST = 0.02
"""What writing checkpoints costs stays below this share of the time."""


@dataclass(frozen=True)
class Fold:
    """One of the networks that a run trains, and where its files lie: in the run itself where it is the only one.

    Args:
        run: the whole.
        number: which network, from 1.
        count: how many there are.
    """

    run: Run
    number: int = 1
    count: int = 1

    def path(self, name: str) -> Path:
        """A file of this network."""
        return self.run.path(name if self.count == 1 else f"{FOLDS_FOLDER}/{self.number}/{name}")

    def __str__(self) -> str:
        """Words that end a sentence's subject: empty for the only one."""
        return "" if self.count == 1 else f" of network {self.number} of {self.count}"


@dataclass
class Keeper:
    """Writes a network's checkpoints between the steps of its training.

    Args:
        fold: where they go.
        identity: what must be the same for a training to go on from its checkpoint; plain JSON values.
        save_best: writes the best model so far.
        stop: whether somebody asked to stop.
        every_s: least seconds between two checkpoints.
        clock: seconds of a clock that only goes forward.
    """

    fold: Fold
    identity: Mapping[str, Any]
    save_best: Callable[[Best], None]
    stop: Callable[[], bool]
    every_s: float = 30.0
    clock: Callable[[], float] = time.monotonic
    _due_s: float = field(init=False)
    _saved_epoch: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._due_s = self.clock() + self.every_s

    def __call__(self, state: TrainingState) -> None:
        """Save where that is due; save and stop where that was asked.

        Raises:
            Cancelled: somebody asked to stop; all is saved.
            BadInput: the disk is full.
        """
        if self.stop():
            self.save(state)
            raise Cancelled(_stopped(state, self.fold))
        if self.clock() >= self._due_s or state.finished:
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Write the best model, where it is new, and the checkpoint; weights gone bad replace nothing."""
        if not state.healthy:
            return
        started = self.clock()
        if state.best.epoch > self._saved_epoch:
            self.save_best(state.best)
            self._saved_epoch = state.best.epoch
        taken = snapshots.take(state)
        checkpoint.write(
            Snapshot({**taken.about, "identity": dict(self.identity)}, taken.tensors), self.fold.path(CHECKPOINT)
        )
        ended = self.clock()
        self._due_s = ended + max(self.every_s, (ended - started) / LARGEST_COST)


def _stopped(state: TrainingState, fold: Fold) -> str:
    best, run = state.best, fold.run
    kept = (
        f"The best model so far, of epoch {best.epoch} with IoU {best.iou:.3f}, is kept."
        if best.epoch
        else "The model of the networks before it is kept."
        if fold.number > 1
        else "There is no model yet."
    )
    done = f"{state.epoch} of {state.settings.epochs} epochs{fold}"
    named = run.name if open_run(run.name) == run else run.root
    return f"Stopped on request after {done}. {kept} `minedetect resume {named}` goes on from here."


def saved_in(fold: Fold, identity: Mapping[str, Any]) -> Snapshot | None:
    """The checkpoint a network's training goes on from; None where there is none yet.

    Raises:
        RunError: it was made with other settings, images or labels.
        ModelError: it is damaged.
    """
    if not fold.path(CHECKPOINT).is_file():
        return None
    saved = checkpoint.read(fold.path(CHECKPOINT))
    then, now = saved.about["identity"], identity
    for name, value in now["settings"].items():
        if then["settings"].get(name) != value:
            raise RunError(
                f"The training so far had {flag(name)} {then['settings'].get(name)}, now it is {value}. "
                "Go on with the same, or train anew, without --resume."
            )
    if {k: v for k, v in then.items() if k != "settings"} != {k: v for k, v in now.items() if k != "settings"}:
        raise RunError("Images, labels or their split are not those of the training so far. Train anew.")
    return saved


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Within the block, the first Ctrl-C or end signal only asks; the second Ctrl-C interrupts at once.

    Yields:
        Tells whether it was asked.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
