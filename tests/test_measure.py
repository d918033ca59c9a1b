"""Scores equal a count by hand, and hectares are true ground in any coordinate system."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from minedetect.errors import GridMismatch
from minedetect.grid import Window, crop
from minedetect.measure import (
    Counts,
    PixelArea,
    best_single_index,
    block_interval,
    count,
    hectares,
    pixel_hectares,
    polygon_hectares,
    zone_hectares,
)

GEOD = Geod(ellps="WGS84")
LATITUDES = (-12.5, 0.0, 45.0, 60.0, 78.0)
SYSTEMS = ("degrees", "UTM", "Web Mercator", "equal area", "US survey feet")


def system(name: str, lon: float, lat: float) -> str:
    """A coordinate system of each kind that is made for a place."""
    return {
        "degrees": "EPSG:4326",
        "UTM": f"EPSG:{(32_700 if lat < 0 else 32_600) + int((lon + 180) // 6) + 1}",
        "Web Mercator": "EPSG:3857",
        "equal area": "EPSG:6933",
        "US survey feet": f"+proj=tmerc +lat_0={lat} +lon_0={lon} +k=0.9999 +x_0=300000 +datum=WGS84 +units=us-ft",
    }[name]


def grid_around(crs: str, lon: float, lat: float, shape: tuple[int, int] = (300, 200)) -> GeoBox:
    """Pixels of about 10 m around a place."""
    to = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to.transform(lon, lat)
    east, _ = to.transform(lon + 1e-4, lat)
    size = abs(east - x) * 10 / (math.cos(math.radians(lat)) * 11.13)
    rows, cols = shape
    return GeoBox(shape, Affine(size, 0, x - size * cols / 2, 0, -size, y + size * rows / 2), crs)


def outline_hectares(grid: GeoBox, window: Window) -> float:
    """Geodesic area of a window's outline, its sides followed closely."""
    ring = shapely.segmentize(shapely.box(window.col, window.row, window.col_end, window.row_end), 1)
    x, y = grid.transform @ shapely.get_coordinates(ring).T
    lonlat = Transformer.from_crs(grid.crs.proj, "EPSG:4326", always_xy=True).transform(x, y)
    return abs(GEOD.polygon_area_perimeter(*lonlat)[0]) / 1e4


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("lat", LATITUDES)
def test_a_square_has_its_ground_area_in_any_crs(lat: float, name: str) -> None:
    grid = grid_around(system(name, 27.85, lat), 27.85, lat)
    square = Window(37, 21, 120, 120)
    classes = np.zeros(grid.shape, np.uint8)
    classes[square.slices] = 1
    assert hectares(classes, grid, 1) == pytest.approx(outline_hectares(grid, square), rel=1e-3)
    assert hectares(classes, grid, 0) + hectares(classes, grid, 1) == pytest.approx(
        outline_hectares(grid, Window(0, 0, *grid.shape)), rel=1e-3
    )


@pytest.mark.parametrize(
    ("crs", "lon", "lat"),
    [
        ("EPSG:2263", -73.97, 40.78),  # New York, US survey feet
        ("EPSG:2263", -71.9, 41.0),
        ("EPSG:3857", 27.85, 78.0),
        ("EPSG:32733", 18.0, -33.9),
        ("EPSG:32760", 179.9995, -16.5),  # over the antimeridian
        ("EPSG:3031", 45.0, -78.0),  # polar stereographic
        ("EPSG:3035", 10.0, 60.0),  # equal area, turned against north
    ],
)
def test_published_systems_have_true_hectares(crs: str, lon: float, lat: float) -> None:
    to = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to.transform(lon, lat)
    feet = 3.28 if crs == "EPSG:2263" else 1.0
    grid = GeoBox((300, 200), Affine(10 * feet, 0, x, 0, -10 * feet, y), crs)
    square = Window(37, 21, 120, 120)
    classes = np.zeros(grid.shape, np.uint8)
    classes[square.slices] = 1
    assert hectares(classes, grid, 1) == pytest.approx(outline_hectares(grid, square), rel=1e-3)


@pytest.mark.parametrize("lat", LATITUDES)
def test_the_middle_pixel_is_one_of_all(lat: float) -> None:
    grid = grid_around("EPSG:4326", 27.85, lat)
    everything = hectares(np.ones(grid.shape, np.uint8), grid, 1)
    assert pixel_hectares(grid) == pytest.approx(everything / (300 * 200), rel=1e-3)


@pytest.mark.parametrize("lat", LATITUDES)
def test_one_square_kilometre_is_100_ha_in_every_crs(lat: float) -> None:
    corners = [GEOD.fwd(27.85, lat, azimuth, 1000 / math.sqrt(2))[:2] for azimuth in (15, 105, 195, 285)]
    for name in SYSTEMS:
        crs = system(name, 27.85, lat)
        grid = grid_around(crs, 27.85, lat, (200, 140))
        ring = np.array([Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*c) for c in corners])
        part = shapely.segmentize(shapely.Polygon(ring), np.ptp(ring) / 50)
        cols, rows = (~grid.transform) @ shapely.get_coordinates(part).T
        share = cover(shapely.Polygon(np.column_stack([cols, rows])), grid.shape)
        area = PixelArea(grid).m2(Window(0, 0, *grid.shape))
        assert (share * area).sum() / 1e4 == pytest.approx(100, rel=1e-3), name


