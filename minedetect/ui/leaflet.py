"""A folium map that asks nobody but this server for anything."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folium
from branca.element import Element, MacroElement
from folium.elements import JSCSSMixin
from folium.plugins import Fullscreen
from folium.template import Template

from minedetect.files import sha256_of
from minedetect.ui.addresses import address

FILES = {
    "leaflet": "leaflet-1.9.4/leaflet.js",
    "leaflet_css": "leaflet-1.9.4/leaflet.css",
    "Control.Fullscreen.js": "leaflet.fullscreen-3.0.0/Control.FullScreen.js",
    "Control.FullScreen.css": "leaflet.fullscreen-3.0.0/Control.FullScreen.css",
}
"""What folium would fetch from elsewhere, by its names, and where it lies in `vendor/`."""
NEEDLESS = {
    *("jquery", "bootstrap", "awesome_markers", "bootstrap_css", "glyphicons_css", "awesome_markers_font_css"),
    *("awesome_markers_css", "awesome_rotate_css"),
}
"""Only markers and embedded GeoJSON need these, and there are none."""
ASSETS = Path(__file__).parent / "assets"


class Drawing(JSCSSMixin):
    """Hands the layers of a map to `results_map.js`, which draws them.

    Args:
        spec: numbers, addresses and harmless text alone: folium takes text for a template.
    """

    _template = Template(
        "{% macro script(this, kwargs) %}minedetectMap({{ this._parent.get_name() }}, {{ this.spec }});{% endmacro %}"
    )

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self._name = "Drawing"
        self.spec = json.dumps(spec)
        self.default_js = [("drawing", own_file("results_map.js"))]
        self.default_css = [("drawing_css", own_file("results_map.css"))]


class State(MacroElement):
    """Hands what the page's own controls ask for to the map that is already shown."""

    _template = Template("{% macro script(this, kwargs) %}setMinedetectMap({{ this.state }});{% endmacro %}")

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self._name = "State"
        self.state = json.dumps(state)


def new_map(spec: dict[str, Any]) -> folium.Map:
    """A map of the layers in `spec`, with scale and full screen.

    Raises:
        ValueError: it would fetch something that is not on this server.
    """
    shown = folium.Map(tiles=None, zoom_control=True, control_scale=True, max_zoom=19, font_size="13px")
    Fullscreen(title="Full screen", title_cancel="Leave full screen").add_to(shown)
    Drawing(spec).add_to(shown)
    for element in _all_of(shown):
        for kind in ("default_js", "default_css"):
            if hasattr(element, kind):
                setattr(element, kind, [link for one in getattr(element, kind) for link in own_link(*one)])
    return shown


def state_of(state: dict[str, Any]) -> folium.FeatureGroup:
    """What changes on a map without loading it anew."""
    group = folium.FeatureGroup()
    State(state).add_to(group)
    return group


def own_link(name: str, url: str) -> list[tuple[str, str]]:
    """The link of a file on this server in place of one elsewhere; none for what is not needed.

    Raises:
        ValueError: nothing here can take its place.
    """
    if name in NEEDLESS:
        return []
    if name in FILES:
        return [(name, address("vendor", FILES[name]))]
    if url.startswith(address("assets", "")):
        return [(name, url)]
    raise ValueError(f"the map would fetch {name} from {url}")


@functools.cache
def own_file(name: str) -> str:
    """Address of a file in `assets/`, another one when its content is another."""
    return f"{address('assets', name)}?{sha256_of(ASSETS / name)[:12]}"


def _all_of(element: Element) -> Iterator[Element]:
    yield element
    for child in element._children.values():
        yield from _all_of(child)
