"""The built-in district: an invented mining district, Copperbelt-like, whose hectares are known.

Every pixel gets a cover (woodland, field, pit, ...) on each date. A picture is the covers' five-band spectra
plus correlated variation: of whole objects, of structure (benches, roofs) and of texture at several scales.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.random import Generator
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio import features
from scipy import ndimage
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from minedetect.mines import draw_mines
from minedetect.terrain import (
    CROP,
    DEFAULT_SIZE_PX,
    F32,
    FRESH,
    GRASS,
    MAX_SIZE_PX,
    MIN_SIDE_PX,
    MIOMBO,
    STUBBLE,
    U8,
    WOOD,
    Ground,
    draw_works,
    smooth,
    wild_ground,
)

__all__ = ["BANDS", "DEFAULT_SIZE_PX", "MAX_SIZE_PX", "MIN_SIDE_PX", "PIXEL_DEG", "District", "make_district"]

BANDS: tuple[str, ...] = ("B2", "B3", "B4", "B8", "B11")
PIXEL_DEG, LON, LAT = 8.983e-5, 27.85, -12.52
PIXEL_M2 = (PIXEL_DEG * 110_637) * (PIXEL_DEG * 108_700)  # metres per degree on WGS 84 at LAT
NAMES = ("Kasombola North", "Mwapula", "Luansefu Hill", "Chibeka Pit", "Ndolela", "Sakanyi East", "Fwambila")
STATUSES = ("Active", "active", "acttive", None)


class _Cover(NamedTuple):
    """Median and standard deviation per band (reflectance x 10000), and shares of the variance, 0..1."""

    median: tuple[int, int, int, int, int]
    sd: tuple[int, int, int, int, int]
    of_object: float = 0.0  # one offset for the whole field, pit or pond
    of_structure: float = 0.0  # of the first component only: benches, roofs


# In the order of the codes. From measured Sentinel-2 surface reflectance; dry miombo is an estimate.
COVERS = (
    _Cover((287, 481, 264, 3051, 1552), (62, 96, 64, 517, 270)),
    _Cover((450, 700, 750, 2300, 2300), (110, 140, 150, 380, 380)),
    _Cover((555, 830, 854, 2499, 2390), (150, 180, 210, 430, 480)),
    _Cover((392, 691, 577, 3745, 1983), (90, 120, 150, 600, 320), 0.85),
    _Cover((1272, 1709, 2310, 2762, 3384), (496, 568, 730, 777, 885), 0.9),
    _Cover((860, 1200, 1460, 2560, 2900), (230, 270, 330, 420, 500), 0.85),
    _Cover((667, 876, 905, 426, 259), (90, 120, 140, 90, 60), 0.3),
    _Cover((1036, 1410, 1769, 2737, 2862), (420, 500, 580, 640, 760), 0.0, 0.75),
    _Cover((1272, 1709, 2310, 2762, 3384), (300, 340, 440, 470, 530), 0.4),
    _Cover((1272, 1785, 2120, 2803, 2811), (477, 561, 700, 816, 1119), 0.15, 0.62),
    _Cover((1009, 1136, 1324, 1640, 2389), (330, 390, 480, 560, 780), 0.15, 0.6),
    _Cover((862, 1448, 1443, 832, 469), (300, 440, 520, 420, 200), 0.7),
    _Cover((903, 1004, 1146, 894, 201), (250, 280, 320, 280, 70), 0.6),
)
# Correlation of the bands, upper triangle row by row. B11 loses some when it is coarsened to 20 m, so it starts
# higher than measured in mine ground (B8 with B11 0.79, B2 with B11 0.52).
SOIL = (0.94, 0.88, 0.70, 0.60, 0.94, 0.78, 0.69, 0.82, 0.78, 0.89)
PLANT = (0.85, 0.80, 0.15, 0.55, 0.80, 0.25, 0.55, 0.05, 0.60, 0.35)
# (cover, other cover, its part): the first date lies late in the dry season, the second just after the rains.
SEASONS = (
    ((WOOD, MIOMBO, 0.4), (CROP, GRASS, 0.2)),
    ((MIOMBO, WOOD, 0.6), (GRASS, CROP, 0.4), (STUBBLE, GRASS, 0.4)),
)


@dataclass(frozen=True)
class District:
    """Both pictures, both truths and the first date's outlines, all on one grid.

    Attributes:
        grid: H x W pixels of `PIXEL_DEG` degrees, EPSG:4326.
        before: (5, H, W) float32, reflectance 0..1, NaN is nodata.
        after: Likewise.
        truth_before: (H, W) uint8, 1 is mine.
        truth_after: Likewise.
        outlines: GeoJSON FeatureCollection, longitude and latitude in degrees.
    """

    grid: GeoBox
    before: F32
    after: F32
    truth_before: U8
    truth_after: U8
    outlines: dict[str, Any]


def make_district(size_px: tuple[int, int] = DEFAULT_SIZE_PX, seed: int = 0) -> District:
    """Make a district of two dates.

    Args:
        size_px: Rows and columns, from 192 x 192 to 5567 x 3230 pixels of about 10 m.
        seed: The same size and seed give the same arrays to the bit.

    Returns:
        Pictures (5, H, W) float32, reflectance 0..1, truths (H, W) uint8, and the first date's outlines.

    Raises:
        ValueError: The size is out of range.
    """
    rows, cols = size_px
    if min(size_px) < MIN_SIDE_PX or rows > MAX_SIZE_PX[0] or cols > MAX_SIZE_PX[1]:
        most = f"{MAX_SIZE_PX[0]} x {MAX_SIZE_PX[1]}"
        raise ValueError(f"size_px goes from {MIN_SIDE_PX} x {MIN_SIDE_PX} to {most}, got {rows} x {cols}")
    wild, mining, works, light, hand = np.random.default_rng([seed, rows, cols]).spawn(5)
    ground, river = wild_ground(wild, size_px)
    places = draw_mines(mining, ground, river)
    draw_works(works, ground, places, river)
    before, after = _paint(light, ground)
    truths = [(cover >= FRESH).astype(np.uint8) for cover in ground.covers]
    corner = Affine.translation(LON - cols / 2 * PIXEL_DEG, LAT + rows / 2 * PIXEL_DEG)
    grid = GeoBox(size_px, corner @ Affine.scale(PIXEL_DEG, -PIXEL_DEG), "EPSG:4326")
    return District(grid, before, after, truths[0], truths[1], _outlines(hand, truths[0], grid))


def _paint(rng: Generator, ground: Ground) -> tuple[F32, F32]:
    """(5, H, W) float32 reflectance of both dates, one component of the bands' covariance after another."""
    shape = ground.structure.shape
    palettes = [_palette(season) for season in SEASONS]
    images = [np.empty((len(BANDS), *shape), np.float32) for _ in palettes]
    for (median, _), image, cover in zip(palettes, images, ground.covers, strict=True):
        for band, plane in enumerate(image):
            plane[...] = median[:, band][cover]
    of_object, of_structure = (np.array(share, np.float32) for share in list(zip(*COVERS, strict=True))[2:])
    for k in range(len(BANDS)):
        lasting = 0.54 * smooth(rng, shape, 2) + 0.45 * smooth(rng, shape, 5)
        lasting += 0.36 * smooth(rng, shape, 20) + 0.27 * smooth(rng, shape, 90)
        offset = rng.standard_normal((ground.used + 1, 1), np.float32) * 0.9
        for (_, factor), image, cover in zip(palettes, images, ground.covers, strict=True):
            now = (offset + 0.43 * rng.standard_normal(offset.shape, np.float32)).clip(-1.8, 1.8)[:, 0]
            score = (lasting + 0.4 * smooth(rng, shape, 2)).clip(-2.6, 2.6)
            score *= np.sqrt(1 - of_object - (of_structure if k == 0 else 0))[cover]
            score += np.sqrt(of_object)[cover] * now[ground.objects]
            if k == 0:
                score += np.sqrt(of_structure)[cover] * ground.structure
            for band, plane in enumerate(image):
                plane += factor[:, band, k][cover] * score
    gain = 1 + rng.uniform(0.08, 0.12) + rng.uniform(-0.025, 0.025, len(BANDS))
    return _sense(images[0], np.ones(len(BANDS)), False), _sense(images[1], gain, True)


