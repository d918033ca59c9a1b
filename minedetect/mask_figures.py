"""The two pictures of a mask: image, mask and overlay; and its edges, close up, with the sizes of its patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from odc.geo.geobox import GeoBox

from minedetect.edges import SMALL_PATCH_PX, Chosen, Patched, border_of, patches, widened
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
from minedetect.findings import counted
from minedetect.grid import Window, crop
from minedetect.measure import hectares, pixel_hectares
from minedetect.raster import BACKGROUND, IGNORE, MINE, Mask

FIGURE_IN = 13.8
TALLEST_IN = 14.0
NARROWEST_IN = 3.5
"""Of a panel: below, its title and the words beside the bars do not fit."""
WIDEST = 0.42
"""Height over width: a scene below is a strip that nobody can read beside two others."""
CLOSEUP_PX = 400
CLOSEUP_MARGIN_PX = 12
EDGE_PANEL_PX = 450
"""About what a panel shows: a finer picture needs a thicker line for its edge to be seen."""
MOST_BARS = 15
TITLE_SIGNS = 30
SIZE_LIMITS_HA = (0.5, 2.0, 10.0, 50.0, 250.0)


@dataclass(frozen=True)
class CloseUp:
    """A part of the image at full resolution.

    Args:
        window: which part, as `closeup_window` proposes it.
        rgb: its display colours (h, w, 3).
    """

    window: Window
    rgb: Rgb


def closeup_window(mask: Mask) -> Window | None:
    """Where to look closely: the largest mine, or a part of its edge where it is wider than a picture.

    Args:
        mask: uint8 (H, W), 0, 1 or 255.

    Returns:
        A window of at most `CLOSEUP_PX` a side; None for a mask without mines.
    """
    patched = patches(mask)
    largest = patched.largest()
    if largest is None:
        return None
    row, height = _span(largest.row, largest.height, mask.shape[0])
    col, width = _span(largest.col, largest.width, mask.shape[1])
    if largest.width + 2 * CLOSEUP_MARGIN_PX > CLOSEUP_PX:  # the middle may be all mine: look at the left edge there
        middle = min(max(row + height // 2, largest.row), largest.row_end - 1)
        number = int(np.argmax(patched.size_px)) + 1
        across = np.flatnonzero(patched.zones[middle - patched.window.row] == number) + patched.window.col
        first = int(across[0]) if len(across) else largest.col
        col = min(max(0, first - width // 2), mask.shape[1] - width)
    return Window(row, col, height, width)


def _span(start: int, length: int, most: int) -> tuple[int, int]:
    """Start and length of a stretch with its margin, cut around its middle to what a close-up holds."""
    size = min(max(length + 2 * CLOSEUP_MARGIN_PX, CLOSEUP_PX // 8), CLOSEUP_PX, most)
    return min(max(0, start + length // 2 - size // 2), most - size), size


def _edge(mine: Chosen) -> Chosen:
    """The rim of shown mine, as thick as a panel needs."""
    inner = ~widened(~mine)
    if max(mine.shape) > EDGE_PANEL_PX:
        inner = ~widened(~inner)
    return mine & ~inner


@dataclass(frozen=True)
class _Shown:
    """A scene at the size of its picture: what is mine, unknown, unobserved; bool (h, w) each."""

    rgb: Rgb
    mine: Chosen
    unknown: Chosen
    unobserved: Chosen

    @classmethod
    def of(cls, rgb: Rgb, mask: Mask, observed: Chosen | None) -> _Shown:
        shape = rgb.shape[:2]
        mine = pooled(mask == MINE, shape)
        unknown = ~mine & ~pooled(mask == BACKGROUND, shape) & pooled(mask == IGNORE, shape)
        unobserved = np.zeros(shape, bool) if observed is None else ~pooled(observed, shape)
        return cls(rgb, mine, unknown, unobserved)

    def on_image(self) -> Rgb:
        """The image with unobserved ground hatched."""
        return hatched(self.rgb, self.unobserved)

    def flat(self) -> Rgb:
        """The mask alone."""
        ground = np.full((*self.mine.shape, 3), 0.97, np.float32)
        ground = hatched(overlay(ground, self.unknown, GREY, 0.9), self.unobserved)
        return overlay(ground, self.mine, RED, 1.0)

    def over(self) -> Rgb:
        """The mask over the image, its edge drawn out."""
        tinted = overlay(self.on_image(), self.unknown, GREY, 0.6)
        return overlay(overlay(tinted, self.mine, RED, 0.35), _edge(self.mine), YELLOW, 1.0)

    def keys(self, *of_mines: Patch) -> list[Patch]:
        """The legend of what is there to be seen."""
        keys = list(of_mines) if self.mine.any() else []
        if self.unknown.any():
            keys.append(Patch(facecolor=GREY, label="unknown: not labelled"))
        if self.unobserved.any():
            keys.append(Patch(facecolor=PALE, edgecolor=DARK, hatch="////", linewidth=0, label="unobserved: no image"))
        return keys


def _layout(shape: tuple[int, ...]) -> tuple[Figure, list[Axes]]:
    """Three panels: side by side, narrower for tall scenes, or below each other for wide strips."""
    ratio = shape[0] / shape[1]
    rows, columns = (3, 1) if ratio < WIDEST else (1, 3)
    panel_in = float(np.clip(TALLEST_IN / ratio, NARROWEST_IN, FIGURE_IN / columns))
    height_in = rows * (min(panel_in * ratio, TALLEST_IN) + 0.55) + 0.75
    figure = Figure(figsize=(panel_in * columns, max(height_in, 4.4)), dpi=DPI, layout="constrained")
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(3)]


def _picture(ax: Axes, rgb: Rgb, title: str) -> None:
    ax.imshow(rgb)
    ax.set_title(plain(title), fontsize=12)
    ax.set_xticks([])
    ax.set_yticks([])


def _legend(figure: Figure, keys: Sequence[Patch]) -> None:
    if keys:
        figure.legend(handles=list(keys), loc="outside lower center", ncols=len(keys), fontsize=11, frameon=False)


def draw_mask(path: Path, rgb: Rgb, mask: Mask, grid: GeoBox, title: str, observed: Chosen | None = None) -> None:
    """`mask_visualization.png`: image, mask, and the mask over the image.

    Args:
        path: the PNG.
        rgb: display colours (h, w, 3), thinned to any size.
        mask: uint8 (H, W), 0, 1 or 255, at full resolution.
        grid: where the mask lies.
        title: the scene's name.
        observed: bool (H, W), where the image was observed; None for everywhere.
    """
    shown = _Shown.of(rgb, mask, observed)
    figure, axes = _layout(shown.mine.shape)
    area_ha, share = hectares(mask, grid, MINE), float((mask == MINE).mean())
    _picture(axes[0], shown.on_image(), title if len(title) <= TITLE_SIGNS else f"{title[: TITLE_SIGNS - 1]}…")
    _picture(axes[1], shown.flat(), f"Mask: {area_ha:,.1f} ha mine, {share:.2%}")
    _picture(axes[2], shown.over(), "Mask over image")
    for ax in (axes[0], axes[2]):
        scale_bar(ax, grid, shown.mine.shape)
    _legend(figure, shown.keys(Patch(facecolor=RED, label="mine"), Patch(facecolor=YELLOW, label="edge of the mask")))
    save(figure, path)


def draw_edges(
    path: Path,
    rgb: Rgb,
    mask: Mask,
    grid: GeoBox,
    closeup: CloseUp | None = None,
    observed: Chosen | None = None,
) -> None:
    """`mask_edge_analysis.png`: the mask's edge on the image, close up on the largest mine, and patch sizes.

    Args:
        path: the PNG.
        rgb: display colours (h, w, 3), thinned to any size.
        mask: uint8 (H, W), 0, 1 or 255, at full resolution.
        grid: where the mask lies.
        closeup: the largest mine at full resolution; None to enlarge it from `rgb`.
        observed: bool (H, W), where the image was observed; None for everywhere.
    """
    shown = _Shown.of(rgb, mask, observed)
    figure, axes = _layout(shown.mine.shape)
    _picture(axes[0], overlay(shown.on_image(), _edge(shown.mine), YELLOW, 1.0), "Edge of the mask")
    scale_bar(axes[0], grid, shown.mine.shape)
    patched = patches(mask)
    window = closeup.window if closeup else closeup_window(mask)
    if window is None:
        axes[1].set_axis_off()
    else:
        _frame(axes[0], window, mask.shape, shown.mine.shape)
        near = closeup.rgb if closeup else _enlarged(rgb, window, mask.shape)
        _draw_closeup(axes[1], near, mask, window, grid)
        largest = patched.largest()
        part = "The" if largest and window.intersection(largest) == largest else "Part of the"
        axes[1].set_title(f"{part} largest mine, pixel by pixel", fontsize=12)
        figure.suptitle(border_of(mask, grid).sentence(), fontsize=12)
    _patch_sizes(axes[2], patched, grid)
    _legend(figure, shown.keys(Patch(facecolor=YELLOW, label="edge of the mask")))
    save(figure, path)


def _enlarged(rgb: Rgb, window: Window, full: tuple[int, ...]) -> Rgb:
    """A window's part of a thinned picture, each pixel repeated to full size."""
    rows = np.arange(window.row, window.row_end) * rgb.shape[0] // full[0]
    cols = np.arange(window.col, window.col_end) * rgb.shape[1] // full[1]
    return np.asarray(rgb[rows[:, None], cols])


