"""Change is a mirror, a balance and a ledger; nothing is told where either date has no data."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect.change import FIRM, GONE, KINDS, NEW, NO_CHANGE, UNCHANGED, difference, kinds_of, ledger, per_mine
from minedetect.errors import GridMismatch
from minedetect.labels import Outline
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


@given(seeds, seeds)
def test_each_changed_pixel_has_one_kind(one: int, two: int) -> None:
    change = difference(classes(one), classes(two))
    kind = kinds_of(change)
    assert kind.dtype == np.uint8
    assert ((kind == IGNORE) == (change == CHANGE_NODATA)).all()
    assert ((kind == NO_CHANGE) == (change == UNCHANGED)).all()
    assert np.isin(kind, [*range(len(KINDS) + 1), IGNORE]).all()


@given(seeds, seeds)
def test_new_minus_gone_is_the_difference_of_areas(one: int, two: int) -> None:
    a, b = classes(one), classes(two)
    change = difference(a, b)
    both = change != CHANGE_NODATA
    before_ha, after_ha = hectares((a == 1) & both, GRID, 1), hectares((b == 1) & both, GRID, 1)
    book = ledger(a, change, kinds_of(change), GRID)
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
    kind = np.where(np.abs(change) == 1, rng.integers(FIRM, len(KINDS) + 1, change.shape), kinds_of(change))
    book = ledger(a, change, kind.astype(np.uint8), GRID)
    for number, name in enumerate(KINDS, start=1):
        assert book.new[name] == pytest.approx(hectares((change == NEW) & (kind == number), GRID, 1))
        assert book.gone[name] == pytest.approx(hectares((change == GONE) & (kind == number), GRID, 1))
    assert sum(book.new.values()) == pytest.approx(hectares(change == NEW, GRID, 1))
    assert sum(book.gone.values()) == pytest.approx(hectares(change == GONE, GRID, 1))


def outline(index: int, name: str) -> Outline:
    return Outline(index, "", name, "active", "active", None, shapely.box(27.8, -12.5, 27.81, -12.49), 0.0)


@given(seeds, seeds)
def test_rows_of_mines_add_up_to_the_ledger(one: int, two: int) -> None:
    a, b = classes(one), classes(two)
    zones = np.zeros((30, 40), np.int32)
    zones[:10], zones[20:, 15:] = 1, 2
    change = difference(a, b)
    book = ledger(a, change, kinds_of(change), GRID)
    rows = per_mine([outline(1, "Nchanga"), outline(4, "")], zones, a, b, GRID)
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


def test_a_cloud_over_a_mine_is_unobserved_not_gone() -> None:
    before, after = np.ones((30, 40), np.uint8), np.full((30, 40), IGNORE, np.uint8)
    change = difference(before, after)
    book = ledger(before, change, kinds_of(change), GRID)
    assert (book.before_ha, book.after_ha, sum(book.gone.values())) == (0, 0, 0)
    (mine, _) = per_mine([outline(1, "a")], np.ones((30, 40), np.int32), before, after, GRID)
    assert mine["unobserved_ha"] == pytest.approx(mine["labelled_ha"])
    assert mine["lost_ha"] == 0


def test_other_shapes_are_refused() -> None:
    a = classes(0)
    with pytest.raises(GridMismatch, match=r"30, 40.*30, 39"):
        difference(a, a[:, :39])
    change = difference(a, a)[:, :39]
    with pytest.raises(GridMismatch):
        ledger(a[:, :39], change, kinds_of(change), GRID)