def _palette(season: tuple[tuple[int, int, float], ...]) -> tuple[F32, F32]:
    """(cover, band) float32 medians and (cover, band, component) factors of the covariance, reflectance."""
    median = np.array([cover.median for cover in COVERS], np.float64)
    for code, other, part in season:
        median[code] += part * (np.array(COVERS[other].median) - median[code])
    factors = []
    for code, cover in enumerate(COVERS):
        joint = np.eye(len(BANDS))
        joint[np.triu_indices(len(BANDS), 1)] = PLANT if code in (WOOD, MIOMBO, CROP) else SOIL
        values, vectors = np.linalg.eigh(np.maximum(joint, joint.T) * np.outer(cover.sd, cover.sd))
        factors.append((vectors * np.sqrt(values) * np.where(vectors.sum(0) < 0, -1, 1))[:, ::-1])
    return (median / 1e4).astype(np.float32), (np.array(factors) / 1e4).astype(np.float32)


def _sense(image: F32, gain: NDArray[np.float64], east: bool) -> F32:
    """Put blur, B11's 20 m pixels, the gain per band and nodata beyond the swath into `image` (5, H, W)."""
    _, rows, cols = image.shape
    for band, plane in zip(BANDS, image, strict=True):
        ndimage.gaussian_filter(plane, 1.0 if band == "B11" else 0.55, output=plane)
        if band == "B11":
            even = np.pad(plane, ((0, rows % 2), (0, cols % 2)), mode="edge")
            blocks = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
            plane[...] = blocks.repeat(2, 0).repeat(2, 1)[:rows, :cols]
    image *= gain.astype(np.float32)[:, None, None]
    np.maximum(image, np.float32(0.002), out=image)
    down = np.arange(rows)[:, None] / rows
    if east:
        image[:, np.arange(cols)[::-1] < 0.012 * cols * down] = np.nan
    else:
        image[:, np.arange(cols) < 0.012 * cols * (1 - down)] = np.nan
    return image


