"""`inference_results.png`: both dates, what was found in each, and their change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from odc.geo.geobox import GeoBox

from minedetect.change import FIRM, GONE, NEW, UNCHANGED, Change
from minedetect.edges import Chosen
from minedetect.figures import (
    BLUE,
    DARK,
    DPI,
    GREY,
    PALE,
    RED,
    YELLOW,
    Rgb,
    hatched,
    overlay,
    plain,
    pooled,
    save,
    scale_bar,
)
from minedetect.findings import shown_ha
from minedetect.raster import CHANGE_NODATA, IGNORE, MINE, Mask

WIDTH_PX = 1600
TITLE_IN, HEAD_IN, FOOT_IN = 0.42, 0.9, 0.9
SPARE = 0.85
"""Of a panel's pixels: no row of a coarser picture is lost when it is drawn."""
PANELS = 6
GROUND, STANDING = "#22262C", "#F4F4F2"
UNSURE = 0.45
"""Opacity of change that is not firm: dim on dark ground."""


@dataclass(frozen=True)
class ResultPicture:
    """What the picture shows; classes, labels and change at full resolution.

    Args:
        years: labels of the dates.
        rgb: display colours of both dates (h, w, 3), thinned to any size.
        classes: uint8 (H, W) of both dates, 0, 1 or 255.
        labels: uint8 (H, W) of the first date.
        change: int8 (H, W).
        kind: uint8 (H, W), the kind of each changed pixel.
        hectares: of mine on both dates, as the ledger has them.
        labelled_ha: of the labels.
        firm_ha: firm change, new and gone.
        headline: sentences above the panels, verdict among them.
    """

    years: tuple[str, str]
    rgb: tuple[Rgb, Rgb]
    classes: tuple[Mask, Mask]
    labels: Mask
    change: Change
    kind: Mask
    hectares: tuple[float, float]
    labelled_ha: float
    firm_ha: tuple[float, float]
    headline: tuple[str, ...]


