"""Change is a mirror, a balance and a ledger; nothing is told where either date has no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from scipy import ndimage

from minedetect.change import (
    DOUBTFUL,
    FIRM,
    GONE,
    KINDS,
    NEW,
    NO_CHANGE,
    RING,
    SIEVED,
    UNCHANGED,
    difference,
    kinds_of,
    ledger,
    per_mine,
    ring_width_px,
    told_apart,
)
from minedetect.errors import GridMismatch
from minedetect.labels import Labels, Outline, outline_zones
from minedetect.measure import hectares
from minedetect.raster import CHANGE_NODATA, IGNORE

GRID = GeoBox((30, 40), Affine(8.983e-5, 0, 27.8, 0, -8.983e-5, -12.5), "EPSG:4326")
seeds = st.integers(0, 999)


def classes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([0, 1, IGNORE], np.uint8), (30, 40), p=[0.6, 0.3, 0.1])


@given(seeds)
def test_no_difference_is_all_unchanged(seed: int) -> None:
    a = classes(seed)
    change = difference(a, a)
    assert change.dtype == np.int8
    assert (change == np.where(a == IGNORE, CHANGE_NODATA, UNCHANGED)).all()


@given(seeds, seeds)
def test_change_is_a_mirror(one: int, two: int) -> None:
    a, b = classes(one), classes(two)
    there, back = difference(a, b), difference(b, a)
    known = there != CHANGE_NODATA
    assert (known == (back != CHANGE_NODATA)).all()
    assert (there[known] == -back[known]).all()


@given(seeds, seeds)
def test_each_pixel_tells_its_own_change(one: int, two: int) -> None:
    a, b = classes(one), classes(two)
    change = difference(a, b)
    hidden = (a == IGNORE) | (b == IGNORE)
    assert ((change == CHANGE_NODATA) == hidden).all()
    assert ((change == NEW) == ((a == 0) & (b == 1))).all()
    assert ((change == GONE) == ((a == 1) & (b == 0))).all()
    assert set(np.unique(change)) <= {-128, -1, 0, 1}


def doubted(seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 7).choice(np.array([NO_CHANGE, DOUBTFUL, SIEVED], np.uint8), (30, 40))


@given(seeds, seeds, st.integers(1, 4))
def test_each_changed_pixel_has_one_kind(one: int, two: int, ring_px: int) -> None:
    a, b = classes(one), classes(two)
    change = difference(a, b)
    for doubts in (None, doubted(one)):
        kind = kinds_of(change, a, ring_px, doubts)
        assert kind.dtype == np.uint8
        assert ((kind == IGNORE) == (change == CHANGE_NODATA)).all()
        assert ((kind == NO_CHANGE) == (change == UNCHANGED)).all()
        assert np.isin(kind, [*range(len(KINDS) + 1), IGNORE]).all()


@given(seeds, seeds, st.integers(1, 4))
def test_kinds_are_a_mirror(one: int, two: int, ring_px: int) -> None:
    a, b = mines(one), mines(two)
    there, back = difference(a, b), difference(b, a)
    kind = kinds_of(there, a, ring_px, doubted(one))
    assert (kind == kinds_of(back, b, ring_px, doubted(one))).all()
    forth, home = ledger(a, there, kind, GRID), ledger(b, back, kind, GRID)
    assert (forth.new, forth.gone, forth.unchanged_ha) == (home.gone, home.new, home.unchanged_ha)


@given(seeds, st.integers(1, 4))
def test_nothing_changed_has_no_kind(seed: int, ring_px: int) -> None:
    a = classes(seed)
    assert (kinds_of(difference(a, a), a, ring_px, doubted(seed)) == np.where(a == IGNORE, IGNORE, NO_CHANGE)).all()


@given(seeds, seeds, st.integers(1, 4))
def test_the_first_kind_that_holds_is_told(one: int, two: int, ring_px: int) -> None:
    a, b = mines(one), mines(two)
    change, doubts = difference(a, b), doubted(two)
    changed = (change == NEW) | (change == GONE)
    kind = kinds_of(change, a, ring_px, doubts)
    assert ((kind == SIEVED) == (changed & (doubts == SIEVED))).all()
    assert ((kind == DOUBTFUL) == (changed & (doubts == DOUBTFUL) & (kind != RING))).all()


def test_what_the_sieve_did_does_not_thicken_a_ring() -> None:
    a = np.zeros((20, 40), np.uint8)
    a[5:15, 5:15] = 1
    b = a.copy()
    b[5:15, 15:18] = 1
    change, doubts = difference(a, b), np.zeros_like(a)
    assert (kinds_of(change, a, 1, doubts)[5:15, 15:18] == FIRM).all()
    doubts[5:15, 16:18] = SIEVED
    assert (kinds_of(change, a, 1, doubts)[5:15, 15:18] == [RING, SIEVED, SIEVED]).all()


def mines(seed: int, shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    """Mines of any outline that are nowhere thinner than 7 px and keep 5 px off the edge: uint8 (H, W)."""
    seeded = np.zeros(shape, bool)
    rng = np.random.default_rng(seed)
    seeded[rng.integers(8, shape[0] - 8, 5), rng.integers(8, shape[1] - 8, 5)] = True
    return ndimage.binary_dilation(seeded, np.ones((7, 7))).astype(np.uint8)


@given(seeds, st.integers(1, 4), st.data())
def test_a_mine_that_only_shifted_gives_only_ring(seed: int, ring_px: int, data: st.DataObject) -> None:
    a = mines(seed)
    by = data.draw(st.tuples(*[st.integers(-ring_px, ring_px)] * 2).filter(any))
    kind = kinds_of(difference(a, np.roll(a, by, axis=(0, 1))), a, ring_px)
    assert set(np.unique(kind)) == {NO_CHANGE, RING}


@pytest.mark.parametrize("angle_deg", range(0, 360, 30))
@pytest.mark.parametrize("shift_px", [0.2, 0.5, 1.0, 1.7])
def test_a_shift_by_part_of_a_pixel_gives_only_ring(shift_px: float, angle_deg: int) -> None:
    row, col = np.indices((60, 60))
    down, right = shift_px * np.sin(np.radians(angle_deg)), shift_px * np.cos(np.radians(angle_deg))

    def lobed(row_0: float, col_0: float) -> np.ndarray:
        dr, dc = row - row_0, col - col_0
        return (np.hypot(dr, dc) < 17 + 4 * np.sin(3 * np.arctan2(dr, dc))).astype(np.uint8)

    a, b = lobed(29.7, 30.1), lobed(29.7 + down, 30.1 + right)
    kind = kinds_of(difference(a, b), a, ring_width_px(shift_px))
    assert set(np.unique(kind)) <= {NO_CHANGE, RING}
    assert ((kind == RING) == (a != b)).all()


@given(seeds, st.sampled_from([None, 0.0, 0.004, 0.5, 1.0, 2.0]))
def test_a_mine_that_grew_by_five_pixels_gives_no_ring(seed: int, shift_px: float | None) -> None:
    a = mines(seed, (60, 60))
    grown = ndimage.binary_dilation(a, np.ones((11, 11))).astype(np.uint8)
    for before, after in ((a, grown), (grown, a)):
        change = difference(before, after)
        kind = kinds_of(change, before, ring_width_px(shift_px))
        assert ((kind == FIRM) == ((change == NEW) | (change == GONE))).all()


@given(seeds, st.integers(1, 4), st.integers(1, 6))
def test_a_new_mine_far_from_any_other_is_never_ring(seed: int, ring_px: int, width_px: int) -> None:
    a = np.zeros((60, 90), np.uint8)
    a[:30, :40] = mines(seed)
    b = a.copy()
    b[10 : 10 + width_px, 50:85] = 1
    assert (kinds_of(difference(a, b), a, ring_px)[10 : 10 + width_px, 50:85] == FIRM).all()


def test_a_thin_strip_leaves_the_ring_where_it_leaves_the_mine() -> None:
    a = np.zeros((20, 40), np.uint8)
    a[5:15, 5:15] = 1
    b = a.copy()
    b[9, 15:35] = 1
    kind = kinds_of(difference(a, b), a, 2)
    assert (kind[9, 15:17] == RING).all()
    assert (kind[9, 17:35] == FIRM).all()


def test_a_mine_gone_altogether_is_no_ring() -> None:
    a = np.zeros((20, 40), np.uint8)
    a[9, 5:35] = 1
    assert (kinds_of(difference(a, np.zeros_like(a)), a, 3)[9, 5:35] == FIRM).all()


@pytest.mark.parametrize(("shift_px", "width_px"), [(None, 1), (0.0, 1), (0.004, 2), (0.5, 2), (1.0, 2), (1.2, 3)])
def test_a_ring_is_as_wide_as_the_shift_and_a_pixel(shift_px: float | None, width_px: int) -> None:
    assert ring_width_px(shift_px) == width_px


@given(seeds, seeds)
def test_new_minus_gone_is_the_difference_of_areas(one: int, two: int) -> None:
    a, b = classes(one), classes(two)
    change = difference(a, b)
    both = change != CHANGE_NODATA
    before_ha, after_ha = hectares((a == 1) & both, GRID, 1), hectares((b == 1) & both, GRID, 1)
    book = ledger(a, change, kinds_of(change, a, 1, doubted(one)), GRID)
    assert book.before_ha == pytest.approx(before_ha, rel=1e-12)
    assert book.after_ha == pytest.approx(after_ha, rel=1e-12)
    assert book.unchanged_ha == pytest.approx(hectares((a == 1) & (b == 1), GRID, 1), rel=1e-12)
    assert book.net_ha == pytest.approx(after_ha - before_ha, abs=1e-9)
    assert sum(book.new.values()) - sum(book.gone.values()) == pytest.approx(book.net_ha)


@given(seeds, seeds)
def test_the_ledger_adds_up_by_kind(one: int, two: int) -> None:
    a, b = classes(one), classes(two)
    change = difference(a, b)
    rng = np.random.default_rng(one)
    kind = np.where(np.abs(change) == 1, rng.integers(FIRM, len(KINDS) + 1, change.shape), kinds_of(change, a, 1))
    book = ledger(a, change, kind.astype(np.uint8), GRID)
    for number, name in enumerate(KINDS, start=1):
        assert book.new[name] == pytest.approx(hectares((change == NEW) & (kind == number), GRID, 1))
        assert book.gone[name] == pytest.approx(hectares((change == GONE) & (kind == number), GRID, 1))
    assert sum(book.new.values()) == pytest.approx(hectares(change == NEW, GRID, 1))
    assert sum(book.gone.values()) == pytest.approx(hectares(change == GONE, GRID, 1))


def outline(index: int, name: str, box: tuple[int, int, int, int] = (0, 0, 1, 1), status: str = "active") -> Outline:
    """A mine between two rows and two columns of the grid."""
    top, left, bottom, right = box
    corners = GRID.transform @ (left, top), GRID.transform @ (right, bottom)
    return Outline(index, "7", name, status, status, None, shapely.box(*corners[0], *corners[1]), 0.0)


@settings(max_examples=8)
@given(seeds, seeds)
def test_rows_of_mines_add_up_to_the_ledger(one: int, two: int) -> None:
    a, b = classes(one), classes(two)
    zones = np.zeros((30, 40), np.int32)
    zones[:10], zones[20:, 15:] = 1, 2
    change = difference(a, b)
    book = ledger(a, change, kinds_of(change, a, 1), GRID)
    rows = per_mine(told_apart([outline(1, "Nchanga"), outline(4, "")]), zones, a, b, GRID)
    assert [row["mine"] for row in rows] == ["Nchanga", "mine 4", "outside the labels"]
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key.endswith("_ha")}
    assert total["before_ha"] == pytest.approx(book.before_ha)
    assert total["after_ha"] == pytest.approx(book.after_ha)
    assert total["gained_ha"] == pytest.approx(sum(book.new.values()))
    assert total["lost_ha"] == pytest.approx(sum(book.gone.values()))
    assert total["unobserved_ha"] == pytest.approx(hectares(change == CHANGE_NODATA, GRID, 1))
    assert total["labelled_ha"] == pytest.approx(hectares(zones > 0, GRID, 1))
    for row in rows:
        assert row["after_ha"] - row["before_ha"] == pytest.approx(row["gained_ha"] - row["lost_ha"])


@settings(max_examples=8)
@given(seeds, seeds)
def test_rows_add_up_whatever_the_outlines_are(one: int, two: int) -> None:
    """Overlapping, partly outside, wholly outside, one inside another, one name and one id for two mines."""
    a, b = classes(one), classes(two)
    outlines = (
        outline(1, "Nchanga", (2, 2, 15, 20), "active"),
        outline(2, "Nchanga", (10, 10, 25, 30), "unknown"),
        outline(3, "", (-20, 30, 8, 80)),
        outline(4, "inside the first", (4, 4, 8, 8)),
        outline(5, "elsewhere", (100, 100, 120, 120)),
    )
    zones = outline_zones(Labels(Path("mines.geojson"), outlines), GRID)
    rows = per_mine(told_apart(outlines), zones, a, b, GRID)
    assert [row["mine"] for row in rows] == [
        *("Nchanga (outline 1)", "Nchanga (outline 2)", "mine 3", "inside the first", "elsewhere"),
        "outside the labels",
    ]
    assert [row["status"] for row in rows] == ["active", "unknown", *["active"] * 3, ""]
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key.endswith("_ha")}
    union = np.zeros((30, 40), bool)
    for top, left, bottom, right in ((2, 2, 15, 20), (10, 10, 25, 30), (0, 30, 8, 40)):
        union[top:bottom, left:right] = True
    both = (a != IGNORE) & (b != IGNORE)
    for key, chosen in (
        ("labelled_ha", union),
        ("before_ha", both & (a == 1)),
        ("after_ha", both & (b == 1)),
        ("gained_ha", (a == 0) & (b == 1)),
        ("lost_ha", (a == 1) & (b == 0)),
        ("unobserved_ha", ~both),
    ):
        assert total[key] == pytest.approx(hectares(chosen, GRID, 1)), key
    elsewhere = rows[4]
    assert not any(elsewhere[key] for key in total)


def test_a_cloud_over_a_mine_is_unobserved_not_gone() -> None:
    before, after = np.ones((30, 40), np.uint8), np.full((30, 40), IGNORE, np.uint8)
    change = difference(before, after)
    book = ledger(before, change, kinds_of(change, before, 1), GRID)
    assert (book.before_ha, book.after_ha, sum(book.gone.values())) == (0, 0, 0)
    (mine, _) = per_mine([("a", "active")], np.ones((30, 40), np.int32), before, after, GRID)
    assert mine["unobserved_ha"] == pytest.approx(mine["labelled_ha"])
    assert mine["lost_ha"] == 0


def test_other_shapes_are_refused() -> None:
    a = classes(0)
    with pytest.raises(GridMismatch, match=r"30, 40.*30, 39"):
        difference(a, a[:, :39])
    change = difference(a, a)[:, :39]
    with pytest.raises(GridMismatch):
        ledger(a[:, :39], change, kinds_of(change, a[:, :39], 1), GRID)
