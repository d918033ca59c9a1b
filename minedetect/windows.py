"""Windows over a scene: cores that cover it once, each computed with a margin; bands in order, read ahead."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minedetect.bands import filled
from minedetect.grid import Window, whole
from minedetect.raster import Float, valid
from minedetect.runs import Progress
from minedetect.threads import ahead

ReadWindow = Callable[[Window], Float]
"""Scaled pixels float32 (C, H, W) of a window inside the scene; NaN where unobserved. Called in a thread."""


EDGE_PX = 64
"""Reflected ground is not what the network learned from: more of it than this does harm."""


@dataclass(frozen=True)
class Network:
    """A function of pixels, and what it must be given to answer as if it saw the whole scene.

    Args:
        probability: float32 (h, w), probability of mine in a core, of scaled pixels float32 (C, H, W) without NaN
            and the core among them.
        margin_px: pixels farther than this from a core change nothing in it; a multiple of `factor_px`.
        factor_px: windows begin and end at multiples of this on the scene.
    """

    probability: Callable[[Float, Window], Float]
    margin_px: int
    factor_px: int

    def everywhere(self, pixels: Float) -> Float:
        """Probability of all that is given."""
        return self.probability(pixels, whole((pixels.shape[1], pixels.shape[2])))


@dataclass(frozen=True)
class Plan:
    """How a scene is cut: cores of one size, the last of a row or column smaller, each with a margin around it.

    Args:
        shape: (H, W) of the scene.
        core: (height, width) of a core, multiples of `factor_px`.
        margin_px: what is read around a core; beyond the scene no more than `edge_px` of it, reflected.
        factor_px: sides of what is computed are multiples of this.
    """

    shape: tuple[int, int]
    core: tuple[int, int]
    margin_px: int
    factor_px: int

    def cores(self, first_row: int = 0) -> Iterator[Window]:
        """The cores, row by row from some row on; together they cover what lies below it once."""
        (height, width), (core_height, core_width) = self.shape, self.core
        for row in range(first_row, height, core_height):
            for col in range(0, width, core_width):
                yield Window(row, col, min(core_height, height - row), min(core_width, width - col))

    @property
    def edge_px(self) -> int:
        """How far the scene is reflected beyond its edge, the same for every window."""
        return min(self.margin_px, _up(EDGE_PX, self.factor_px))

    def computed(self, core: Window) -> Window:
        """What the network is given for a core; it may reach beyond the scene by `edge_px`."""
        row, height = self._along(core.row, core.height, self.shape[0])
        col, width = self._along(core.col, core.width, self.shape[1])
        return Window(row, col, height, width)

    def _along(self, start_px: int, core_px: int, scene_px: int) -> tuple[int, int]:
        """Start and length along one axis; both ends lie a whole number of `factor_px` from the scene's start."""
        before = min(self.margin_px, start_px + self.edge_px)
        to_end = _up(scene_px - start_px, self.factor_px) + self.edge_px
        return start_px - before, before + min(_up(core_px, self.factor_px) + self.margin_px, to_end)


def _up(n: int, factor: int) -> int:
    return -(-n // factor) * factor


def plan(shape: tuple[int, int], window_px: int, network: Network) -> Plan:
    """Cover an (H, W) scene by cores, no side above `window_px` rounded up to the factor.

    All but the lowest are as high as that, however high the scene, so that memory does not hang on it. Columns share
    the width evenly: as many pixels are computed as with full ones and a remainder, in smaller windows.
    """
    most = _up(window_px, network.factor_px)
    height = min(most, _up(shape[0], network.factor_px))
    width = _up(-(-shape[1] // -(-shape[1] // most)), network.factor_px)
    return Plan(shape, (height, width), network.margin_px, network.factor_px)


@dataclass(frozen=True)
class Cut:
    """What was read for one core.

    Args:
        pixels: float32 (C, H, W) of the core with its margin, without NaN; None where all of the core is unobserved.
        unobserved: bool (h, w) of the core.
    """

    pixels: Float | None
    unobserved: npt.NDArray[np.bool_]


def cut(read: ReadWindow, how: Plan, core: Window) -> Cut:
    """Read a core with its margin, reflected beyond the scene."""
    wanted = how.computed(core)
    seen = wanted.intersection(whole(how.shape))
    if seen is None:
        raise ValueError(f"{core} lies outside the scene")
    pixels = read(seen)
    unobserved = ~valid(pixels[(slice(None), *core.shifted(-seen.row, -seen.col).slices)])
    if unobserved.all():
        return Cut(None, unobserved)
    pad = (
        (0, 0),
        (seen.row - wanted.row, wanted.row_end - seen.row_end),
        (seen.col - wanted.col, wanted.col_end - seen.col_end),
    )
    return Cut(filled(np.pad(pixels, pad, mode="reflect")), unobserved)


def in_bands(
    read: ReadWindow, network: Network, how: Plan, progress: Progress, first_row: int = 0
) -> Generator[tuple[Window, Float]]:
    """Probability of mine of a scene, band by band from top to bottom; windows are read ahead in a thread.

    The margin holds all that the network sees of a core, so that windows agree with a pass over the whole scene
    and nothing has to be blended. Cores without any observation are not computed.

    Args:
        read: gives scaled pixels.
        network: gives probabilities.
        how: the plan.
        progress: told the rows done, after each window.
        first_row: where to begin: 0, or where an earlier band ended.

    Yields:
        Full-width bands and their probability, float32 (H, W), NaN where a band is unobserved.
    """
    rows, cols = how.shape
    with closing(ahead(how.cores(first_row), lambda core: cut(read, how, core))) as cuts:
        for core, found in cuts:
            if core.col == 0:
                band = np.full((core.height, cols), np.nan, np.float32)
            if found.pixels is not None:
                given = how.computed(core)
                here = core.shifted(-given.row, -given.col)
                band[:, core.cols] = np.where(found.unobserved, np.nan, network.probability(found.pixels, here))
            progress(core.row + core.height * core.col_end // cols, rows)
            if core.col_end == cols:
                yield Window(core.row, 0, core.height, cols), band
