"""Patches are the mask again: same hectares, same pixels, valid polygons."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import scipy.ndimage
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import shape

from minedetect.measure import hectares, polygon_hectares
from minedetect.patches import feature_collection, patches_of

GRIDS = {
    "UTM": GeoBox((30, 40), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735"),
    "degrees": GeoBox((30, 40), Affine(8.983e-5, 0, 27.8, 0, -8.983e-5, -12.5), "EPSG:4326"),
}


def random_mask(seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random((30, 40)) < share


@pytest.mark.parametrize("name", GRIDS)
@given(st.integers(0, 99), st.sampled_from([0.02, 0.1, 0.3, 0.6, 1.0]))
def test_patches_are_the_mask_again(name: str, seed: int, share: float) -> None:
    grid, chosen = GRIDS[name], random_mask(seed, share)
    patches = patches_of(chosen, grid)
    assert patches.hectares.sum() == pytest.approx(hectares(chosen, grid, 1))
    assert (patches.zones > 0).tolist() == chosen.tolist()
    assert len(patches.geometries) == len(patches.hectares) == patches.zones.max()
    assert all(g.is_valid and not g.is_empty for g in patches.geometries)
    back = gpd.GeoSeries(patches.geometries, crs="EPSG:4326").to_crs(str(grid.crs))
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


def test_geojson_holds_the_patches_to_a_centimetre() -> None:
    patches = patches_of(random_mask(3, 0.4), GRIDS["UTM"])
    told = [{"hectares": round(float(ha), 2)} for ha in patches.hectares]
    content = json.loads(json.dumps(feature_collection(patches.geometries, told)))
    for feature, geometry, properties in zip(content["features"], patches.geometries, told, strict=True):
        written = shape(feature["geometry"])
        assert feature["properties"] == properties
        assert written.is_valid
        assert written.hausdorff_distance(geometry) < 2e-7
        assert -180 <= written.bounds[0] <= written.bounds[2] <= 180


def test_each_geometry_needs_its_properties() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        feature_collection(patches_of(random_mask(0, 0.1), GRIDS["UTM"]).geometries, [])
