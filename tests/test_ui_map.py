"""The map of the results: its tiles and outlines as they are served, and its page."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from map_support import BOTH, FIRST_ALONE, NOWHERE, SECOND_ALONE, YEARS, mapped_run, tile_of
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from ui_support import HOSTILE, alerts, finished_run, home, metrics, opened, shown

from minedetect import runs
from minedetect.errors import BadInput
from minedetect.runs import Run
from minedetect.ui import colours, layers, leaflet, routes, thresholds, words

__all__ = ["home"]


@pytest.fixture
def run(home: Path) -> Run:
    return mapped_run(home)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The routes as the app serves them, asked by this computer."""
    option = st.get_option
    hosts = {"server.allowedHosts": ["127.0.0.1", "localhost"]}
    monkeypatch.setattr(st, "get_option", lambda name: hosts.get(name) or option(name))
    with TestClient(Starlette(routes=routes.routes()), base_url="http://127.0.0.1:8501") as client:
        yield client


def layer_of(run: Run, kind: layers.Kind, year: int = 0) -> layers.Layer:
    name = next(name for one, name, date in layers.names_of(YEARS) if one == kind and date in (None, year))
    return layers.register(run, kind, name, runs.prediction_name("2016") if kind == "change" else "")


def colour_at(client: TestClient, layer: layers.Layer, where: tuple[slice, slice], query: str = "") -> tuple[int, ...]:
    """Red, green, blue and opacity in the middle of a part of the grid."""
    tile, pixel = tile_of(*((part.start + part.stop) // 2 for part in where))
    answer = client.get(f"/tiles/{layer.id}/{tile}{query}")
    assert answer.status_code == 200
    return tuple(Image.open(io.BytesIO(answer.content)).convert("RGBA").getpixel(pixel))


BARE = (slice(2, 10), slice(2, 10))


@pytest.mark.parametrize(
    ("where", "colour"),
    [(SECOND_ALONE, colours.NEW), (FIRST_ALONE, colours.GONE), (BOTH, colours.UNCHANGED), (NOWHERE, ""), (BARE, "")],
)
def test_change_is_red_where_new_and_blue_where_gone(
    run: Run, client: TestClient, where: tuple[slice, slice], colour: str
) -> None:
    *found, opacity = colour_at(client, layer_of(run, "change"), where)
    assert (opacity > 0) == bool(colour)
    if colour:
        assert tuple(found) == colours.rgb(colour)


def test_kinds_and_classes_have_the_colours_of_the_legend(run: Run, client: TestClient) -> None:
    assert colour_at(client, layer_of(run, "kinds"), SECOND_ALONE)[:3] == colours.rgb(colours.KINDS["firm"])
    assert colour_at(client, layer_of(run, "kinds"), BOTH)[3] == 0
    assert colour_at(client, layer_of(run, "mine", 1), SECOND_ALONE)[:3] == colours.rgb(colours.MINE)
    assert colour_at(client, layer_of(run, "mine", 0), SECOND_ALONE)[3] == 0


@pytest.mark.parametrize(("year", "grey"), [(0, 90), (1, 190)])
def test_images_show_their_colours_and_are_clear_without_data(
    run: Run, client: TestClient, year: int, grey: int
) -> None:
    picture = layer_of(run, "picture", year)
    *found, opacity = colour_at(client, picture, BOTH)
    assert np.abs(np.array(found) - grey).max() <= 3
    assert opacity == 255
    assert colour_at(client, picture, NOWHERE)[3] == 0
    far = client.get(f"/tiles/{picture.id}/3/0/0")
    assert not np.asarray(Image.open(io.BytesIO(far.content)).convert("RGBA"))[..., 3].any()


def test_a_threshold_cuts_the_probability(run: Run, client: TestClient) -> None:
    probability = layer_of(run, "probability")
    assert colour_at(client, probability, BARE)[3] > 0
    assert colour_at(client, probability, BARE, "?threshold=29")[3] > 0
    assert colour_at(client, probability, BARE, "?threshold=30")[3] == 0
    assert colour_at(client, probability, BOTH, "?threshold=80")[3] > 0
    assert colour_at(client, probability, BOTH, "?threshold=81")[3] == 0
    assert colour_at(client, probability, NOWHERE)[3] == 0


@pytest.mark.parametrize("asked", ["", "-1", "100", "1.5", "5e1", "%C2%B2", "x"])
def test_an_odd_threshold_is_refused(run: Run, client: TestClient, asked: str) -> None:
    tile, _ = tile_of(30, 30)
    assert client.get(f"/tiles/{layer_of(run, 'probability').id}/{tile}?threshold={asked}").status_code == 400


def test_a_tile_may_be_kept_but_only_by_pages_of_this_server(run: Run, client: TestClient) -> None:
    tile, _ = tile_of(30, 30)
    for kind, sort in (("picture", "image/webp"), ("change", "image/png")):
        headers = client.get(f"/tiles/{layer_of(run, kind).id}/{tile}").headers
        assert headers["content-type"] == sort
        assert "immutable" in headers["cache-control"]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["17/131072/0", "17/0/131072", "23/0/0", "-1/0/0", "1/x/0", "1/0", "99999999999999999999/0/0", "1.0/0/0"],
)
def test_there_is_no_tile_outside_the_world(run: Run, client: TestClient, path: str) -> None:
    assert client.get(f"/tiles/{layer_of(run, 'picture').id}/{path}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/tiles/unknown/0/0/0",
        "/tiles/mapped/0/0/0",
        "/tiles/..%2f..%2fetc%2fpasswd/0/0/0",
        "/tiles/preview_2016.tif/0/0/0",
        "/outlines/..%2f..%2fetc%2fpasswd",
        "/outlines/labelled_mines.geojson",
        "/zips/..%2f..%2fetc",
        "/zips/%2e%2e",
        "/zips/nowhere",
        "/vendor/..%2f..%2f..%2fapp.py",
        "/vendor/%2e%2e/routes.py",
        "/assets/..%2froutes.py",
        "/assets/",
    ],
)
def test_nothing_but_what_a_page_showed_is_served(run: Run, client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_replaced_file_is_another_layer(run: Run, client: TestClient) -> None:
    tile, _ = tile_of(30, 30)
    old = layer_of(run, "mine", 0)
    run.path(runs.prediction_name("2016")).unlink()
    assert client.get(f"/tiles/{old.id}/{tile}").status_code == 404
    mapped_run(run.root.parent)
    with pytest.raises(BadInput, match=r"prediction_2030\.tif"):
        layers.register(run, "mine", runs.prediction_name("2030"))
    run.path(runs.prediction_name("2016")).write_bytes(run.path(runs.prediction_name("2025")).read_bytes())
    new = layer_of(run, "mine", 0)
    assert new.id != old.id
    assert client.get(f"/tiles/{new.id}/{tile}").status_code == 200
    assert client.get(f"/tiles/{old.id}/{tile}").status_code == 404


def test_a_file_cut_short_is_a_missing_tile(run: Run, client: TestClient) -> None:
    path = run.path(runs.preview_name("2016"))
    path.write_bytes(path.read_bytes()[:-300])
    tile, _ = tile_of(30, 30)
    try:
        layer = layer_of(run, "picture")
    except BadInput:
        return
    assert client.get(f"/tiles/{layer.id}/{tile}").status_code in (200, 404)


@pytest.mark.parametrize("path", ["/tiles/x/0/0/0", "/outlines/x", "/zips/mapped", "/vendor/leaflet-1.9.4/leaflet.js"])
def test_a_foreign_host_name_is_refused(run: Run, client: TestClient, path: str) -> None:
    assert client.get(path, headers={"Host": "rebound.example:8501"}).status_code == 400


def test_the_files_of_the_map_are_served_with_their_licences(client: TestClient) -> None:
    for url in leaflet.FILES.values():
        assert client.get(f"/vendor/{url}").status_code == 200
        assert client.get(f"/vendor/{url.split('/')[0]}/LICENSE").status_code == 200
    for name in ("results_map.js", "results_map.css"):
        assert client.get(leaflet.own_file(name)).status_code == 200


def test_a_map_that_would_ask_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="d3"):
        leaflet.own_link("d3", "https://d3js.org/d3.v4.min.js")


