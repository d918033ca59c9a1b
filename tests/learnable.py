"""A scene that a small network learns in seconds, for tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minedetect.bands import BandContract
from minedetect.config import Settings
from minedetect.grid import Window, plan_windows
from minedetect.tiles import TrainingScene, training_scene

CONTRACT = BandContract(("B2", "B3"), "reflectance", (0.0, 0.0), (1.0, 1.0), 10.0)
SETTINGS = Settings(
    width=4, epochs=12, batch=4, tile_px=64, learning_rate=0.01, device="cpu", early_stop_epochs=50, preset="cpu"
)


def bright_squares(folder: Path | None = None) -> TrainingScene:
    """Mines are bright squares."""
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
        (plan_windows((128, 128), 64, 32), [Window(0, 128, 128, 64)]),
        folder,
    )
