import numpy as np
import pytest
import torch

from minedetect.bands import BandContract
from minedetect.grid import Window, plan_windows
from minedetect.raster import IGNORE
from minedetect.tiles import (
    class_shares,
    cut,
    cut_validation,
    epoch_order,
    training_places,
    training_scene,
    validation_tiles,
)

CONTRACT = BandContract(("B2", "B3"), "reflectance", (0.1, 0.0), (0.5, 1.0), 10.0)


def scene(height: int = 100, width: int = 90):  # type: ignore[no-untyped-def]
    pixels = np.random.default_rng(0).random((2, height, width), dtype=np.float32)
    mask = (pixels[0] > 0.5).astype(np.uint8)
    pixels[:, :4, :4] = np.nan
    return training_scene(
        lambda window: pixels[:, window.rows, window.cols],
        mask,
        CONTRACT,
        (plan_windows((height, 50), 32, 16), [Window(0, 50, height, width - 50)]),
    )


def test_unobserved_pixels_teach_nothing() -> None:
    made = scene()
    assert (made.labels[:4, :4] == IGNORE).all()
    assert torch.isfinite(cut([made], [(0, Window(0, 0, 32, 32))], 32).pixels).all()


def test_pixels_are_read_in_bands_of_rows_and_the_mask_is_left_alone() -> None:
    stored = np.random.default_rng(0).random((2, 1100, 40), dtype=np.float32)
    stored[1, 700, 3] = np.nan
    mask = np.ones((1100, 40), np.uint8)
    asked: list[Window] = []

    def read(window: Window):  # type: ignore[no-untyped-def]
        asked.append(window)
        return stored[:, window.rows, window.cols]

    made = training_scene(read, mask, CONTRACT, ([], []))
    assert np.array_equal(made.pixels.numpy(), CONTRACT.scale(stored), equal_nan=True)
    assert np.argwhere(made.labels.numpy() == IGNORE).tolist() == [[700, 3]]
    assert (mask == 1).all()
    assert sorted(asked) == asked
    assert sum(w.height for w in asked) == 1100
    assert max(w.height * w.width for w in asked) < stored[0].size


def test_a_tile_is_its_window() -> None:
    made = scene()
    number, window = training_places([made])[3]
    batch = cut([made], [(number, window)], 32)
    assert np.array_equal(batch.pixels[0].numpy(), made.pixels[:, window.rows, window.cols].numpy())
    assert torch.equal(batch.labels[0], made.labels[window.slices].long())


def test_a_scene_smaller_than_a_tile_is_reflected_and_its_labels_ignored() -> None:
    made = scene(20, 70)
    batch = cut([made], [(0, Window(0, 10, 20, 32))], 32)
    assert (batch.labels[0, 20:] == IGNORE).all()
    assert np.array_equal(batch.pixels[0, :, 20].numpy(), made.pixels[:, 18, 10:42].numpy())


@pytest.mark.parametrize("tile_px", [16, 32, 64, 128])
def test_validation_counts_each_known_pixel_once(tile_px: int) -> None:
    made = scene()
    block = made.labels[:, 50:]
    labels = cut_validation([made], validation_tiles([made], tile_px), tile_px).labels
    known, mines = int((labels != IGNORE).sum()), int((labels == 1).sum())
    assert known == int((block != IGNORE).sum())
    assert mines == int((block == 1).sum())


def test_an_epoch_draws_each_tile_once() -> None:
    order = epoch_order(17, 0, torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(17))
    more = epoch_order(5, 12, torch.Generator().manual_seed(1)).tolist()
    assert len(more) == 12
    assert max(more.count(i) for i in range(5)) - min(more.count(i) for i in range(5)) <= 1


def test_class_shares_add_up_without_the_unknown() -> None:
    background, mine = class_shares([scene()])
    assert background + mine == pytest.approx(1)
    assert 0.4 < mine < 0.6