def test_outlines_carry_hectares_and_text_that_means_nothing(home: Path, client: TestClient) -> None:
    run = mapped_run(home, mine=" ".join((*HOSTILE, "<img src=x onerror=alert(1)>")))
    answer = client.get(f"/outlines/{layer_of(run, 'labels').id}")
    told = answer.json()["features"][0]["properties"]
    assert set(told) == {"id", "text"}
    assert re.fullmatch(r"(?:[\w .,-]|&#\d+;)*", told["text"])
    assert told["text"].endswith(", 16.0 ha")
    found = client.get(f"/outlines/{layer_of(run, 'mines', 1).id}").json()["features"]
    assert [one["properties"]["text"] for one in found] == ["Patch 2, 20.0 ha", "Patch 1, 16.0 ha"]


@pytest.mark.parametrize("content", ["{", "[]", '{"features": 3}', '{"features": [{"properties": {}}]}'])
def test_damaged_outlines_are_left_out_and_named(run: Run, content: str) -> None:
    run.path(runs.outlines_name("2025")).write_text(content, encoding="utf-8")
    at = opened("results", run="mapped")
    assert not at.exception
    assert r"Not on the map" in shown(at)
    assert r"outlines\_2025\.geojson" in shown(at)


def map_of(at: Any) -> str:
    return "".join(element.proto.json_args for element in at.get("component_instance"))


