"""Makers of GeoTIFFs: good ones, hollow ones, bare headers, and ones with a tag changed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from hostile_case import Make, Site, put
from rasterio.crs import CRS
from rasterio.transform import from_origin

UTM = "EPSG:32630"
MARS = (
    'GEOGCS["Mars",DATUM["D_Mars",SPHEROID["Mars",3396190,169.8944]],PRIMEM["Reference_Meridian",0],'
    'UNIT["degree",0.0174532925199433]]'
)
SIDE_PX = 64
PLACE = from_origin(600_000, 700_000, 10, 10)
"""A district of 640 m in Ghana."""


def noise(dtype: str = "uint16", count: int = 3, low: float = 100, high: float = 3000) -> npt.NDArray[Any]:
    """Repeatable pixels (C, H, W) between two values."""
    drawn = np.random.default_rng(count).uniform(low, high, (count, SIDE_PX, SIDE_PX))
    return np.asarray(drawn.astype(dtype))


def tiff(pixels: npt.NDArray[Any] | None = None, **header: Any) -> Make:
    """A GeoTIFF of bands B2, B3, ... in `UTM` at `PLACE`, unless the header says else.

    Args:
        pixels: (C, H, W); None for `noise()`.
        header: of rasterio, with None for what shall be missing; and `bands` (names), `points` (ground control
            points in `UTM`), `colours` (a palette) and `tags` (a metadata domain, a key and its value).
    """

    def make(path: Path, site: Site) -> None:
        stack = noise() if pixels is None else pixels
        profile = {"crs": UTM, "transform": PLACE, "dtype": stack.dtype, **header}
        names = profile.pop("bands", tuple(f"B{n}" for n in range(2, len(stack) + 2)))
        points, colours, tags = (profile.pop(k, None) for k in ("points", "colours", "tags"))
        count, height, width = stack.shape
        named = {k: v for k, v in profile.items() if v is not None}
        with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, **named) as file:
            if points:
                file.gcps = (points, CRS.from_user_input(UTM))
            if colours:
                file.write_colormap(1, colours)
            if tags:
                file.update_tags(ns=tags[0], **{tags[1]: site.fill(tags[2])})
            for number, name in enumerate(names, start=1):
                file.set_band_description(number, name)
            file.write(stack)

    return make


def hollow(side_px: int, block_px: int, dtype: str) -> Make:
    """A valid GeoTIFF of a great many pixels that stores none of them."""

    def make(path: Path, site: Site) -> None:
        size = {"width": side_px, "height": side_px, "count": 1, "dtype": dtype}
        tiles = {"tiled": True, "blockxsize": block_px, "blockysize": block_px, "sparse_ok": True, "bigtiff": "yes"}
        rasterio.open(path, "w", driver="GTiff", crs=UTM, transform=PLACE, **size, **tiles).close()

    return make


def bare_tiff(width: int, height: int) -> bytes:
    """A TIFF of one IFD and no pixel, of a stated size."""
    longs = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 2**31}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in longs.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(longs)) + entries + bytes(4)


def _tag(content: bytes, number: int) -> int:
    """Where the IFD entry of a tag begins, in a little-endian classic TIFF; 0 names the pointer to the next IFD."""
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    entries = [start + 2 + 12 * n for n in range(count)]
    found = [e for e in entries if struct.unpack_from("<H", content, e)[0] == number]
    return found[0] if found else start + 2 + 12 * count


def with_tag(number: int, value: int) -> Callable[[bytes], bytes]:
    """A good TIFF whose tag `number` holds another value (or offset)."""
    return lambda content: put(_tag(content, number) + 8, struct.pack("<I", value))(content)


def looped(content: bytes) -> bytes:
    """A good TIFF whose list of IFDs has no end."""
    return put(_tag(content, 0), content[4:8])(content)
