from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from conftest import WriteTiff
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect import runs
from minedetect.figures import Stretch
from minedetect.map_layers import MOST_CORNERS, MOST_OUTLINES, UNSEEN, display_bytes, write_outlines, write_thresholds
from minedetect.measure import hectares
from minedetect.raster import open_raster
from minedetect.runs import Run

GRID = GeoBox((40, 50), Affine(0.0001, 0, 27.8, 0, -0.0001, -12.5), "EPSG:4326")


@pytest.mark.parametrize("percent", [1, 29, 50, 58, 99])
def test_the_table_says_what_a_threshold_would_give(tmp_path: Path, write_tiff: WriteTiff, percent: int) -> None:
    rng = np.random.default_rng(percent)
    dates = [rng.choice([0, 0.29, 0.5, 0.58, 0.995, np.nan], GRID.shape).astype(np.float32) for _ in range(2)]
    rasters = [open_raster(write_tiff(date, GRID, f"{number}.tif", nodata=np.nan)) for number, date in enumerate(dates)]
    table = write_thresholds(Run(tmp_path), ("2016", "2025"), (rasters[0], rasters[1]), 0.42)
    assert {"run_id": tmp_path.name, **table} == Run(tmp_path).read_json(runs.THRESHOLD_HECTARES)
    both = ~np.isnan(dates[0]) & ~np.isnan(dates[1])
    for year, date in zip(("2016", "2025"), dates, strict=True):
        mine = both & (date >= np.float32(percent / 100))
        assert table["hectares"][year][percent - 1] == pytest.approx(hectares(mine, GRID, 1), abs=0.006)
        assert table["hectares"][year] == sorted(table["hectares"][year], reverse=True)


@given(arrays.arrays(np.float32, (3, 4, 5), elements=st.floats(-2, 3, width=32) | st.just(np.nan)))
def test_only_what_was_not_observed_is_clear_in_a_preview(pixels: npt.NDArray[np.float32]) -> None:
    stretch = Stretch(np.zeros(3, np.float32), np.ones(3, np.float32))
    shown = display_bytes(stretch, pixels)
    assert np.array_equal((shown == UNSEEN).all(axis=0), np.isnan(pixels).any(axis=0))
    assert np.array_equal((shown == UNSEEN).any(axis=0), np.isnan(pixels).any(axis=0))


def test_both_dates_are_stretched_alike() -> None:
    stretch = Stretch(np.zeros(3, np.float32), np.ones(3, np.float32))
    dark, bright = (display_bytes(stretch, np.full((3, 2, 2), value, np.float32)) for value in (0.2, 0.6))
    assert (dark < bright).all()


@pytest.mark.parametrize(("count", "corners"), [(MOST_OUTLINES + 5, 4), (22, MOST_CORNERS // 20)])
def test_the_largest_outlines_are_kept_and_all_are_counted(tmp_path: Path, count: int, corners: int) -> None:
    run = Run(tmp_path)
    angles = np.linspace(0, 2 * np.pi, corners)
    ring = [[float(x), float(y)] for x, y in zip(np.cos(angles), np.sin(angles), strict=True)]
    ring[-1] = ring[0]
    for year in ("2016", "2025"):
        features = [
            {
                "type": "Feature",
                "properties": {"id": n, "hectares": float(n)},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
            for n in range(count)
        ]
        run.write_json(runs.mines_name(year), {"type": "FeatureCollection", "features": features})
    write_outlines(run, ("2016", "2025"))
    found = run.read_json(runs.outlines_name("2025"))
    drawn = [one["properties"]["id"] for one in found["features"]]
    assert found["total"] == count
    assert 0 < len(drawn) < count
    assert drawn == list(range(count - 1, count - 1 - len(drawn), -1))
    assert len(drawn) <= MOST_OUTLINES
    assert len(drawn) * corners <= MOST_CORNERS
