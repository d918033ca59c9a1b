"""Where outlines lie: inside and outside add up in any CRS, also over the antimeridian and a pole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from minedetect.attributes import check_attributes
from minedetect.findings import MOST_NAMED, Check
from minedetect.labels import Labels, Outline, outline_zones
from minedetect.measure import polygon_hectares
from minedetect.outlines import Drawn, check_outlines, place

GRIDS = {
    "UTM": GeoBox((100, 120), Affine(30, 0, 500_000, 0, -30, 8_600_000), "EPSG:32735"),
    "degrees": GeoBox((100, 120), Affine(3e-4, 0, 27.8, 0, -3e-4, -12.5), "EPSG:4326"),
    "Web Mercator": GeoBox((100, 120), Affine(30, 0, 3_100_000, 0, -30, 6_600_000), "EPSG:3857"),
    "UTM over the antimeridian": GeoBox((100, 3200), Affine(200, 0, 180_000, 0, -200, 7_000_000), "EPSG:32601"),
    "degrees beyond 180": GeoBox((100, 120), Affine(3e-4, 0, 179.982, 0, -3e-4, -12.5), "EPSG:4326"),
    "degrees below -180": GeoBox((100, 120), Affine(3e-4, 0, -180.018, 0, -3e-4, -12.5), "EPSG:4326"),
    "over the South Pole": GeoBox((100, 120), Affine(30, 0, -1800, 0, -30, 1500), "EPSG:3031"),
}
CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])


def outline(grid: GeoBox, col: float, row: float, side_px: float, index: int = 1) -> Outline:
    """A square of pixels as it lies on the Earth: longitudes from -180 to 180, cut at the antimeridian."""
    x, y = np.array([grid.transform @ (c, r) for c, r in CORNERS * side_px + (col, row)]).T
    lon, lat = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    return Outline(index, "", "", "unknown", "", None, _within_one_turn(np.asarray(lon), np.asarray(lat)), 0.0)


def _within_one_turn(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> BaseGeometry:
    if np.ptp(lon) > 180:  # around a pole, or written with a jump: as it is
        return shapely.Polygon(np.column_stack([lon, lat]))
    unwound, world = shapely.Polygon(np.column_stack([lon, lat])), shapely.box(-180, -90, 180, 90)
    turns = [translate(unwound, turn) & world for turn in (-360, 0, 360)]
    return shapely.union_all([part for part in turns if part.area > 0])


def laid(grid: GeoBox, *outlines: Outline) -> tuple[Drawn, ...]:
    shape = tuple(grid.shape)
    return place(outlines, grid, np.zeros(shape, np.int32), np.ones(shape, bool))


def told(checks: list[Check], name: str) -> Check:
    (found,) = [c for c in checks if c.name == name]
    return found


@pytest.mark.parametrize("name", GRIDS)
def test_a_square_pushed_out_of_the_image_loses_what_lies_beyond(name: str) -> None:
    grid = GRIDS[name]
    rows, cols = grid.shape
    left = 834 if "UTM over" in name else cols / 2 - 10
    shares = []
    for row in (rows / 2 - 30, rows - 15, rows - 10, rows - 5, rows + 1, rows + 40):
        (drawn,) = laid(grid, outline(grid, left, row, 20))
        assert drawn.inside_ha + drawn.outside_ha == pytest.approx(drawn.hectares)
        assert drawn.inside_ha >= 0
        shares.append(drawn.outside_ha / drawn.hectares)
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1], abs=2e-3)


def test_an_outline_on_the_other_side_of_the_earth_is_outside_every_image() -> None:
    far = Outline(1, "", "", "unknown", "", None, shapely.box(100, 40, 100.1, 40.1), 0.0)
    for name, grid in GRIDS.items():
        (drawn,) = laid(grid, far)
        assert drawn.outside_ha == drawn.hectares, name
        assert "wholly beyond" in told(check_outlines((drawn,), grid)[0], "outside").message


squares = st.lists(
    st.tuples(st.floats(-20, 130), st.floats(-20, 110), st.floats(1, 40)), min_size=2, max_size=12, unique=True
)


@given(squares)
def test_shared_hectares_are_what_the_sum_has_too_much(places: list[tuple[float, float, float]]) -> None:
    grid = GRIDS["UTM"]
    outlines = [outline(grid, *where, index=n) for n, where in enumerate(places, start=1)]
    found = told(check_outlines(laid(grid, *outlines), grid)[0], "overlap")
    shapes = np.array([o.geometry for o in outlines], dtype=object)
    crossings = [a & b for n, a in enumerate(shapes) for b in shapes[n + 1 :]]
    shared_ha = polygon_hectares(shapely.union_all([c for c in crossings if c.area > 0]))
    if shared_ha > 0.02:
        assert float(found.message.split(" ha")[0].replace(",", "")) == pytest.approx(shared_ha, abs=0.02, rel=1e-3)
    elif shared_ha < 0.005:
        assert found.verdict == "ok"


@pytest.mark.parametrize("copies", [2, 5])
def test_doubles_are_told_once_and_are_no_overlap(copies: int) -> None:
    grid = GRIDS["UTM"]
    first = outline(grid, 10, 10, 20)
    turned = shapely.Polygon(np.roll(shapely.get_coordinates(first.geometry)[:-1], 2, axis=0)[::-1])
    outlines = [first, *(replace(first, index=n, geometry=turned) for n in range(2, copies + 1))]
    checks = check_outlines(laid(grid, *outlines), grid)[0]
    assert told(checks, "duplicates").message.startswith(f"{copies - 1} outline")
    assert told(checks, "overlap").verdict == "ok"


def test_many_outlines_are_checked() -> None:
    grid = GRIDS["UTM"]
    outlines = [outline(grid, c, r, 1.5, index=n) for n, (c, r) in enumerate(np.ndindex(40, 30), start=1)]
    found = told(check_outlines(laid(grid, *outlines), grid)[0], "overlap")
    beside, above, across = 40 * 29, 39 * 30, 2 * 39 * 29
    assert found.verdict == "warning"
    assert f" and {beside + above + across - MOST_NAMED:,} more" in found.message


def test_a_scene_is_as_well_covered_as_its_mask_says() -> None:
    grid = GRIDS["UTM"]
    outlines = (outline(grid, 10, 10, 30), outline(grid, 60, 80, 40, index=2))
    observed = np.ones((100, 120), bool)
    observed[:20] = False
    drawn = place(outlines, grid, outline_zones(Labels(Path("mines.geojson"), outlines), grid), observed)
    assert [d.mask_ha for d in drawn] == pytest.approx([d.inside_ha for d in drawn], rel=0.02)
    assert [d.unobserved_ha / d.mask_ha for d in drawn] == pytest.approx([1 / 3, 0], abs=0.02)


def claiming(factor: float | str, lat_deg: float = -12.0) -> list[Drawn]:
    """Five mines whose file claims their hectares times a factor, or their area in another CRS."""
    drawn = []
    for n in range(1, 6):
        shape = shapely.box(18, lat_deg + n / 10, 18 + n / 100, lat_deg + n / 10 + 0.01)
        area_ha = polygon_hectares(shape)
        there = gpd.GeoSeries([shape], crs="EPSG:4326").to_crs(factor).area[0] / 1e4 if isinstance(factor, str) else 0
        claim = there or area_ha * float(factor)
        made = Outline(n, "", "", "unknown", "", round(claim, 3), shape, 0.0)
        drawn.append(Drawn(made, shape, area_ha, area_ha, area_ha, 0.0))
    return drawn


@pytest.mark.parametrize(
    ("factor", "lat_deg", "words"),
    [
        (1e4, -12.0, "square metres"),
        (0.01, -12.0, "square kilometres"),
        (2.471, -12.0, "acres"),
        ("EPSG:3857", -12.0, "Web Mercator"),
        ("EPSG:3857", 60.0, "Web Mercator"),
        (1.35, -12.0, "1.35 times the hectares throughout"),
    ],
)
def test_a_mistake_common_to_all_claims_is_named(factor: float | str, lat_deg: float, words: str) -> None:
    found = told(check_attributes(claiming(factor, lat_deg)), "area_ha")
    assert found.verdict == "warning"
    assert words in found.message


@given(st.lists(st.floats(0.94, 1.06), min_size=5, max_size=5))
def test_claims_that_scatter_about_the_truth_agree(errors: list[float]) -> None:
    claims = claiming(1.0, lat_deg=45.0)
    off = [
        replace(d, outline=replace(d.outline, claimed_ha=d.hectares * e)) for d, e in zip(claims, errors, strict=True)
    ]
    assert told(check_attributes(off), "area_ha").verdict == "ok"
