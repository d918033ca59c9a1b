from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learnable import CONTRACT, SETTINGS, bright_squares

from minedetect import checkpoint, snapshots
from minedetect.curves import Epoch
from minedetect.errors import Cancelled, DeviceError, ModelError, SplitError
from minedetect.loss import Loss
from minedetect.measure import Counts
from minedetect.model import Detector, UNet, save
from minedetect.tiles import TrainingScene
from minedetect.train import Watch, fit
from minedetect.training_state import TrainingState
from minedetect.validate import Judge, Judged


@pytest.fixture(scope="module")
def trained():  # type: ignore[no-untyped-def]
    return fit([bright_squares()], CONTRACT, SETTINGS)


def test_it_learns_what_can_be_learned(trained) -> None:  # type: ignore[no-untyped-def]
    assert trained.history[-1].train_loss < trained.history[0].train_loss / 2
    assert max(e.iou for e in trained.history) > 0.8


def test_the_best_epoch_by_validation_iou_is_kept(trained) -> None:  # type: ignore[no-untyped-def]
    best = max(trained.history, key=lambda e: (e.iou, -e.epoch))
    assert trained.best_epoch == best.epoch


def test_an_epoch_of_the_last_share_takes_the_place_of_any_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [10, 90, 50, 90, 95, 20, 30, 40, 30, 20, 60, 50]
    kept = [1, 2, 2, 2, 5, 5, 5, 5, 5, 10, 11, 11]
    left, really = iter(hits), Judge.__call__

    def judged(*given: Any) -> Judged:
        hit = next(left)
        return replace(really(*given), counts=Counts(tp=hit, fn=100 - hit))

    monkeypatch.setattr(Judge, "__call__", judged)
    found = fit([bright_squares()], CONTRACT, SETTINGS.model_copy(update={"choose_last": 0.25}))
    assert [row.iou for row in found.history] == [hit / 100 for hit in hits]
    assert [row.kept_epoch for row in found.history] == kept
    assert found.best_epoch == 11


def test_the_same_seed_gives_the_same_weights(trained) -> None:  # type: ignore[no-untyped-def]
    again = fit([bright_squares()], CONTRACT, SETTINGS)
    a, b = trained.detector.net.state_dict(), again.detector.net.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_training_ends_when_nothing_improves() -> None:
    stuck = SETTINGS.model_copy(update={"learning_rate": 1e-12, "early_stop_epochs": 2, "averaging": 0.0})
    found = fit([bright_squares()], CONTRACT, stuck)
    assert len(found.history) <= found.best_epoch + 2 < 12


def test_a_stop_is_obeyed_after_the_epoch() -> None:
    def stop(done: int, most: int, history: Sequence[Epoch]) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fit([bright_squares()], CONTRACT, SETTINGS, Watch(on_epoch=stop))


def test_without_validation_there_is_no_training() -> None:
    made = bright_squares()
    alone = TrainingScene(made.pixels, made.labels, made.training, ())
    with pytest.raises(SplitError):
        fit([alone], CONTRACT, SETTINGS)


def test_the_loss_ignores_unknown_pixels() -> None:
    loss = Loss(torch.tensor([0.5, 1.5]), dice=0.5)
    logits = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, :, 4:] = 255
    changed = logits.clone()
    changed[..., 4:] += 100 * torch.randn(1, 2, 8, 4)
    assert loss(logits, labels) == loss(changed, labels)
    assert float(loss(logits, torch.full_like(labels, 255))) == 0.0


def test_a_perfect_answer_costs_nothing() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, 2:5] = 1
    logits = torch.nn.functional.one_hot(labels, 2).movedim(-1, 1) * 80.0 - 40.0
    assert float(Loss(torch.ones(2), dice=1.0)(logits, labels)) == pytest.approx(0, abs=1e-3)


def test_weights_of_another_network_are_refused_as_a_start(tmp_path: Path) -> None:
    save(Detector(UNet(2, 8), 8, CONTRACT), tmp_path / "other.pt")
    with pytest.raises(ModelError, match="width 8"):
        fit([bright_squares()], CONTRACT, SETTINGS.model_copy(update={"init": str(tmp_path / "other.pt")}))


class Killed(BaseException):
    """Stands for a death between two steps."""


def killed_at(step: int, where: Path) -> Watch:
    """Write a checkpoint after some number of steps, and die."""
    seen = 0

    def between_steps(state: TrainingState) -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            checkpoint.write(snapshots.take(state), where)
            raise Killed

    return Watch(between_steps=between_steps)


def timeless(history: Sequence[Epoch]) -> list[tuple[float, ...]]:
    """What of the curves does not depend on the clock or on the memory."""
    return [(e.epoch, e.train_loss, e.validation_loss, e.iou, e.dice, e.learning_rate) for e in history]