def cover(polygon: shapely.Polygon, shape: tuple[int, int]) -> np.ndarray:
    """Share of each pixel that a polygon in pixel coordinates covers: exact, (H, W)."""
    row, col = np.indices(shape)
    pixels = shapely.box(col, row, col + 1, row + 1)
    near = shapely.intersects(pixels, polygon)
    share = np.zeros(shape)
    share[near] = shapely.area(shapely.intersection(pixels[near], polygon))
    return share


@pytest.mark.parametrize("name", SYSTEMS)
def test_parts_of_a_raster_add_up_to_the_whole(name: str) -> None:
    grid = grid_around(system(name, 27.85, 45), 27.85, 45)
    total = PixelArea(grid).m2(Window(0, 0, 300, 200))
    assert (total > 0).all()
    parts = [Window(0, 0, 130, 200), Window(130, 0, 170, 77), Window(130, 77, 170, 123)]
    assert sum(PixelArea(grid).m2(p).sum() for p in parts) == pytest.approx(total.sum(), rel=1e-12)
    alone = [PixelArea(crop(grid, p)).m2(Window(0, 0, p.height, p.width)) for p in parts]
    assert sum(a.sum() for a in alone) == pytest.approx(total.sum(), rel=1e-6)
    assert alone[2] == pytest.approx(total[parts[2].slices], rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2)])
def test_the_smallest_rasters_have_an_area(shape: tuple[int, int]) -> None:
    grid = grid_around("EPSG:4326", 27.85, -12.5, shape)
    expected = outline_hectares(grid, Window(0, 0, *shape))
    assert hectares(np.ones(shape, np.uint8), grid, 1) == pytest.approx(expected, rel=1e-3)


def test_the_reference_pixel_is_97_m2() -> None:
    grid = GeoBox((5567, 3230), Affine(8.983e-5, 0, 27.69, 0, -8.983e-5, -12.32), "EPSG:4326")
    assert PixelArea(grid).m2(Window(2783, 1615, 1, 1))[0, 0] == pytest.approx(97.04, rel=1e-3)


def test_zones_are_measured_apart_and_others_left_out() -> None:
    grid = grid_around("EPSG:32735", 27.85, -12.5)
    zones = np.random.default_rng(0).integers(-1, 5, grid.shape)
    area = PixelArea(grid).m2(Window(0, 0, *grid.shape)) / 1e4
    assert zone_hectares(zones, grid, 4) == pytest.approx([area[zones == zone].sum() for zone in range(4)])


def test_area_needs_the_grid_of_the_pixels() -> None:
    grid = grid_around("EPSG:32735", 27.85, -12.5)
    with pytest.raises(GridMismatch):
        hectares(np.ones((300, 201), np.uint8), grid, 1)
    with pytest.raises(GridMismatch):
        PixelArea(GeoBox((2, 2), Affine.scale(1), None))


@pytest.mark.parametrize(("crs", "x", "y"), [("EPSG:6933", -1e8, 1e8), ("EPSG:4326", 5e5, 8.6e6)])
def test_pixels_off_the_earth_are_refused(crs: str, x: float, y: float) -> None:
    with pytest.raises(GridMismatch, match="outside"):
        PixelArea(GeoBox((300, 300), Affine(10, 0, x, 0, -10, y), crs))


RING = [(27.0, -12.0), (27.1, -12.0), (27.1, -11.9), (27.0, -11.9)]
INNER = [(27.02, -11.98), (27.08, -11.98), (27.08, -11.92), (27.02, -11.92)]


def test_a_hole_counts_for_nothing_whichever_way_it_is_drawn() -> None:
    expected = polygon_hectares(shapely.Polygon(RING)) - polygon_hectares(shapely.Polygon(INNER))
    for shell in (RING, RING[::-1]):
        for hole in (INNER, INNER[::-1]):
            assert polygon_hectares(shapely.Polygon(shell, [hole])) == pytest.approx(expected)


