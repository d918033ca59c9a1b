"""The pictures a sample is interpreted from: one point on both dates, side by side and stretched alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox

from minedetect.band_names import name_bands
from minedetect.bands import Reading, reading_of
from minedetect.errors import MinedetectError, RunError
from minedetect.figures import DPI, Rgb, Stretch, plain, save, scale_bar, shown_bands
from minedetect.files import sha256_of
from minedetect.grid import Window, crop, whole
from minedetect.raster import Float, Raster, open_raster
from minedetect.runs import CONFIG, QUALITY, Run
from minedetect.tiff import UNLIMITED

SIDE_PX, CLOSE_PX = 81, 11
"""Odd, so that the point is the pixel in the middle."""
STRETCH_PX = 900


@dataclass(frozen=True)
class Image:
    """One date as it is shown.

    Args:
        raster: on the grid of the change map.
        reading: of red, green and blue.
    """

    raster: Raster
    reading: Reading

    def around(self, row: int, col: int) -> Float:
        """Red, green and blue around a pixel: float32 (3, SIDE_PX, SIDE_PX), NaN beyond the image."""
        half = SIDE_PX // 2
        wanted = Window(row - half, col - half, SIDE_PX, SIDE_PX)
        shown = np.full((3, SIDE_PX, SIDE_PX), np.nan, np.float32)
        there = wanted.intersection(whole(self.raster.shape))
        if there is not None:
            inner = there.shifted(-wanted.row, -wanted.col)
            shown[:, inner.rows, inner.cols] = self.reading.read(self.raster, there)
        return shown


@dataclass(frozen=True)
class Chips:
    """Both dates of a run, ready to be shown point by point."""

    images: tuple[Image, Image]
    stretch: Stretch
    years: tuple[str, str]

    def draw(self, path: Path, title: str, row: int, col: int) -> None:
        """Write the picture of one point: each date, and its middle enlarged in a corner."""
        figure = Figure(figsize=(10, 5.3), dpi=DPI)
        for number, (image, year) in enumerate(zip(self.images, self.years, strict=True)):
            left = 0.01 + 0.495 * number
            figure.text(left, 0.95, plain(f"{title}, {year}"), fontsize=11)
            rgb = self.stretch(image.around(row, col))
            ax = _panel(figure, (left, 0.01, 0.485, 0.92), rgb)
            scale_bar(ax, _ground(image.raster.grid, row, col), (SIDE_PX, SIDE_PX))
            _point_at(ax, SIDE_PX, away_px=2.5, long_px=5)
            middle = slice(SIDE_PX // 2 - CLOSE_PX // 2, SIDE_PX // 2 + CLOSE_PX // 2 + 1)
            close = _panel(figure, (left + 0.333, 0.641, 0.15, 0.285), rgb[middle, middle])
            _point_at(close, CLOSE_PX, away_px=0.6, long_px=1.4)
        save(figure, path)


def _panel(figure: Figure, place: tuple[float, float, float, float], rgb: Rgb) -> Axes:
    ax = figure.add_axes(place)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.imshow(rgb, interpolation="nearest")
    return ax


def _point_at(ax: Axes, side_px: int, away_px: float, long_px: float) -> None:
    """Four ticks that lead the eye to the middle pixel and leave it free."""
    middle = side_px // 2
    for colour, width in (("black", 3.0), ("white", 1.4)):
        for near, far in ((-away_px, -away_px - long_px), (away_px, away_px + long_px)):
            ends = [middle + near, middle + far]
            ax.plot(ends, [middle, middle], color=colour, linewidth=width)
            ax.plot([middle, middle], ends, color=colour, linewidth=width)


def _ground(grid: GeoBox, row: int, col: int) -> GeoBox:
    """The grid of a chip; of the nearest one that lies inside where it reaches over the edge."""
    side = [min(SIDE_PX, length) for length in grid.shape]
    start = [min(max(at - SIDE_PX // 2, 0), n - s) for at, n, s in zip((row, col), grid.shape, side, strict=True)]
    return crop(grid, Window(start[0], start[1], side[0], side[1]))


@dataclass(frozen=True)
class _Asked:
    """One image as a run was asked to read it."""

    path: Path
    bands: str
    offset: float


def open_chips(run: Run, grid: GeoBox, years: tuple[str, str]) -> tuple[Chips | None, str]:
    """The images of a run, if they are still what the run read.

    Args:
        run: whose `config.json` names them.
        grid: of the change map.
        years: labels of the dates.

    Returns:
        The chips, or None and the sentence that says why there are none.
    """
    try:
        asked, hashes = _asked(run)
        first, second = (_image(run, image, hashes, grid) for image in asked)
        rows_px, cols_px = _moved_px(run)
        if rows_px or cols_px:
            second = Image(second.raster.moved(rows_px, cols_px), second.reading)
        stretch = Stretch.of(first.reading.sample(first.raster, STRETCH_PX))
        return Chips((first, second), stretch, years), ""
    except MinedetectError as error:
        return None, f"No chips were made. {error}"


def _asked(run: Run) -> tuple[tuple[_Asked, _Asked], set[str]]:
    """Both images as `config.json` names them, and the hashes of all that the run read."""
    content = run.read_json(CONFIG)
    try:
        request, settings = content["request"], content["settings"]
        bands, offsets = str(settings.get("bands", "")), ("reflectance_offset", "reflectance_offset_after")
        before, after = (
            _Asked(Path(request[role]), bands, float(settings.get(offset, 0)))
            for role, offset in zip(("before", "after"), offsets, strict=True)
        )
        return (before, after), {str(found["sha256"]) for found in content["inputs"].values()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run.path(CONFIG)} does not say which images were compared.") from error


def _image(run: Run, asked: _Asked, hashes: set[str], grid: GeoBox) -> Image:
    """An image where it was, or among the run's own inputs where the folder moved; the very one that the run read."""
    path = next((p for p in (asked.path, run.path("inputs") / asked.path.name) if p.is_file()), None)
    if path is None:
        raise RunError(f"The image {asked.path} is gone. Put it back and draw the sample again to get them.")
    if sha256_of(path) not in hashes:
        raise RunError(f"The image {path} is another one by now than the run read.")
    raster = open_raster(path, UNLIMITED).onto(grid)
    names = name_bands(raster, asked.bands)
    return Image(raster, reading_of(raster, names, names, asked.offset).only(shown_bands(names)))


def _moved_px(run: Run) -> tuple[float, float]:
    """By how many rows and columns the run moved the second date back."""
    quality = run.read_json(QUALITY) if run.has(QUALITY) else {}
    if "pair_corrected" not in quality:
        return 0.0, 0.0
    try:
        shift = quality["pair"]["shift"]
        return float(shift["rows_px"]), float(shift["cols_px"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run.path(QUALITY)} does not say how far the second date was moved.") from error