@pytest.mark.parametrize("step", [1, 9, 12, 13, 40])
def test_an_interrupted_training_goes_on_bit_for_bit(step: int, trained, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        fit([bright_squares()], CONTRACT, SETTINGS, killed_at(step, path))
    torch.manual_seed(99)
    resumed = fit([bright_squares()], CONTRACT, SETTINGS, saved=checkpoint.read(path))
    a, b = trained.detector.net.state_dict(), resumed.detector.net.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert timeless(resumed.history) == timeless(trained.history)


def test_more_epochs_can_be_added_to_a_finished_training(trained, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "checkpoint.pt"
    short = SETTINGS.model_copy(update={"epochs": 5})

    def keep(state: TrainingState) -> None:
        if state.finished:
            checkpoint.write(snapshots.take(state), path)

    fit([bright_squares()], CONTRACT, short, Watch(between_steps=keep))
    longer = fit([bright_squares()], CONTRACT, SETTINGS, saved=checkpoint.read(path))
    assert timeless(longer.history) == timeless(trained.history)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        fit([bright_squares()], CONTRACT, SETTINGS, killed_at(1, path))
    with pytest.raises(ModelError, match="another network"):
        fit([bright_squares()], CONTRACT, SETTINGS.model_copy(update={"width": 8}), saved=checkpoint.read(path))


@contextmanager
def memory_for(tiles: int, error: type[Exception], message: str) -> Iterator[list[int]]:
    """A device that holds so many tiles and no more; yields the sizes it was asked for in training."""
    asked: list[int] = []

    def before(module: torch.nn.Module, inputs: Sequence[object]) -> None:
        if isinstance(module, UNet) and module.training and isinstance(inputs[0], torch.Tensor):
            asked.append(len(inputs[0]))
            if len(inputs[0]) > tiles:
                raise error(message)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(before)
    try:
        yield asked
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
        (RuntimeError, "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        (MemoryError, ""),
    ],
)
def test_where_memory_runs_out_fewer_tiles_are_held_at_once(
    error: type[Exception], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    brief = SETTINGS.model_copy(update={"epochs": 8})
    with memory_for(1, error, message) as asked:
        found = fit([bright_squares()], CONTRACT, brief)
    assert asked[:6] == [4, 2, 1, 1, 1, 1]
    assert found.tiles_at_once == 1
    assert found.history[-1].train_loss < found.history[0].train_loss
    assert "1 tiles at once from now on; a step still learns from 4" in caplog.text


def test_where_not_even_one_tile_fits_the_advice_says_what_to_do() -> None:
    with memory_for(0, torch.OutOfMemoryError, "out of memory"), pytest.raises(DeviceError, match="--batch"):
        fit([bright_squares()], CONTRACT, SETTINGS)


def test_other_faults_are_no_lack_of_memory() -> None:
    with memory_for(0, RuntimeError, "shapes do not match"), pytest.raises(RuntimeError, match="shapes"):
        fit([bright_squares()], CONTRACT, SETTINGS)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(1, 5), min_size=1, max_size=4), dice=st.sampled_from([0.0, 0.5]))
def test_the_losses_of_parts_add_up_to_that_of_the_whole(cuts: list[int], dice: float) -> None:
    """Cross-entropy to rounding; Dice where the parts are alike."""
    random = torch.Generator().manual_seed(sum(cuts))
    n = sum(cuts)
    logits = torch.randn(n, 2, 8, 8, generator=random)
    labels = torch.randint(0, 2, (n, 8, 8), generator=random)
    labels[torch.rand(n, 8, 8, generator=random) < 0.2] = 255
    loss = Loss(torch.tensor([0.5, 1.5]), 0.0)
    whole = loss.weight_of(labels)
    parts = [loss(a, b, whole) for a, b in zip(logits.split(cuts), labels.split(cuts), strict=True)]
    assert float(sum(parts)) == pytest.approx(float(loss(logits, labels)), rel=1e-5)
    with_dice = Loss(torch.tensor([0.5, 1.5]), dice)
    twice, seen = torch.cat([logits, logits]), torch.cat([labels, labels])
    halves = 2 * with_dice(logits, labels, with_dice.weight_of(seen))
    assert float(halves) == pytest.approx(float(with_dice(twice, seen)), abs=0.01)


def test_the_rate_falls_to_nothing_along_a_cosine_and_an_interruption_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    cosine = SETTINGS.model_copy(update={"schedule": "cosine", "epochs": 6})
    whole = fit([bright_squares()], CONTRACT, cosine)
    rates = [e.learning_rate for e in whole.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.9 * cosine.learning_rate
    assert rates[-1] < 0.05 * cosine.learning_rate
    with pytest.raises(Killed):
        fit([bright_squares()], CONTRACT, cosine, killed_at(10, path))
    resumed = fit([bright_squares()], CONTRACT, cosine, saved=checkpoint.read(path))
    a, b = whole.detector.net.state_dict(), resumed.detector.net.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert timeless(resumed.history) == timeless(whole.history)