def test_the_page_shows_the_map_after_the_verdict(run: Run) -> None:
    at = opened("results", main=True, run="mapped")
    assert not at.exception
    assert len(alerts(at)) == 1
    assert [h.value for h in at.header][:4] == ["Hectares of mining", "Ledger of change", "Map", "Mine by mine"]
    script = map_of(at)
    for layer in layers.names_of(YEARS):
        assert layer_of(run, layer[0], layer[2] or 0).id in script
    assert "https://" not in script
    assert str(run.root) not in script


def test_text_from_files_does_not_reach_folium(home: Path) -> None:
    text = " ".join(HOSTILE)
    mapped_run(home, "mines", mine=text)
    at = opened("results", run="mines")
    assert not at.exception
    for harmful in HOSTILE:
        assert harmful not in map_of(at)
        assert words.in_html(harmful) not in map_of(at)
    mapped_run(home, "years", years=[text, "2025"])
    at = opened("results", run="years")
    assert not at.exception
    assert not at.get("component_instance")


def test_the_threshold_shows_its_hectares(run: Run) -> None:
    at = opened("results", run="mapped")
    assert at.slider[0].value == 50
    assert metrics(at)["At or above 50 % in 2016"] == "28.0 ha"
    assert not at.get("plotly_chart")
    at.session_state[f"{thresholds.OPEN} mapped"] = True
    assert len(at.run().get("plotly_chart")) == 1
    at.slider[0].set_value(29).run()
    assert float(metrics(at)["At or above 29 % in 2016"].split()[0]) > 150
    assert '"threshold": 29' in json.loads(map_of(at))["feature_group"]


def test_an_older_run_shows_what_it_has_and_says_what_it_lacks(run: Run) -> None:
    for year in YEARS:
        run.path(runs.preview_name(year)).unlink()
    run.path(runs.THRESHOLD_HECTARES).unlink()
    at = opened("results", run="mapped")
    assert not at.exception
    assert "Not on the map" in shown(at)
    assert r"preview\_2016\.tif, preview\_2025\.tif" in shown(at).replace(r"\,", ",")
    assert not at.slider


def test_a_run_without_rasters_has_no_map(home: Path) -> None:
    finished_run(home)
    at = opened("results", run="demo")
    assert not at.exception
    assert "Map" not in [h.value for h in at.header]
    assert len(at.dataframe[1].value) == 3


def test_ranges_stand_under_the_figures(home: Path) -> None:
    limits = {"low": 3700.0, "high": 3990.5, "parts": {}}
    finished_run(home, sensitivity={"hectares": {"2016": limits}, "new_ha": limits, "gone_ha": {}, "net_ha": None})
    at = opened("results", run="demo")
    assert not at.exception
    told = {m.label: m.delta for m in at.metric}
    assert told["Mining in 2016"] == "3,700.0 to 3,990.5 ha"
    assert told[words.NEW] == "3,700.0 to 3,990.5 ha"
    assert not told[words.GONE]
    assert told["Mining in 2025"] == "+1,171.5 ha since 2016"


def test_the_zip_holds_every_download_and_leaves_nothing_behind(
    run: Run, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    answer = client.get("/zips/mapped")
    assert answer.headers["content-disposition"] == 'attachment; filename="mapped.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None
        names = set(packed.namelist())
        assert packed.read("mapped/areas.csv") == run.path(runs.AREAS).read_bytes()
    there = {f"mapped/{p.relative_to(run.root).as_posix()}" for p in run.root.rglob("*") if p.is_file()}
    assert names == there
    assert not list(folder.iterdir())