def draw_results(path: Path, picture: ResultPicture, grid: GeoBox) -> None:
    """`inference_results.png`: both images, labels, both predictions, and the change.

    Classes are thinned so that a block with any mine or change shows it: nothing thin vanishes.
    """
    (first, second), (new_ha, gone_ha) = picture.years, picture.firm_ha
    columns, shape = _layout(picture.change.shape)
    figure, axes = _panels(columns, picture.change.shape)
    unseen = [~pooled(classes != IGNORE, shape) for classes in picture.classes]
    images = [_image(rgb, classes) for rgb, classes in zip(picture.rgb, picture.classes, strict=True)]
    found = [_flat(pooled(c == MINE, shape), u) for c, u in zip(picture.classes, unseen, strict=True)]
    panels = (
        (f"Image {first}", images[0]),
        (f"Image {second}", images[1]),
        (f"Labels {first}: {shown_ha(picture.labelled_ha)}", _labelled(images[0], picture.labels)),
        (f"Mines found {first}: {shown_ha(picture.hectares[0])}", found[0]),
        (f"Mines found {second}: {shown_ha(picture.hectares[1])}", found[1]),
        (f"Change: {shown_ha(new_ha)} new, {shown_ha(gone_ha)} gone", _changed(picture, shape)),
    )
    right = _freer_right(picture, shape)
    for ax, (title, rgb) in zip(axes, panels, strict=True):
        ax.imshow(rgb, interpolation="auto" if rgb.shape[:2] != shape else "nearest")
        ax.set_title(plain(title), fontsize=15 if columns <= 3 else 9)
        scale_bar(ax, grid, rgb.shape, fontsize=12 if columns <= 3 else 9, right=right)
    figure.suptitle(plain("\n".join(picture.headline)), fontsize=18)
    keys = _keys(picture)
    figure.legend(handles=keys, loc="outside lower center", ncols=-(-len(keys) // 2), fontsize=15, frameon=False)
    save(figure, path)


def _layout(full: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """Columns of panels that make the picture least elongated, and rows and columns of classes in a panel."""
    ratio = full[0] / full[1]
    columns = min((3, 2, 6), key=lambda n: round(abs(np.log(ratio * PANELS / n**2)), 6))
    most_px = SPARE * WIDTH_PX / columns
    factor = min(1.0, most_px / full[1])
    return columns, (max(1, int(full[0] * factor)), max(1, int(full[1] * factor)))


def _panels(columns: int, full: tuple[int, ...]) -> tuple[Figure, list[Axes]]:
    width_in, rows = WIDTH_PX / DPI, PANELS // columns
    panel_in = width_in / columns * full[0] / full[1]
    height_in = rows * (panel_in + TITLE_IN) + HEAD_IN + FOOT_IN
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    axes = [figure.add_subplot(rows, columns, number) for number in range(1, PANELS + 1)]
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
    return figure, axes


def _freer_right(picture: ResultPicture, shape: tuple[int, int]) -> bool:
    """Whether the lower right corner holds fewer mines than the lower left, so that the scale bar hides less."""
    mines = np.logical_or.reduce([pooled(classes == MINE, shape) for classes in (*picture.classes, picture.labels)])
    corner = mines[-shape[0] // 7 :]
    return bool(corner[:, -shape[1] // 4 :].sum() < corner[:, : shape[1] // 4].sum())


def _image(rgb: Rgb, classes: Mask) -> Rgb:
    return hatched(rgb, ~pooled(classes != IGNORE, rgb.shape[:2]))


def _labelled(rgb: Rgb, labels: Mask) -> Rgb:
    """The first image with its labels over it."""
    shape = rgb.shape[:2]
    unknown = ~pooled(labels != IGNORE, shape)
    return overlay(overlay(rgb, unknown, GREY, 0.6), pooled(labels == MINE, shape), YELLOW, 0.6)


def _flat(mine: Chosen, unseen: Chosen) -> Rgb:
    """Mines in white on dark ground; stripes where nothing was observed."""
    ground = np.broadcast_to(np.array(to_rgb(GROUND), np.float32), (*mine.shape, 3)).copy()
    return overlay(hatched(ground, unseen, (GREY, DARK)), mine, STANDING, 1.0)


def _changed(picture: ResultPicture, shape: tuple[int, int]) -> Rgb:
    """New in red, gone in blue, standing mines in white; what is not firm is dim."""
    change, kind = picture.change, picture.kind
    standing = (change == UNCHANGED) & (picture.classes[0] == MINE)
    shown = _flat(pooled(standing, shape), ~pooled(change != CHANGE_NODATA, shape))
    dark = np.broadcast_to(np.array(to_rgb(GROUND), np.float32), shown.shape)
    for firm, opacity in ((False, UNSURE), (True, 1.0)):
        chosen = (kind == FIRM) if firm else (kind != FIRM)
        new, gone = (_pixels_in((change == side) & chosen, shape) for side in (NEW, GONE))
        for where, colour in (((new > 0) & (new >= gone), RED), (gone > new, BLUE)):
            shown[where] = overlay(dark, where, colour, opacity)[where]
    return shown


def _pixels_in(chosen: Chosen, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """How many pixels are chosen in each block of a smaller shape: int32 (h, w)."""
    rows, cols = (np.arange(small) * full // small for small, full in zip(shape, chosen.shape, strict=True))
    tall = np.add.reduceat(chosen, rows, axis=0, dtype=np.int32)
    return np.asarray(np.add.reduceat(tall, cols, axis=1, dtype=np.int32))


def _keys(picture: ResultPicture) -> list[Patch]:
    """The legend: what is new and gone always, the rest where there is any."""
    dim = (*(np.array(to_rgb(c)) * UNSURE + np.array(to_rgb(GROUND)) * (1 - UNSURE) for c in (RED, BLUE)),)
    change, unsure = picture.change, picture.kind != FIRM
    unseen = any((classes == IGNORE).any() for classes in picture.classes)
    optional = (
        (((change == NEW) & unsure).any(), Patch(facecolor=tuple(dim[0]), label="new, not sure")),
        (((change == GONE) & unsure).any(), Patch(facecolor=tuple(dim[1]), label="gone, not sure")),
        ((picture.labels == IGNORE).any(), Patch(facecolor=GREY, label="label unknown")),
        (unseen, Patch(facecolor=PALE, edgecolor=DARK, hatch="////", linewidth=0, label="no image")),
    )
    return [
        Patch(facecolor=RED, label="new mine"),
        Patch(facecolor=BLUE, label="mine gone"),
        Patch(facecolor=STANDING, edgecolor=GREY, label="mine (on both dates, in the change)"),
        Patch(facecolor=GROUND, label="no mine"),
        Patch(facecolor=YELLOW, label="labelled mine"),
        *(patch for there, patch in optional if there),
    ]
