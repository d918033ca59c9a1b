from itertools import pairwise

import pytest
import torch

from minedetect.augment import Augmentation, scaled_zero, turn, turn_back
from minedetect.bands import BandContract
from minedetect.config import AugmentationSettings
from minedetect.raster import IGNORE
from minedetect.tiles import Batch

CONTRACT = BandContract(("B2", "B3"), "reflectance", (0.1, 0.0), (0.5, 1.0), 10.0)


@pytest.mark.parametrize("which", range(8))
def test_turns_come_back(which: int) -> None:
    image = torch.rand(3, 8, 8)
    assert torch.equal(turn_back(turn(image, which), which), image)


def test_the_eight_turns_differ() -> None:
    image = torch.arange(9.0).reshape(3, 3)
    seen = sorted(tuple(turn(image, t).flatten().tolist()) for t in range(8))
    assert all(a != b for a, b in pairwise(seen))


def test_gains_turn_about_zero_reflectance() -> None:
    zero = scaled_zero(CONTRACT)
    dark = zero[None, :, None, None].expand(4, 2, 8, 8).clone()
    augment = Augmentation(AugmentationSettings(flips=False, brightness_jitter=0.3, band_jitter=0.2), zero)
    changes = augment.draw(4, torch.Generator().manual_seed(0))
    out = augment(Batch(dark, torch.zeros(4, 8, 8, dtype=torch.long)), changes)
    torch.testing.assert_close(out.pixels, dark)


def test_labels_turn_with_their_pixels() -> None:
    labels = (torch.rand(6, 16, 16, generator=torch.Generator().manual_seed(3)) > 0.5).long()
    augment = Augmentation(AugmentationSettings(brightness_jitter=0.0, band_jitter=0.0), torch.zeros(1))
    out = augment(Batch(labels[:, None].float(), labels), augment.draw(6, torch.Generator().manual_seed(0)))
    assert torch.equal(out.pixels[:, 0].long(), out.labels)
    assert not torch.equal(out.labels, labels)


def drawn(**how: float) -> Batch:
    """A tile with a bright square as its mine, changed in 32 ways."""
    labels = torch.zeros(32, 64, 64, dtype=torch.long)
    labels[:, 20:44, 24:40] = 1
    labels[:, :, :3] = IGNORE
    settings = AugmentationSettings.model_validate({"brightness_jitter": 0, "band_jitter": 0, "flips": False, **how})
    augment = Augmentation(settings, torch.zeros(1))
    changes = augment.draw(32, torch.Generator().manual_seed(0))
    return augment(Batch((labels == 1).float()[:, None] * 0.6, labels), changes)


def test_a_zoomed_mine_is_larger_or_smaller_and_its_label_with_it() -> None:
    out = drawn(zoom=0.5)
    areas = (out.labels == 1).sum(dim=(1, 2)).float() / (24 * 16)
    assert areas.min() < 0.6
    assert areas.max() > 1.7
    assert areas.min() > 1 / 1.5**2 - 0.05
    inside = (out.pixels[:, 0] > 0.3) == (out.labels == 1)
    assert inside.float().mean() > 0.98
    assert set(out.labels.unique().tolist()) <= {0, 1, IGNORE}


def test_offset_and_gamma_change_how_bright_things_are_and_not_where_they_lie() -> None:
    for out in (drawn(offset_jitter=0.1), drawn(gamma_jitter=0.5)):
        assert out.pixels[:, 0, 30, 30].std() > 0.02
        bright = out.pixels[:, 0] > (out.pixels[:, 0].amax(dim=(1, 2)) - 0.2)[:, None, None]
        assert torch.equal(bright, out.labels == 1)
    assert drawn(offset_jitter=0.1).pixels[:, 0, 30, 30].sub(0.6).abs().max() <= 0.15 + 1e-6


def test_nothing_asked_for_changes_nothing() -> None:
    out = drawn()
    assert torch.equal(out.pixels[:, 0], (out.labels == 1).float() * 0.6)
