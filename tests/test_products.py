"""What the probabilities say about a change, and files that tell what the ledger tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from scipy import ndimage
from shapely.geometry import shape

from minedetect.change import DOUBTFUL, GONE, KINDS, NEW, NO_CHANGE, SIEVED, Change, difference
from minedetect.cog import CogProfile, write_cog
from minedetect.measure import hectares
from minedetect.predict import PROBABILITY_DECIMALS
from minedetect.products import Grounds, doubts, write_change, write_mines
from minedetect.raster import IGNORE, MINE, Mask, Raster, open_raster, read_classes
from minedetect.runs import Run
from minedetect.sieve import classified, sieved

SHAPE = (600, 40)
"""More than a band of rows."""
GRID = GeoBox(SHAPE, Affine(8.983e-5, 0, 27.8, 0, -8.983e-5, -12.5), "EPSG:4326")
THRESHOLDS = (0.43, 0.61)
YEARS = ("2016", "2025")


def probability(seed: int) -> np.ndarray:
    """Hills of probability as `predict` stores them, with a gap: float32 (H, W)."""
    rng = np.random.default_rng(seed)
    hills = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.5)
    values = np.round(1 / (1 + np.exp(-18 * hills)), PROBABILITY_DECIMALS).astype(np.float32)
    values[rng.integers(0, 500) :, : rng.integers(0, 10)] = np.nan
    return values


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Raster, Raster]:
    paths = [tmp_path_factory.mktemp("p") / f"{seed}.tif" for seed in (1, 2)]
    for seed, path in enumerate(paths, start=1):
        write_cog(path, probability(seed), GRID, CogProfile("float32", float("nan"), ("p",), {}))
    return open_raster(paths[0]), open_raster(paths[1])


def predicted(min_patch_ha: float) -> tuple[Mask, Mask]:
    """Classes of both dates as `predict` makes them."""
    first, second = (classified(probability(i + 1), THRESHOLDS[i]) for i in (0, 1))
    return sieved(first, GRID, min_patch_ha), sieved(second, GRID, min_patch_ha)


def changed(change: Change) -> np.ndarray:
    return np.asarray((change == NEW) | (change == GONE))


@pytest.mark.parametrize("min_patch_ha", [0.0, 0.2, 1.0])
def test_sieved_is_what_the_sieve_alone_changed(rasters: tuple[Raster, Raster], min_patch_ha: float) -> None:
    change = difference(*predicted(min_patch_ha))
    found = doubts(change, Grounds(0.5, 0.0, rasters, THRESHOLDS))
    raw = difference(*predicted(0))
    assert found is not None
    assert ((found == SIEVED) == (changed(change) & (change != raw))).all()
    assert (found == SIEVED).any() == (min_patch_ha > 0)


@given(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.77, 1.0]))
def test_doubtful_is_what_differs_too_little(rasters: tuple[Raster, Raster], limit: float) -> None:
    change = difference(*predicted(0.5))
    found = doubts(change, Grounds(limit, 0.0, rasters))
    towards = np.round((probability(2).astype(float) - probability(1)) * change, 6)
    assert found is not None
    assert ((found == DOUBTFUL) == (changed(change) & (towards < limit))).all()
    assert not (found == SIEVED).any()


def test_change_without_a_probability_is_doubtful(rasters: tuple[Raster, Raster]) -> None:
    before = np.zeros(SHAPE, np.uint8)
    change = difference(before, np.ones_like(before))
    found = doubts(change, Grounds(0.0, 0.0, rasters, THRESHOLDS))
    unknown = np.isnan(probability(1)) | np.isnan(probability(2))
    assert found is not None
    assert unknown.any()
    assert (found[unknown] == DOUBTFUL).all()
    assert (found[~unknown] != DOUBTFUL).all()


def test_nothing_speaks_against_what_did_not_change(rasters: tuple[Raster, Raster]) -> None:
    classes = predicted(0.5)[0]
    found = doubts(difference(classes, classes), Grounds(1.0, 0.0, rasters, THRESHOLDS))
    assert found is not None
    assert (found == NO_CHANGE).all()


def test_without_probabilities_nothing_is_doubtful_or_sieved(tmp_path: Path) -> None:
    grounds = Grounds(0.5, 1.3)
    assert doubts(difference(*predicted(0.5)), grounds) is None
    found = write_change(Run(tmp_path), YEARS, predicted(0.5), GRID, grounds).ledger
    assert found.new["firm"] > 0
    assert found.new["ring"] > 0
    assert found.new["doubtful"] == found.new["sieved"] == found.gone["doubtful"] == found.gone["sieved"] == 0
    assert "no probability rasters" in " ".join(grounds.notes)


def test_notes_tell_what_could_not_be_told(rasters: tuple[Raster, Raster]) -> None:
    assert "threshold of the classes is not known" in " ".join(Grounds(0.5, 0.0, rasters).notes)
    assert "1 px thick" in Grounds(0.5, None, rasters, THRESHOLDS).notes[0]
    assert "not known" in Grounds(0.5, None, rasters, THRESHOLDS).notes[0]
    assert "3 px thick" in Grounds(0.5, 1.4, rasters, THRESHOLDS).notes[0]
    assert "less than 0.3" in Grounds(0.3, 0.0, rasters, THRESHOLDS).notes[1]


def test_files_and_ledger_tell_the_same(rasters: tuple[Raster, Raster], tmp_path: Path) -> None:
    run, classes = Run(tmp_path), predicted(0.5)
    written = write_change(run, YEARS, classes, GRID, Grounds(0.5, 0.3, rasters, THRESHOLDS))
    change, found = written.change, written.ledger
    kind = read_classes(open_raster(run.path("change_kind.tif")))
    assert ((kind == IGNORE) == ((classes[0] == IGNORE) | (classes[1] == IGNORE))).all()
    assert (np.isin(kind, [1, 2, 3, 4]) == changed(change)).all()
    features = json.loads(run.path("change.geojson").read_text())["features"]
    assert all(shape(f["geometry"]).is_valid for f in features)
    told = [f["properties"] for f in features]
    assert sorted(t["id"] for t in told) == list(range(1, len(told) + 1))
    for side, value, book in (("new", NEW, found.new), ("gone", GONE, found.gone)):
        for number, name in enumerate(KINDS, start=1):
            chosen = (change == value) & (kind == number)
            mine = [t for t in told if (t["change"], t["kind"]) == (side, name)]
            assert len(mine) == ndimage.label(chosen, np.ones((3, 3)))[1]
            assert sum(t["hectares"] for t in mine) == pytest.approx(book[name], abs=6e-5 * max(len(mine), 1))
            assert book[name] == pytest.approx(hectares(chosen, GRID, 1))
    firm = [t for t in told if t["kind"] == "firm"]
    assert firm
    for t in firm:
        up = t["mean_probability_after"] - t["mean_probability_before"]
        assert (up if t["change"] == "new" else -up) >= 0.5 - 2e-4  # both are rounded


def test_mines_carry_hectares_and_mean_probability(rasters: tuple[Raster, Raster], tmp_path: Path) -> None:
    run, classes = Run(tmp_path), predicted(0.0)[0]
    write_mines(run, "2016", classes, GRID, rasters[0])
    told = [f["properties"] for f in json.loads(run.path("mines_2016.geojson").read_text())["features"]]
    assert sum(t["hectares"] for t in told) == pytest.approx(hectares(classes, GRID, MINE), abs=6e-5 * len(told))
    assert all(t["mean_probability"] >= THRESHOLDS[0] for t in told)
    assert {t["date"] for t in told} == {"2016"}
