"""Outlines for the map: the largest mines of a date and the labels, as GeoJSON whose every text is harmless."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry import shape
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from minedetect.errors import RunError
from minedetect.runs import Run
from minedetect.ui import layers, words
from minedetect.ui.tiles import HEADERS

MOST_DRAWN = 1000
"""A browser stays quick with so many."""
KINDS: tuple[layers.Kind, ...] = ("mines", "labels")


@dataclass(frozen=True)
class Outlines:
    """What is drawn of one file.

    Args:
        content: GeoJSON, each feature with its `id` and harmless HTML `text`.
        drawn: how many features.
        total: how many there are in all.
        bounds: west, south, east, north in degrees of each that is drawn, by its id.
    """

    content: bytes
    drawn: int
    total: int
    bounds: dict[int, tuple[float, float, float, float]]


def answer(request: Request) -> Response:
    """The outlines of one layer: `/outlines/LAYER`."""
    layer = layers.find(request.path_params["layer"])
    if layer is None or layer.kind not in KINDS:
        return PlainTextResponse("There are no such outlines.", 404)
    try:
        content = of_layer(layer).content
    except RunError:
        return PlainTextResponse("The file of this layer cannot be read.", 404)
    return Response(content, media_type="application/geo+json", headers=HEADERS)


def of_layer(layer: layers.Layer) -> Outlines:
    """The largest outlines of a layer, kept while the file is what it was.

    Raises:
        RunError: it is damaged.
    """
    return _largest(layer.files[0], layer.stamps[0])


@functools.lru_cache(16)
def _largest(path: Path, stamp: layers.Stamp) -> Outlines:  # noqa: ARG001 (part of the cache key)
    content = Run(path.parent).read_json(path.name)
    try:
        found = content["features"]
        features = sorted(
            (one for one in found if one["geometry"].get("coordinates")),
            key=lambda one: -float(one["properties"]["hectares"]),
        )
        total = max(len(features), int(content.get("total", 0)))
        drawn = [_feature(one) for one in features[:MOST_DRAWN]]
        bounds = {one["properties"]["id"]: shape(one["geometry"]).bounds for one in drawn}
        packed = json.dumps(
            {"type": "FeatureCollection", "features": drawn}, separators=(",", ":"), allow_nan=False
        ).encode()
    except (KeyError, TypeError, ValueError, RecursionError, ShapelyError) as error:
        raise RunError(f"{path} is damaged. Run that step again.") from error
    return Outlines(packed, len(drawn), total, bounds)


def _feature(found: dict[str, Any]) -> dict[str, Any]:
    """Geometry, number and text of an outline; nothing else of the file goes on."""
    told, geometry = found["properties"], found["geometry"]
    number = int(told["id"])
    name = str(told.get("mine") or f"Patch {number}")
    shown = {"id": number, "text": words.in_html(f"{name}, {words.hectares(told['hectares'])}")}
    kept = {"type": str(geometry["type"]), "coordinates": geometry["coordinates"]}
    return {"type": "Feature", "properties": shown, "geometry": kept}