def _outlines(rng: Generator, truth: U8, grid: GeoBox) -> dict[str, Any]:
    """GeoJSON, CRS84: the mines of `truth` (H, W) as a person draws them, with one id used twice."""
    shapes = features.shapes(truth, truth == 1, connectivity=8)
    mines = [shapely.Polygon(mine["coordinates"][0]) for mine, _ in shapes]
    mines.sort(key=lambda mine: -mine.area)
    items = []
    for i, mine in enumerate(mines):
        drawn = affinity.affine_transform(_by_hand(rng, mine), grid.affine.to_shapely())
        properties = {
            "id": i + 1 if i < len(mines) - 1 else 1,
            "name": NAMES[i % len(NAMES)],
            "status": STATUSES[i % len(STATUSES)],
            "area_ha": round(float(mine.area) * PIXEL_M2 / 1e4),
        }
        geometry = shapely.geometry.mapping(drawn)
        items.append({"type": "Feature", "properties": properties, "geometry": geometry})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    return {"type": "FeatureCollection", "crs": crs, "features": items}


def _by_hand(rng: Generator, outline: shapely.Polygon) -> BaseGeometry:
    """The outline (pixels) with few and shaken corners, about the same area, and sure to be valid."""
    drawn: BaseGeometry = outline
    tolerance, overlap = 2.7, 0.0
    while overlap < 0.94 and tolerance > 0.5:
        corners = shapely.get_coordinates(outline.simplify(tolerance))[:-1]
        drawn = shapely.Polygon(corners + rng.normal(0, 0.45, corners.shape).clip(-1, 1)).buffer(0)
        drawn = drawn.buffer((outline.area - drawn.area) / drawn.length, join_style="mitre")
        overlap = drawn.intersection(outline).area / drawn.union(outline).area
        tolerance *= 0.85
    return drawn
