"""Map tiles of a run's rasters: 256 px, Web Mercator; nothing but layers that a page has shown."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.enums import Resampling
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from minedetect.errors import BadInput
from minedetect.raster import MINE
from minedetect.ui import layers, mercator
from minedetect.ui.colours import CLEAR, PALETTES, PERCENT_PALETTE, Palette

DEEPEST_ZOOM = 22
PICTURE, CLASSES = "image/webp", "image/png"
"""Photographs are a tenth as large in WebP; classes stay exact, with a palette."""
HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",  # the id changes with the content
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
ROUNDING = 1e-4
"""A probability of 0.29 in float32 times 100 must not fall below 29."""
UNCHANGED_MINE = 3
"""Added to gone, unchanged and new, 0 to 2, for ground that was and is mine."""


def answer(request: Request) -> Response:
    """One tile: `/tiles/LAYER/Z/X/Y`, of probabilities with `?threshold=PERCENT` those above it alone."""
    layer = layers.find(request.path_params["layer"])
    z, x, y = (int(request.path_params[name]) for name in "zxy")
    if layer is None or layer.kind not in layers.RASTERS or z > DEEPEST_ZOOM or max(x, y) >= 2**z:
        return PlainTextResponse("There is no such tile.", 404)
    asked = request.query_params.get("threshold", "0")
    if re.fullmatch(r"[0-9]{1,2}", asked) is None:
        return PlainTextResponse("The threshold is a whole number of per cent from 0 to 99.", 400)
    try:
        content = draw(layer, (x, y, z), int(asked))
    except BadInput:
        return PlainTextResponse("The file of this layer cannot be read.", 404)
    return Response(content, media_type=PICTURE if layer.kind == "picture" else CLASSES, headers=HEADERS)


def draw(layer: layers.Layer, place: tuple[int, int, int], least_percent: int = 0) -> bytes:
    """A tile as WebP or PNG; outside the raster and where it holds no data it is clear.

    Args:
        layer: a raster layer.
        place: column, row and zoom of the tile.
        least_percent: probabilities below are left out.

    Raises:
        BadInput: the file cannot be read.
    """
    resampling = Resampling.bilinear if layer.kind == "picture" else Resampling.nearest
    pixels, seen = mercator.read_tile(layer.rasters[0], place, resampling)
    if layer.kind == "picture":
        colours = np.moveaxis(np.concatenate([pixels, seen[None]]), 0, -1)
        return _encoded(Image.fromarray(colours), format="WEBP", quality=85, method=2)
    if layer.kind == "probability":
        percent = np.floor(np.nan_to_num(pixels[0]) * 100 + ROUNDING)
        shown = (seen > 0) & (percent >= least_percent)
        return _png(np.where(shown, np.clip(percent, 0, 100), CLEAR).astype(np.uint8), PERCENT_PALETTE)
    values = pixels[0].astype(np.int16)
    if layer.kind == "change":
        values = _with_unchanged(layer, place, values + 1)
    return _png(np.where(seen > 0, values, CLEAR).astype(np.uint8), PALETTES[layer.kind])


def _with_unchanged(
    layer: layers.Layer, place: tuple[int, int, int], values: npt.NDArray[np.int16]
) -> npt.NDArray[np.int16]:
    if len(layer.rasters) < 2:
        return values
    classes, _ = mercator.read_tile(layer.rasters[1], place, Resampling.nearest)
    return np.where((values == 1) & (classes[0] == MINE), UNCHANGED_MINE, values)


def _png(indexes: npt.NDArray[np.uint8], palette: Palette) -> bytes:
    image = Image.fromarray(indexes).convert("P")
    image.putpalette(palette[:, :3].tobytes())
    image.info["transparency"] = palette[:, 3].tobytes()
    return _encoded(image, format="PNG", compress_level=3)


def _encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()
