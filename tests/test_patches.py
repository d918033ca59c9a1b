"""Patches are the mask again: same hectares, same pixels, valid polygons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import scipy.ndimage
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import shape

from minedetect.errors import BadInput
from minedetect.measure import hectares, polygon_hectares
from minedetect.patches import feature_collection, mean_of, patches_of, write_features

GRIDS = {
    "UTM": GeoBox((30, 40), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735"),
    "across the antimeridian": GeoBox((30, 40), Affine(10, 0, 819_630, 0, -10, 8_120_000), "EPSG:32760"),
    "US survey feet": GeoBox((30, 40), Affine(33, 0, 980_000, 0, -33, 200_000), "EPSG:2263"),
    "degrees": GeoBox((30, 40), Affine(8.983e-5, 0, 27.8, 0, -8.983e-5, -12.5), "EPSG:4326"),
}


HOSTILE = '</script><img src=x onerror=alert(1)> "quoted" \u2028'


def random_mask(seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random((30, 40)) < share


@pytest.mark.parametrize("name", GRIDS)
@settings(max_examples=10)
@given(st.integers(0, 99), st.sampled_from([0.02, 0.1, 0.3, 0.6, 1.0]))
def test_patches_are_the_mask_again(name: str, seed: int, share: float) -> None:
    grid, chosen = GRIDS[name], random_mask(seed, share)
    patches = patches_of(chosen, grid)
    assert patches.hectares.sum() == pytest.approx(hectares(chosen, grid, 1))
    assert (patches.zones > 0).tolist() == chosen.tolist()
    assert len(patches.geometries) == len(patches.hectares) == patches.zones.max()
    assert all(g.is_valid and not g.is_empty for g in patches.geometries)
    written = [
        shape(f["geometry"]) for f in feature_collection(patches.geometries, [{}] * len(patches.values))["features"]
    ]
    assert all(g.is_valid and not g.is_empty for g in written)
    back = gpd.GeoSeries(written, crs="EPSG:4326").to_crs(str(grid.crs))
    numbered = [(g, n) for n, g in enumerate(back, start=1)]
    painted = (
        rasterio.features.rasterize(numbered, out_shape=(30, 40), transform=grid.transform)
        if numbered
        else np.zeros((30, 40))
    )
    assert (painted == patches.zones).all()


def test_pixels_that_touch_at_a_corner_are_one_patch() -> None:
    chosen = np.eye(30, 40, dtype=bool)
    patches = patches_of(chosen, GRIDS["UTM"])
    assert len(patches.hectares) == 1
    assert scipy.ndimage.label(chosen)[1] == 30


def test_polygons_and_pixels_agree_in_hectares() -> None:
    chosen = np.zeros((30, 40), bool)
    chosen[5:25, 5:30] = True
    chosen[10:15, 10:20] = False
    patches = patches_of(chosen, GRIDS["UTM"])
    (outline,) = patches.geometries
    assert polygon_hectares(shapely.orient_polygons(outline)) == pytest.approx(patches.hectares[0], rel=1e-4)


def test_no_pixels_no_patches() -> None:
    patches = patches_of(np.zeros((30, 40), bool), GRIDS["UTM"])
    assert patches.geometries == ()
    assert patches.hectares.shape == (0,)
    assert not patches.zones.any()
    assert feature_collection((), []) == {"type": "FeatureCollection", "features": []}


@settings(max_examples=8)
@given(st.integers(0, 99), st.sampled_from([0.1, 0.3, 0.6]))
def test_patches_of_several_values_are_those_of_each(seed: int, share: float) -> None:
    values = np.where(random_mask(seed, share), np.random.default_rng(seed).integers(1, 5, (30, 40)), 0)
    together = patches_of(values.astype(np.uint8), GRIDS["UTM"])
    for value in range(1, 5):
        alone = patches_of(values == value, GRIDS["UTM"])
        mine = np.flatnonzero(together.values == value)
        assert together.hectares[mine] == pytest.approx(alone.hectares)
        assert (np.isin(together.zones, mine + 1) == (values == value)).all()


def discs() -> np.ndarray:
    row, col = np.indices((400, 500))
    chosen = (np.hypot(row - 150, col - 160) < 90) & (np.hypot(row - 150, col - 160) > 40)
    return chosen | (np.abs(row - 300 - 0.3 * col) < 12) | (np.hypot(row - 60, col - 420) < 4)


def test_outlines_are_light_and_keep_their_hectares() -> None:
    grid = GeoBox((400, 500), Affine(8.983e-5, 0, 27.8, 0, -8.983e-5, -12.5), "EPSG:4326")
    patches = patches_of(discs(), grid)
    for outline, area_ha in zip(patches.geometries, patches.hectares, strict=True):
        assert polygon_hectares(outline) == pytest.approx(area_ha, rel=0.006)
    stairs = [shape(g) for g, _ in rasterio.features.shapes(patches.zones, mask=patches.zones > 0, connectivity=8)]
    corners = shapely.get_num_coordinates(patches.geometries).sum()
    assert corners < 0.75 * shapely.get_num_coordinates(stairs).sum()


def test_geojson_holds_the_patches_to_a_centimetre(tmp_path: Path) -> None:
    patches = patches_of(random_mask(3, 0.4), GRIDS["UTM"])
    told = [{"hectares": round(float(ha), 2), "date": HOSTILE} for ha in patches.hectares]
    path = tmp_path / "patches.geojson"
    write_features(path, zip(patches.geometries, told, strict=True))
    assert json.loads(path.read_text()) == json.loads(json.dumps(feature_collection(patches.geometries, told)))
    for feature, geometry in zip(json.loads(path.read_text())["features"], patches.geometries, strict=True):
        written = shape(feature["geometry"])
        assert feature["properties"]["date"] == HOSTILE
        assert written.is_valid
        assert written.hausdorff_distance(geometry) < 2e-7
        assert -180 <= written.bounds[0] <= written.bounds[2] <= 180
        assert (np.round(shapely.get_coordinates(written), 7) == shapely.get_coordinates(written)).all()


def test_features_go_to_disk_one_by_one(tmp_path: Path) -> None:
    """A feature is on its way to the file before the next one is asked for, and a stop leaves no half file."""
    geometry, path = shapely.box(27, -12, 27.1, -11.9), tmp_path / "many.geojson"

    def features() -> Iterator[tuple[shapely.Polygon, dict[str, int]]]:
        for number in range(2000):
            yield geometry, {"id": number}
        (growing,) = tmp_path.iterdir()
        assert growing.stat().st_size > 100_000
        raise InterruptedError("stopped")

    with pytest.raises(BadInput, match="stopped"):
        write_features(path, features())
    assert not list(tmp_path.iterdir())


def test_no_feature_is_a_collection_too(tmp_path: Path) -> None:
    write_features(tmp_path / "none.geojson", ())
    assert json.loads((tmp_path / "none.geojson").read_text()) == feature_collection((), [])


def test_means_are_those_of_the_known_pixels() -> None:
    values = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    values[random_mask(1, 0.3)] = np.nan
    chosen = random_mask(2, 0.3)
    chosen[:3, :3], values[:3, :3] = False, np.nan
    chosen[0, 0] = True  # a patch of which nothing is known
    patches = patches_of(chosen, GRIDS["UTM"])
    for number, mean in enumerate(mean_of([values], patches), start=1):
        known = values[(patches.zones == number) & ~np.isnan(values)]
        assert mean == (pytest.approx(known.mean(), abs=1e-4) if known.size else None)


def test_each_geometry_needs_its_properties() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        feature_collection(patches_of(random_mask(0, 0.1), GRIDS["UTM"]).geometries, [])
