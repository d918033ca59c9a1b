import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from minedetect.bands import BandContract
from minedetect.config import Settings
from minedetect.errors import Cancelled, ModelError, SplitError
from minedetect.grid import Window, plan_windows
from minedetect.model import Detector, UNet, save
from minedetect.tiles import TrainingScene, training_scene
from minedetect.train import Epoch, Loss, fit, write_metrics

CONTRACT = BandContract(("B2", "B3"), "reflectance", (0.0, 0.0), (1.0, 1.0), 10.0)
SETTINGS = Settings(
    width=4, epochs=12, batch=4, tile_px=64, learning_rate=0.01, device="cpu", early_stop_epochs=50, preset="cpu"
)


def bright_squares() -> TrainingScene:
    """Mines are bright squares: learnable in seconds."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(0.3, 0.05, (2, 128, 192)).astype(np.float32)
    mask = np.zeros((128, 192), np.uint8)
    for row, col in rng.integers(0, (112, 176), (14, 2)):
        mask[row : row + 14, col : col + 14] = 1
    pixels[:, mask == 1] += 0.4
    return training_scene(
        lambda window: pixels[:, window.rows, window.cols],
        mask,
        CONTRACT,
        plan_windows((128, 128), 64, 32),
        [Window(0, 128, 128, 64)],
    )


def quiet(done: int, most: int, history: Sequence[Epoch]) -> None:
    """Watch nothing."""


@pytest.fixture(scope="module")
def trained():  # type: ignore[no-untyped-def]
    return fit([bright_squares()], CONTRACT, SETTINGS, quiet)


def test_it_learns_what_can_be_learned(trained) -> None:  # type: ignore[no-untyped-def]
    assert trained.history[-1].train_loss < trained.history[0].train_loss / 2
    assert max(e.iou for e in trained.history) > 0.8


def test_the_best_epoch_by_validation_iou_is_kept(trained) -> None:  # type: ignore[no-untyped-def]
    best = max(trained.history, key=lambda e: (e.iou, -e.epoch))
    assert trained.best_epoch == best.epoch


def test_the_same_seed_gives_the_same_weights(trained) -> None:  # type: ignore[no-untyped-def]
    again = fit([bright_squares()], CONTRACT, SETTINGS, quiet)
    a, b = trained.detector.net.state_dict(), again.detector.net.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_training_ends_when_nothing_improves() -> None:
    stuck = SETTINGS.model_copy(update={"learning_rate": 1e-12, "early_stop_epochs": 2, "averaging": 0.0})
    found = fit([bright_squares()], CONTRACT, stuck, quiet)
    assert len(found.history) <= found.best_epoch + 2 < 12


def test_a_stop_is_obeyed_after_the_epoch() -> None:
    def stop(done: int, most: int, history: Sequence[Epoch]) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fit([bright_squares()], CONTRACT, SETTINGS, stop)


def test_without_validation_there_is_no_training() -> None:
    made = bright_squares()
    alone = TrainingScene(made.pixels, made.labels, made.training, ())
    with pytest.raises(SplitError):
        fit([alone], CONTRACT, SETTINGS, quiet)


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
        fit([bright_squares()], CONTRACT, SETTINGS.model_copy(update={"init": str(tmp_path / "other.pt")}), quiet)


def test_metrics_are_one_row_an_epoch(tmp_path: Path, trained) -> None:  # type: ignore[no-untyped-def]
    write_metrics(tmp_path / "metrics.csv", trained.history)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["epoch"]) for r in rows] == [e.epoch for e in trained.history]
    assert float(rows[-1]["iou"]) == pytest.approx(trained.history[-1].iou, abs=1e-5)