def test_parts_add_up_whichever_way_they_are_drawn() -> None:
    far = [(x + 1, y) for x, y in RING]
    parts = shapely.MultiPolygon([shapely.Polygon(RING), shapely.Polygon(far[::-1])])
    assert polygon_hectares(parts) == pytest.approx(2 * polygon_hectares(shapely.Polygon(RING)))


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0, 1, 255])), max_size=60))
def test_scores_equal_a_count_by_hand(pairs: list[tuple[int, int]]) -> None:
    known = [(p, label) for p, label in pairs if label != 255]
    tp, fp = known.count((1, 1)), known.count((1, 0))
    fn, tn = known.count((0, 1)), known.count((0, 0))
    predicted, labels = (np.array([pair[i] for pair in pairs], np.uint8) for i in (0, 1))
    counts = count(predicted, labels)
    assert counts == Counts(tp, fp, fn, tn)
    assert counts.pixels == len(known)
    for score, part, of in (
        (counts.iou, tp, tp + fp + fn),
        (counts.dice, 2 * tp, 2 * tp + fp + fn),
        (counts.precision, tp, tp + fp),
        (counts.recall, tp, tp + fn),
    ):
        assert score == pytest.approx(part / of if of else math.nan, nan_ok=True)


def test_scores_of_parts_are_pooled_not_averaged() -> None:
    empty, good, bad = Counts(tn=100), Counts(tp=9, fp=1), Counts(fn=10)
    assert (empty + good + bad).iou == pytest.approx(9 / 20)
    assert (good + empty).iou == good.iou
    assert block_interval([*[good] * 12, *[empty] * 30], seed=0) == pytest.approx((good.iou, good.iou))


def blocks(with_mines: int, without: int) -> list[Counts]:
    rng = np.random.default_rng(0)
    mined = [Counts(*(int(v) for v in rng.integers(1, 50, 4))) for _ in range(with_mines)]
    return [*mined, *[Counts(fp=2, tn=50)] * without]


@pytest.mark.parametrize(("with_mines", "without"), [(0, 0), (9, 0), (9, 30), (0, 30)])
def test_few_blocks_give_no_interval(with_mines: int, without: int) -> None:
    assert block_interval(blocks(with_mines, without), seed=0) is None


def test_an_interval_holds_the_pooled_score_and_repeats() -> None:
    for parts in (blocks(10, 0), blocks(40, 10)):
        interval = block_interval(parts, seed=0)
        assert interval is not None
        low, high = interval
        assert 0 <= low < sum(parts, Counts()).iou < high <= 1
        assert block_interval(parts, seed=0) == interval
    assert block_interval([Counts(tp=5, fp=5)] * 12, seed=0) == pytest.approx((0.5, 0.5))


def planted(name: str, above: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (3, N) whose labels are one index over, or under, a threshold."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0.05, 0.6, (3, 20_000)).astype(np.float32)
    value = {
        "B4": pixels[1],
        "brightness": pixels.mean(axis=0),
        "(B2-B11)/(B2+B11)": (pixels[0] - pixels[2]) / (pixels[0] + pixels[2]),
    }[name]
    cut = np.quantile(value, 0.9 if above else 0.1)
    return pixels, (value >= cut if above else value < cut).astype(np.uint8)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("name", ["B4", "brightness", "(B2-B11)/(B2+B11)"])
def test_a_planted_index_is_found(name: str, above: bool) -> None:
    pixels, labels = planted(name, above)
    best = best_single_index(pixels, labels, ("B2", "B4", "B11"))
    assert (best.name, best.above) == (name, above)
    assert best.iou > 0.95


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("rare", [100, 10, 1])
def test_rare_mines_are_found_as_well_as_common_ones(rare: int, above: bool) -> None:
    """A search over quantiles of all pixels alone would step over them, and a poor rule flatter the network."""
    values = np.random.default_rng(0).permutation(100_000).astype(np.float32)[None] + 1
    labels = values[0] > 100_000 - rare if above else values[0] <= rare
    assert best_single_index(values, labels, ("B4",)).iou == pytest.approx(1)


def test_a_weight_stands_for_that_many_pixels() -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.uniform(0.1, 0.6, (2, 3000)).astype(np.float32), rng.random(3000) < 0.2
    pixels[0] += 0.2 * labels
    times = rng.integers(1, 5, 3000)
    weighted = best_single_index(pixels, labels, ("B4", "B8"), times.astype(float))
    repeated = best_single_index(np.repeat(pixels, times, axis=1), np.repeat(labels, times), ("B4", "B8"))
    assert (weighted.name, weighted.above) == (repeated.name, repeated.above)
    assert weighted.iou == pytest.approx(repeated.iou, abs=0.01)


@given(st.integers(0, 10_000))
def test_the_best_rule_is_at_least_as_good_as_calling_everything_mine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels, labels = rng.uniform(0.1, 0.6, (2, 500)).astype(np.float32), rng.random(500) < 0.1
    assert best_single_index(pixels, labels, ("B4", "B8")).iou >= labels.mean() - 1e-12


def test_draws_without_label_and_prediction_have_no_iou() -> None:
    interval = block_interval([*[Counts(tp=1)] * 10, *[Counts(tn=9)] * 200], seed=0)
    assert interval == (1, 1)


def test_without_mines_no_index_scores() -> None:
    pixels, labels = planted("B4", True)
    assert best_single_index(pixels, np.zeros_like(labels), ("B2", "B4", "B11")).iou == 0
