"""Ground that several predictions show counts once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect.cog import CogProfile, write_cog
from minedetect.coverage import covered, earlier_overlaps
from minedetect.measure import hectares
from minedetect.raster import IGNORE, MINE

WHOLE = GeoBox.from_bbox((500_000, 8_600_000, 500_700, 8_600_600), "EPSG:32735", resolution=10)


def written(folder: Path, name: str, classes: np.ndarray, grid: GeoBox) -> Path:
    write_cog(folder / name, classes, grid, CogProfile("uint8", IGNORE, ("mine",), {}))
    return folder / name


@settings(max_examples=8)
@given(st.integers(0, 2**31), st.integers(0, 39), st.integers(0, 49), st.integers(10, 20))
def test_parts_of_one_ground_add_up_to_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, row: int, col: int, size: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    truth = np.random.default_rng(seed).integers(0, 2, WHOLE.shape).astype(np.uint8)
    second = (slice(row, row + size), slice(col, col + size))
    views = [((slice(0, 40), slice(0, 45)),), (second,)]
    paths = [written(folder, f"{n}.tif", truth[where], WHOLE[where]) for n, (where,) in enumerate(views)]
    shown = np.zeros(WHOLE.shape, np.bool_)
    for (where,) in views:
        shown[where] = True
    counted = [covered(paths[0]), covered(paths[1], paths[:1])]
    assert sum(c.own_mine_ha for c in counted) == pytest.approx(hectares((truth == MINE) & shown, WHOLE, 1), rel=1e-6)
    assert sum(c.own_observed_ha for c in counted) == pytest.approx(hectares(shown, WHOLE, 1), rel=1e-6)


def test_what_an_earlier_scene_did_not_observe_is_not_taken_from_a_later_one(tmp_path: Path) -> None:
    mine = np.full((60, 70), MINE, np.uint8)
    clouded = mine.copy()
    clouded[:, :30] = IGNORE
    first, second = (written(tmp_path, f"{n}.tif", c, WHOLE) for n, c in enumerate((clouded, mine)))
    found = covered(second, [first])
    assert found.own_mine_ha == pytest.approx(hectares(clouded == IGNORE, WHOLE, 1), rel=1e-9)
    assert found.mine_ha == pytest.approx(42.0, rel=0.01)  # 600 m x 700 m


def test_another_coordinate_system_shares_the_ground_to_half_a_pixel(tmp_path: Path) -> None:
    degrees = GeoBox.from_bbox(WHOLE.extent.to_crs("EPSG:4326").boundingbox, "EPSG:4326", shape=(60, 70))
    mine = np.full((60, 70), MINE, np.uint8)
    first, second = written(tmp_path, "a.tif", mine, WHOLE), written(tmp_path, "b.tif", mine, degrees)
    found = covered(second, [first])
    assert found.own_mine_ha < 0.03 * found.mine_ha


def test_overlaps_are_those_with_scenes_before() -> None:
    grids = [WHOLE[0:30, 0:30], WHOLE[0:30, 40:70], WHOLE[20:60, 20:60]]
    assert earlier_overlaps(grids) == [[], [], [0, 1]]
