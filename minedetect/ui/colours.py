"""The colours of the map: what each value of a raster looks like, and its legend."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Palette = npt.NDArray[np.uint8]
"""uint8 (256, 4): red, green, blue, opacity of each value."""

NEW, GONE, UNCHANGED = "#D1495B", "#2E6FBB", "#F4F4F2"
"""As in the pictures of the report: red is new, blue is gone."""
MINE = "#F28E2B"
BEFORE, AFTER, LABELS = "#56E0FF", "#FFD23F", "#FFFFFF"
"""Outlines of the first date, of the second, and of the labels; drawn on a dark rim, so bright on any ground."""
KINDS = {"firm": "#5E3C99", "doubtful": "#E69F00", "ring": "#F0E442", "sieved": "#009E73"}
"""After Okabe and Ito 2008, told apart with any colour vision."""
SCALE = ("#00224E", "#35456C", "#666970", "#948E77", "#C8B866", "#FEE838")
"""Probability from 0 to 100 %: cividis (Nunez 2018), as bright as it is probable."""
CLEAR = 255
"""The value that shows nothing."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green, blue of `#rrggbb`."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def _palette(colours: dict[int, tuple[str, int]]) -> Palette:
    table = np.zeros((256, 4), np.uint8)
    for value, (colour, opacity) in colours.items():
        table[value] = (*rgb(colour), opacity)
    return table


def _percent_palette() -> Palette:
    table = np.zeros((256, 4), np.uint8)
    stops = np.array([rgb(colour) for colour in SCALE], float)
    at = np.linspace(0, len(stops) - 1, 101)
    for channel in range(3):
        table[:101, channel] = np.rint(np.interp(at, range(len(stops)), stops[:, channel]))
    table[:101, 3] = 215
    return table


PERCENT_PALETTE = _percent_palette()
PALETTES: dict[str, Palette] = {
    "mine": _palette({1: (MINE, 150)}),
    "change": _palette({0: (GONE, 185), 2: (NEW, 185), 3: (UNCHANGED, 90)}),
    "kinds": _palette({number: (colour, 225) for number, colour in enumerate(KINDS.values(), start=1)}),
}
"""For each kind of layer, value by value; opacity lets the image be seen beneath."""
