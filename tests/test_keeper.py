"""A training leaves what it takes to go on, and a model, whenever it ends."""

from __future__ import annotations

import os
import signal
import threading
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from learnable import CONTRACT, SETTINGS, bright_squares

from minedetect import keeper
from minedetect.curves import Epoch
from minedetect.errors import Cancelled, ModelError, RunError
from minedetect.keeper import Fold, Keeper, asked_to_stop, saved_in
from minedetect.runs import CHECKPOINT, Run
from minedetect.train import Watch, fit
from minedetect.training_state import Best, TrainingState

IDENTITY = {"settings": {"learning_rate": 0.01, "tile_px": 64}, "inputs": ["abc"]}


def kept(run: Run, stop_after: int, best: list[Best]) -> Keeper:
    """A keeper that is asked to stop after some number of steps."""
    seen = iter(range(10_000))
    return Keeper(Fold(run), IDENTITY, best.append, lambda: next(seen) >= stop_after)


def test_a_stop_is_obeyed_between_steps_and_all_is_saved(tmp_path: Path) -> None:
    run, best = Run(tmp_path), list[Best]()
    with pytest.raises(Cancelled, match=r"after 2 of 12 epochs\. The best model so far, of epoch [12]"):
        fit([bright_squares()], CONTRACT, SETTINGS, Watch(between_steps=kept(run, 9, best)))
    assert [b.epoch in (1, 2) for b in best] == [True]
    saved = saved_in(Fold(run), IDENTITY)
    assert saved is not None
    assert saved.about["epoch"] == 2
    assert saved.about["at"] > 0
    whole = fit([bright_squares()], CONTRACT, SETTINGS)
    resumed = fit([bright_squares()], CONTRACT, SETTINGS, saved=saved)
    a, b = whole.detector.net.state_dict(), resumed.detector.net.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_stop_before_the_first_epoch_ends_says_that_there_is_no_model(tmp_path: Path) -> None:
    best = list[Best]()
    with pytest.raises(Cancelled, match="There is no model yet"):
        fit([bright_squares()], CONTRACT, SETTINGS, Watch(between_steps=kept(Run(tmp_path), 0, best)))
    assert not best
    assert Run(tmp_path).has(CHECKPOINT)


def test_the_end_is_kept_too(tmp_path: Path) -> None:
    run, best = Run(tmp_path), list[Best]()
    fit([bright_squares()], CONTRACT, SETTINGS, Watch(between_steps=kept(run, 10_000, best)))
    saved = saved_in(Fold(run), IDENTITY)
    assert saved is not None
    assert saved.about["epoch"] == 12
    assert best[-1].epoch == saved.about["best"][0]


def test_weights_gone_bad_replace_no_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    keeping = Keeper(Fold(run), IDENTITY, [].append, lambda: False)

    def spoiled(state: TrainingState) -> None:
        if state.epoch == 1 and state.steps == 1:
            keeping.save(state)
            assert run.has(CHECKPOINT)
            run.path(CHECKPOINT).unlink()
            state.loss_sum += float("nan")
        if state.epoch == 1:
            keeping.save(state)

    with pytest.raises(ModelError, match="no longer a number"):
        fit([bright_squares()], CONTRACT, SETTINGS, Watch(between_steps=spoiled))
    assert not run.has(CHECKPOINT)


@pytest.mark.slow
def test_checkpoints_are_far_apart_and_farther_where_the_disk_is_slow(tmp_path: Path) -> None:
    now, writes = [0.0], list[float]()

    def slow_disk(best: Best) -> None:
        now[0] += 3.0

    keeping = Keeper(Fold(Run(tmp_path)), IDENTITY, slow_disk, lambda: False, 10.0, lambda: now[0])

    def tick(state: TrainingState) -> None:
        now[0] += 1.0
        before = Run(tmp_path).path(CHECKPOINT).stat().st_mtime_ns if Run(tmp_path).has(CHECKPOINT) else 0
        if not state.finished:
            keeping(state)
        if Run(tmp_path).has(CHECKPOINT) and Run(tmp_path).path(CHECKPOINT).stat().st_mtime_ns != before:
            writes.append(now[0])

    long = SETTINGS.model_copy(update={"epochs": 90})
    fit([bright_squares()], CONTRACT, long, Watch(between_steps=tick))
    assert 10.0 <= writes[0] <= 14.0
    gaps = [later - earlier for earlier, later in pairwise(writes)]
    assert min(gaps) >= 10.0
    assert max(gaps) >= 3.0 / keeper.LARGEST_COST, "a best model that takes 3 s may cost a fiftieth of the time"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"settings": {"learning_rate": 0.02, "tile_px": 64}}, r"--learning-rate 0\.01, now it is 0\.02"),
        ({"inputs": ["other"]}, "not those of the training so far"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_in_words(
    changed: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        fit([bright_squares()], CONTRACT, SETTINGS, Watch(between_steps=kept(Run(tmp_path), 1, [])))
    with pytest.raises(RunError, match=words):
        saved_in(Fold(Run(tmp_path)), {**IDENTITY, **changed})


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert saved_in(Fold(Run(tmp_path)), IDENTITY) is None


def test_the_first_ctrl_c_asks_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with asked_to_stop() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_end_signal_asks_too() -> None:
    with asked_to_stop() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_in_a_thread_signals_are_left_alone() -> None:
    seen: list[bool] = []

    def look() -> None:
        with asked_to_stop() as asked:
            seen.append(asked())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_listener_that_cancels_leaves_the_epoch_s_state(tmp_path: Path) -> None:
    def on_epoch(done: int, most: int, history: list[Epoch]) -> None:
        if done == 3:
            raise Cancelled("enough")

    run = Run(tmp_path)
    with pytest.raises(Cancelled, match="enough"):
        fit([bright_squares()], CONTRACT, SETTINGS, Watch(on_epoch, save=kept(run, 10_000, []).save))  # type: ignore[arg-type]
    saved = saved_in(Fold(run), IDENTITY)
    assert saved is not None
    assert (saved.about["epoch"], saved.about["at"]) == (3, 0)
