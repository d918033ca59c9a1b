from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from odc.geo.geobox import GeoBox

from minedetect.figures import (
    ResultPicture,
    Stretch,
    draw_edges,
    draw_history,
    draw_mask,
    draw_results,
    shown_bands,
    thinned,
)

GRID = GeoBox.from_bbox((500_000, 0, 501_200, 1_600), crs="EPSG:32735", shape=(160, 120))


def test_both_dates_share_one_stretch() -> None:
    first = np.random.default_rng(0).random((3, 50, 50), dtype=np.float32)
    stretch = Stretch.of(first)
    assert np.allclose(stretch(first), stretch(first.copy()))
    assert stretch(first * 0.5).mean() < stretch(first).mean(), "a darker date looks darker"


def test_nodata_is_shown_light_not_black() -> None:
    pixels = np.random.default_rng(0).random((3, 20, 20), dtype=np.float32)
    pixels[:, :5] = np.nan
    assert (Stretch.of(pixels)(pixels)[:5] == np.float32(0.85)).all()


@pytest.mark.parametrize(
    ("names", "positions"), [(("B2", "B3", "B4", "B8"), (2, 1, 0)), (("VV",), (0, 0, 0)), (("VV", "VH"), (1, 1, 0))]
)
def test_red_green_blue_are_picked_by_name(names: tuple[str, ...], positions: tuple[int, int, int]) -> None:
    assert shown_bands(names) == positions


def test_thinning_bounds_the_longest_side() -> None:
    assert max(thinned(np.zeros((3, 5567, 3230)), 900).shape[1:]) <= 900
    assert thinned(np.zeros((10, 12))).shape == (10, 12)


def coloured(path: Path, colour: str, tolerance: float = 0.02) -> int:
    """Pixels of a picture near a colour."""
    want = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return int((np.abs(imread(path)[..., :3] - want).max(axis=-1) < tolerance).sum())


def test_pictures_show_what_they_are_for(tmp_path: Path) -> None:
    rgb = np.full((160, 120, 3), 0.4, np.float32)
    mask = np.zeros((160, 120), np.uint8)
    mask[40:90, 30:80] = 1
    draw_mask(tmp_path / "mask.png", rgb, mask, GRID, r"a name with $\frac{$ and $x$")
    assert coloured(tmp_path / "mask.png", "#D1495B") > 5_000, "the mask is drawn in red"
    draw_edges(tmp_path / "edges.png", rgb, mask, GRID)
    assert coloured(tmp_path / "edges.png", "#F2C14E") > 300, "the edge is drawn in yellow"


def test_a_mask_without_any_mine_is_drawn_too(tmp_path: Path) -> None:
    rgb = np.full((160, 120, 3), 0.4, np.float32)
    draw_edges(tmp_path / "edges.png", rgb, np.zeros((160, 120), np.uint8), GRID)
    assert (tmp_path / "edges.png").stat().st_size > 1000


def test_new_is_red_and_gone_is_blue(tmp_path: Path) -> None:
    rgb = np.full((160, 120, 3), 0.4, np.float32)
    before, after = np.zeros((160, 120), np.uint8), np.zeros((160, 120), np.uint8)
    before[10:60, 10:60] = 1
    after[90:150, 50:110] = 1
    change = after.astype(np.int8) - before.astype(np.int8)
    for name, shown, red, blue in (("both", change, True, True), ("none", change * 0, False, False)):
        picture = ResultPicture(
            ("2016", "2025"), (rgb, rgb), (before, after), before, shown, (25.0, 36.0), 36.0, 25.0, "plausible"
        )
        draw_results(tmp_path / f"{name}.png", picture, GRID)
        assert (coloured(tmp_path / f"{name}.png", "#D1495B") > 3_000) is red
        assert (coloured(tmp_path / f"{name}.png", "#2E6FBB") > 3_000) is blue


def test_the_kept_epoch_is_marked(tmp_path: Path) -> None:
    history = [
        {"epoch": e, "train_loss": 1 / e, "validation_loss": 1.2 / e, "iou": 0.1 * e, "dice": 0.11 * e}
        for e in (1, 2, 3)
    ]
    draw_history(tmp_path / "h.png", history, 3)
    assert coloured(tmp_path / "h.png", "#D1495B", tolerance=0.15) > 100
