from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from minedetect.change import FIRM, RING, difference
from minedetect.figures import Curves, Stretch, draw_history, pooled, scale_bar, shown_bands, thinned
from minedetect.grid import WGS84, Window, pixel_sides_m
from minedetect.mask_figures import CLOSEUP_PX, CloseUp, closeup_window, draw_edges, draw_mask
from minedetect.raster import Mask
from minedetect.result_figures import ResultPicture, draw_results

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


RED, BLUE, WHITE, YELLOW = "#D1495B", "#2E6FBB", "#F4F4F2", "#F2C14E"


def results(path: Path, before: Mask, after: Mask, kind: int = FIRM, headline: str = "Plausible") -> Path:
    change = difference(before, after)
    kinds = np.where(change == 0, 0, kind).astype(np.uint8)
    rgb = np.full((min(300, before.shape[0]), min(240, before.shape[1]), 3), 0.4, np.float32)
    grid = GeoBox(before.shape, GRID.transform, "EPSG:32735")
    labels = (before == 1).astype(np.uint8)
    picture = ResultPicture(
        ("2016", "2025"), (rgb, rgb), (before, after), labels, change, kinds, (25, 36), 25, (36, 25), (headline,)
    )
    draw_results(path, picture, grid)
    return path


def two_mines(shape: tuple[int, int] = (160, 120)) -> tuple[Mask, Mask]:
    before, after = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    before[10:60, 10:60] = 1
    after[90:150, 50:110] = 1
    return before, after


def test_new_is_red_and_gone_is_blue(tmp_path: Path) -> None:
    before, after = two_mines()
    there, back = results(tmp_path / "there.png", before, after), results(tmp_path / "back.png", after, before)
    assert coloured(there, RED) == pytest.approx(coloured(back, BLUE), rel=0.01)
    assert coloured(there, BLUE) == pytest.approx(coloured(back, RED), rel=0.01)
    assert coloured(there, RED) > 1.1 * coloured(there, BLUE) > 10_000, "3000 and 2500 pixels"
    none = results(tmp_path / "none.png", before, before)
    assert max(coloured(none, RED), coloured(none, BLUE)) < 10_000


@pytest.mark.parametrize("kind", [FIRM, RING])
def test_change_that_is_not_firm_is_dim(tmp_path: Path, kind: int) -> None:
    path = results(tmp_path / "r.png", *two_mines(), kind)
    assert (coloured(path, RED) > 10_000) is (kind == FIRM)
    assert (coloured(path, "#713341") > 10_000) is (kind == RING)


def test_mines_of_one_pixel_survive_in_a_scene_thinned_five_times(tmp_path: Path) -> None:
    before, after = np.zeros((2700, 2400), np.uint8), np.zeros((2700, 2400), np.uint8)
    before[400:2000:211, 200:2200] = 1  # at every offset within a block
    after[:, :200:101] = 1
    picture = imread(results(tmp_path / "r.png", before, after))[..., :3]
    for colour, lines, least_px in ((BLUE, 8, 400), (RED, 2, 400)):
        want = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        zones, _ = scipy.ndimage.label(np.abs(picture - want).max(axis=-1) < 0.02, np.ones((3, 3)))
        assert (np.bincount(zones.ravel())[1:] >= least_px).sum() >= lines


def test_beside_each_other_the_larger_change_is_shown_not_always_the_new(tmp_path: Path) -> None:
    before, after = np.zeros((2700, 2400), np.uint8), np.zeros((2700, 2400), np.uint8)
    for row in range(200, 2200, 6):
        before[row : row + 5, 200:2200] = 1
        after[row + 5, 200:2200] = 1
    path = results(tmp_path / "r.png", before, after)
    assert coloured(path, BLUE) > 5 * coloured(path, RED)


@pytest.mark.parametrize("shape", [(160, 120), (150, 900), (900, 150), (40, 40)])
def test_results_of_any_shape_are_readable_and_not_endless(tmp_path: Path, shape: tuple[int, int]) -> None:
    before, after = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    before[5:20, 5:20] = after[15:30, 5:20] = 1
    height, width = imread(results(tmp_path / "r.png", before, after)).shape[:2]
    assert width == 1600
    assert 500 < height < 2600


def test_ground_without_image_is_striped(tmp_path: Path) -> None:
    before, after = two_mines()
    whole = coloured(results(tmp_path / "whole.png", before, after), "#8A8F98")
    after[:40] = 255
    assert coloured(results(tmp_path / "part.png", before, after), "#8A8F98") > whole + 10_000


def test_words_are_never_a_formula(tmp_path: Path) -> None:
    results(tmp_path / "r.png", *two_mines(), headline=r"$\frac{$ of $x$")


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32735"])
def test_the_scale_bar_is_as_long_as_it_says(crs: str) -> None:
    box = GeoBox.from_bbox((26.9, 59.9, 27.1, 60.1), crs="EPSG:4326", shape=(400, 400)).footprint("EPSG:4326")
    grid = GeoBox.from_geopolygon(box.to_crs(crs), shape=(400, 400), crs=crs)
    ax = Figure().add_subplot()
    scale_bar(ax, grid, (200, 200))
    label = ax.texts[0].get_text()
    number, unit = label.split()
    x = np.asarray(ax.lines[0].get_xdata(), float) * 2  # the picture is thinned twice
    (west, north), (east, south) = (grid.transform @ (float(c), 200.0) for c in x)
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    *_, length_m = WGS84.inv(*to_degrees.transform(west, north), *to_degrees.transform(east, south))
    assert length_m == pytest.approx(float(number) * {"km": 1000, "m": 1}[unit], rel=0.02)
    assert x[1] - x[0] < 400 / 4


def test_pixels_of_degrees_are_narrower_far_from_the_equator() -> None:
    width_m, height_m = pixel_sides_m(GeoBox.from_bbox((26.9, 59.9, 27.1, 60.1), crs="EPSG:4326", shape=(400, 400)))
    assert width_m == pytest.approx(height_m / 2, rel=0.01)


def test_the_kept_epoch_of_each_network_is_marked(tmp_path: Path) -> None:
    rows = [
        {"epoch": e, "train_loss": 1 / e, "validation_loss": 1.2 / e, "iou": 0.1 * e, "dice": 0.11 * e}
        for e in (1, 2, 3)
    ]
    one, two, same = tmp_path / "one.png", tmp_path / "two.png", tmp_path / "same.png"
    draw_history(one, [Curves(rows, 3)])
    assert coloured(one, "#D1495B", tolerance=0.15) > 100
    worse = [{**row, "iou": row["iou"] / 2} for row in rows]
    draw_history(two, [Curves(rows, 3), Curves(worse, 2)])
    draw_history(same, [Curves(rows, 3), Curves(rows, 3)])
    assert coloured(two, "#D1495B", tolerance=0.15) > 1.2 * coloured(same, "#D1495B", tolerance=0.15)