def _frame(ax: Axes, window: Window, full: tuple[int, ...], small: tuple[int, ...]) -> None:
    """Where the close-up lies."""
    down, across = small[0] / full[0], small[1] / full[1]
    ax.add_patch(
        Rectangle(
            (window.col * across - 0.5, window.row * down - 0.5),
            window.width * across,
            window.height * down,
            fill=False,
            edgecolor="white",
            linewidth=1.5,
        )
    )


def _draw_closeup(ax: Axes, rgb: Rgb, mask: Mask, window: Window, grid: GeoBox) -> None:
    # The rim one pixel around the window decides which of its own mine pixels are edges.
    row, col = max(0, window.row - 1), max(0, window.col - 1)
    wider = mask[row : window.row_end + 1, col : window.col_end + 1] == MINE
    rim = wider & widened(~wider)
    inside = rim[window.row - row :, window.col - col :][: window.height, : window.width]
    _picture(ax, overlay(rgb, inside, YELLOW, 1.0), "")
    scale_bar(ax, crop(grid, window), inside.shape)


def _patch_sizes(ax: Axes, patched: Patched, grid: GeoBox) -> None:
    """Hectares of each patch, or of classes of patches where there are too many to tell apart."""
    sizes_ha = np.sort(patched.hectares(grid))[::-1]
    small_ha = SMALL_PATCH_PX * pixel_hectares(grid)
    if not patched.count:
        ax.set_title("No mine on the mask", fontsize=12)
        ax.set_axis_off()
        return
    ax.set_title(f"{counted(patched.count, 'patch')}, {patched.small:,} under {small_ha:.2g} ha", fontsize=12)
    few = patched.count <= MOST_BARS
    rows = [(f"{n}", ha, f"{ha:,.1f} ha") for n, ha in enumerate(sizes_ha, start=1)] if few else _classes(sizes_ha)
    lengths = [ha for _, ha, _ in rows]
    ax.barh(range(len(rows)), lengths, height=0.7, color=BLUE)
    for position, (_, ha, words) in enumerate(rows):
        ax.annotate(words, (ha, position), (4, 0), textcoords="offset points", va="center", fontsize=10)
    ax.set_yticks(range(len(rows)), [label for label, _, _ in rows], fontsize=10)
    ax.set_ylim(max(len(rows), 6) - 0.4, -0.6)
    ax.set_xlim(0, max(lengths) * (1.45 if few else 2.2))
    ax.set_xticks([])
    ax.set_ylabel("patch, largest first" if few else "size of the patches")
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def _classes(sizes_ha: npt.NDArray[np.float64]) -> list[tuple[str, float, str]]:
    """Label, hectares and words of each class of patch sizes that has any, the largest first."""
    limits = (0.0, *SIZE_LIMITS_HA, np.inf)
    rows = []
    for low, high in zip(limits[-2::-1], limits[:0:-1], strict=True):
        inside = sizes_ha[(sizes_ha >= low) & (sizes_ha < high)]
        label = f"from {low:g} ha" if np.isinf(high) else f"{low:g} to {high:g} ha"
        words = f"{counted(len(inside), 'patch')}, {inside.sum():,.1f} ha" if len(inside) else "none"
        rows.append((label, float(inside.sum()), words))
    return rows
