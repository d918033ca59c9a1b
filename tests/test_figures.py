from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from odc.geo.geobox import GeoBox

from minedetect.figures import (
    ResultPicture,
    Stretch,
    draw_history,
    draw_results,
    shown_bands,
    thinned,
)
from minedetect.grid import Window
from minedetect.mask_figures import CLOSEUP_PX, CloseUp, closeup_window, draw_edges, draw_mask, pooled

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


@pytest.mark.parametrize(("shape", "patches"), [((160, 120), 0), ((300, 30), 1), ((30, 300), 40)])
def test_a_mask_of_any_shape_and_number_of_patches_is_drawn(
    tmp_path: Path, shape: tuple[int, int], patches: int
) -> None:
    grid = GeoBox(shape, GRID.transform, "EPSG:32735")
    rgb, mask = np.full((*shape, 3), 0.4, np.float32), np.zeros(shape, np.uint8)
    for row, col in list(np.ndindex(shape[0] // 6, shape[1] // 6))[:patches]:
        mask[6 * row : 6 * row + 4, 6 * col : 6 * col + 4] = 1
    draw_mask(tmp_path / "mask.png", rgb, mask, grid, "a long name of a scene that no title can hold in full")
    draw_edges(tmp_path / "edges.png", rgb, mask, grid)
    assert (coloured(tmp_path / "mask.png", "#D1495B") > 50) is (patches > 0)
    assert (coloured(tmp_path / "edges.png", "#2E6FBB") > 1_000) is (patches > 0), "sizes are blue bars"
    assert imread(tmp_path / "edges.png").shape[1] >= 1_000


def test_a_thin_mine_survives_thinning(tmp_path: Path) -> None:
    mask = np.zeros((600, 480), np.uint8)
    mask[301, 40:440] = 1  # every second row and column would miss it
    rgb = np.full((300, 240, 3), 0.4, np.float32)
    draw_mask(tmp_path / "mask.png", rgb, mask, GeoBox(mask.shape, GRID.transform, "EPSG:32735"), "thin")
    red = imread(tmp_path / "mask.png")[..., :3]
    assert (red[..., 0] - red[..., 2] > 0.15).sum() > 300


def test_unobserved_ground_is_told_from_ground_without_mines(tmp_path: Path) -> None:
    rgb, mask = np.full((160, 120, 3), 0.4, np.float32), np.zeros((160, 120), np.uint8)
    mask[40:90, 30:80] = 1
    observed = np.ones((160, 120), bool)
    draw_mask(tmp_path / "all.png", rgb, mask, GRID, "all", observed)
    observed[:30] = False
    draw_mask(tmp_path / "part.png", rgb, mask, GRID, "part", observed)
    assert coloured(tmp_path / "part.png", "#4A4E57") > coloured(tmp_path / "all.png", "#4A4E57") + 1_000


def test_the_close_up_shows_the_pixels_it_was_given(tmp_path: Path) -> None:
    rgb, mask = np.full((160, 120, 3), 0.4, np.float32), np.zeros((160, 120), np.uint8)
    mask[40:90, 30:80] = 1
    window = closeup_window(mask)
    assert window is not None
    green = np.broadcast_to(np.float32([0.1, 0.7, 0.2]), (window.height, window.width, 3))
    draw_edges(tmp_path / "edges.png", rgb, mask, GRID, CloseUp(window, green.copy()))
    assert coloured(tmp_path / "edges.png", "#1AB333") > 20_000


@given(st.integers(20, 900), st.integers(20, 900), st.data())
def test_a_close_up_lies_on_the_image_and_shows_an_edge_of_the_largest_mine(
    rows: int, cols: int, data: st.DataObject
) -> None:
    height, width = data.draw(st.integers(4, rows - 1)), data.draw(st.integers(4, cols - 1))
    row, col = data.draw(st.integers(0, rows - height)), data.draw(st.integers(0, cols - width))
    mask = np.zeros((rows, cols), np.uint8)
    mask[row : row + height, col : col + width] = 1
    window = closeup_window(mask)
    assert window is not None
    assert window.intersection(Window(0, 0, rows, cols)) == window
    assert max(window.height, window.width) <= CLOSEUP_PX
    near = mask[window.slices]
    assert near.any()
    assert not near.all() or (row, col, height, width) == (0, 0, rows, cols) or min(height, width) > CLOSEUP_PX - 24
    if max(height, width) + 24 <= CLOSEUP_PX:
        assert near.sum() == mask.sum()


def test_without_mines_there_is_nothing_to_look_at_closely() -> None:
    assert closeup_window(np.zeros((30, 40), np.uint8)) is None


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_pooling_keeps_every_chosen_pixel_and_adds_none(rows: int, cols: int, data: st.DataObject) -> None:
    small = data.draw(st.integers(1, rows)), data.draw(st.integers(1, cols))
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    chosen = np.zeros((rows, cols), bool)
    assert not pooled(chosen, small).any()
    chosen[row, col] = True
    shown = pooled(chosen, small)
    assert shown.shape == small
    assert shown.sum() == 1


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
