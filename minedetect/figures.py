"""The pictures: training curves, and both dates with their change; and what all pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from odc.geo.geobox import GeoBox

from minedetect.change import GONE, NEW
from minedetect.grid import pixel_size_m
from minedetect.raster import CHANGE_NODATA, IGNORE, MINE, Float, Mask
from minedetect.runs import replacing

RED, BLUE, YELLOW, GREY = "#D1495B", "#2E6FBB", "#F2C14E", "#8A8F98"
"""Red is new and blue is gone everywhere; told apart by people with any colour vision."""
PANEL_PX = 900
DPI = 105

Rgb = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """One display stretch, shared by all dates: reflectance limits per shown band.

    Args:
        low: float32 (3,), shown black.
        high: float32 (3,), shown full.
    """

    low: Float
    high: Float

    @classmethod
    def of(cls, pixels: Float) -> Stretch:
        """From the 1 and 99 percentiles of float32 (3, h, w), NaN left out."""
        low, high = np.nanpercentile(pixels.reshape(3, -1), [1, 99], axis=1).astype(np.float32)
        return cls(low, np.maximum(high, low + 1e-6))

    def __call__(self, pixels: Float) -> Rgb:
        """Display colours (h, w, 3) from 0 to 1; light grey where unobserved."""
        scaled = (pixels - self.low[:, None, None]) / (self.high - self.low)[:, None, None]
        rgb: Rgb = np.moveaxis(np.clip(scaled, 0, 1) ** np.float32(0.8), 0, -1)
        return np.where(np.isnan(rgb), np.float32(0.85), rgb)


def shown_bands(names: Sequence[str]) -> tuple[int, int, int]:
    """Positions of red, green and blue; the first bands where there are no such names."""
    if {"B4", "B3", "B2"} <= set(names):
        return names.index("B4"), names.index("B3"), names.index("B2")
    last = len(names) - 1
    return min(2, last), min(1, last), 0


def thinned(array: npt.NDArray[Any], most_px: int = PANEL_PX) -> npt.NDArray[Any]:
    """Every n-th row and column of (..., H, W), so that no side exceeds `most_px`."""
    factor = max(1, -(-max(array.shape[-2:]) // most_px))
    return array[..., ::factor, ::factor]


def plain(text: str) -> str:
    """Text as it is: matplotlib would read what stands between dollar signs as a formula."""
    return text.replace("$", r"\$")


def _panels(count: int, shape: tuple[int, ...], columns: int) -> tuple[Figure, list[Axes]]:
    rows = -(-count // columns)
    ratio = shape[0] / shape[1]
    width = 4.6 * columns
    figure = Figure(figsize=(width, 4.6 * min(ratio, 1.8) * rows + 0.7 * rows), dpi=DPI, layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
    return figure, axes


def scale_bar(ax: Axes, grid: GeoBox, shape: tuple[int, ...]) -> None:
    """A bar of a round number of kilometres, about a fifth of the picture wide."""
    metres_a_px = pixel_size_m(grid) * grid.shape[1] / shape[1]
    wanted = metres_a_px * shape[1] / 5
    length_m = max((m for e in range(1, 7) for m in (10**e, 2 * 10**e, 5 * 10**e) if m <= wanted), default=10)
    length_px = length_m / metres_a_px
    x, y = 0.04 * shape[1], 0.95 * shape[0]
    ax.plot([x, x + length_px], [y, y], color="white", linewidth=5, solid_capstyle="butt")
    ax.plot([x, x + length_px], [y, y], color="black", linewidth=2.5, solid_capstyle="butt")
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m} m"
    ax.text(
        x,
        y - 0.02 * shape[0],
        label,
        fontsize=9,
        va="bottom",
        bbox={"facecolor": "white", "alpha": 0.8, "pad": 1.5, "linewidth": 0},
    )


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def overlay(rgb: Rgb, chosen: npt.NDArray[np.bool_], colour: str, opacity: float) -> Rgb:
    """A copy of display colours (h, w, 3) with chosen pixels, bool (h, w), tinted."""
    from matplotlib.colors import to_rgb

    mixed = rgb.copy()
    mixed[chosen] = (1 - opacity) * rgb[chosen] + opacity * np.array(to_rgb(colour), np.float32)
    return mixed


def _flat(chosen: npt.NDArray[np.bool_], unknown: npt.NDArray[np.bool_], colour: str) -> Rgb:
    white = np.full((*chosen.shape, 3), 0.97, np.float32)
    return overlay(overlay(white, unknown, GREY, 0.6), chosen, colour, 1.0)


def _outline_of(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    edge: npt.NDArray[np.bool_] = chosen & ~scipy.ndimage.binary_erosion(chosen, np.ones((3, 3), bool))
    return edge


def draw_history(path: Path, history: Sequence[dict[str, float]], best_epoch: int) -> None:
    """`training_history.png`: loss, IoU and Dice per epoch, the kept epoch marked.

    Args:
        path: the PNG.
        history: rows of `metrics.csv`.
        best_epoch: the epoch whose weights were kept.
    """
    figure = Figure(figsize=(12, 4), dpi=DPI, layout="constrained")
    epochs = [row["epoch"] for row in history]
    panels: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
        ("Loss", (("train_loss", "training", GREY), ("validation_loss", "validation", BLUE))),
        ("IoU of mines, validation", (("iou", "IoU", BLUE),)),
        ("Dice of mines, validation", (("dice", "Dice", BLUE),)),
    )
    for i, (title, lines) in enumerate(panels):
        ax = figure.add_subplot(1, 3, i + 1)
        for key, label, colour in lines:
            ax.plot(epochs, [row[key] for row in history], color=colour, label=label, marker=".", markersize=4)
        ax.axvline(best_epoch, color=RED, linestyle="--", linewidth=1, label=f"kept: epoch {best_epoch}")
        ax.set_title(title)
        ax.set_xlabel("epoch")
        ax.set_ylim(bottom=0, top=1 if i else None)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    save(figure, path)


@dataclass(frozen=True)
class ResultPicture:
    """What `inference_results.png` shows, all thinned alike: labels, and per date image and classes."""

    years: tuple[str, str]
    rgb: tuple[Rgb, Rgb]
    classes: tuple[Mask, Mask]
    labels: Mask
    change: npt.NDArray[np.int8]
    hectares: tuple[float, float]
    new_ha: float
    gone_ha: float
    verdict: str


def draw_results(path: Path, picture: ResultPicture, grid: GeoBox) -> None:
    """`inference_results.png`: both images, labels, both predictions, and the change."""
    first, second = picture.years
    shape = picture.change.shape
    figure, axes = _panels(6, shape, 3)
    for ax, year, rgb in ((axes[0], first, picture.rgb[0]), (axes[1], second, picture.rgb[1])):
        ax.imshow(rgb)
        ax.set_title(f"Image {year}")
        scale_bar(ax, grid, shape)
    axes[2].imshow(overlay(picture.rgb[0], picture.labels == MINE, YELLOW, 0.6))
    axes[2].set_title(f"Labels {first}")
    for ax, year, classes, area in zip(axes[3:5], picture.years, picture.classes, picture.hectares, strict=True):
        ax.imshow(_flat(classes == MINE, classes == IGNORE, "#4A4E57"))
        ax.set_title(f"Predicted mine {year}: {area:,.1f} ha")
    _draw_change(axes[5], picture)
    figure.suptitle(f"Mining {first} to {second}. Verdict: {picture.verdict}", fontsize=13)
    save(figure, path)


def _draw_change(ax: Axes, picture: ResultPicture) -> None:
    shown = np.full((*picture.change.shape, 3), 1.0, np.float32)
    for chosen, colour, opacity in (
        (picture.change == CHANGE_NODATA, GREY, 0.5),
        (_outline_of((picture.change == 0) & (picture.classes[0] == MINE)), GREY, 1.0),
        (picture.change == NEW, RED, 1.0),
        (picture.change == GONE, BLUE, 1.0),
    ):
        shown = overlay(shown, chosen, colour, opacity)
    ax.imshow(shown)
    ax.set_title(f"Change: {picture.new_ha:,.1f} ha new, {picture.gone_ha:,.1f} ha gone")
    keys = [
        Patch(color=RED, label="new"),
        Patch(color=BLUE, label="gone"),
        Patch(facecolor="white", edgecolor=GREY, label="unchanged (outline: mine on both dates)"),
        Patch(color="#C4C7CB", label="no data"),
    ]
    ax.figure.legend(handles=keys, loc="outside lower right", ncols=4, fontsize=9)
