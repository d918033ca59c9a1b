"""Each check is ok on good labels and speaks up, with figures and advice, on the fault it is for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from minedetect.labels import Labels, Outline, mask_on
from minedetect.measure import polygon_hectares
from minedetect.quality import Quality, Subject, check
from minedetect.raster import IGNORE

GRID = GeoBox((200, 240), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
OBSERVED = np.ones((200, 240), bool)


def outline(index: int, col: float, row: float, side_px: float, **fields: object) -> Outline:
    corner, far = GRID.transform @ (col, row), GRID.transform @ (col + side_px, row + side_px)
    geometry = gpd.GeoSeries([shapely.box(*corner, *far)], crs="EPSG:32735").to_crs("EPSG:4326")[0]
    told = {"id": f"A{index}", "name": "", "status": "active", "status_given": "Active"}
    return Outline(index=index, claimed_ha=None, geometry=geometry, repair_ha=0.0, **{**told, **fields})


def subject(*outlines: Outline, **fields: object) -> Subject:
    labels = Labels(Path("mines.geojson"), outlines or (outline(1, 20, 20, 40), outline(2, 100, 90, 50)))
    made = Subject(GRID, OBSERVED, mask_on(labels, GRID), labels, tile_px=64)
    return replace(made, **fields)  # type: ignore[arg-type]


def only(quality: Quality, name: str) -> tuple[str, str]:
    """Verdict and message of the one check of this name."""
    ((verdict, message),) = [(c.verdict, c.message) for c in quality.checks if c.name == name]
    return verdict, message


def test_good_labels_pass_every_check() -> None:
    quality = check(subject())
    assert {c.verdict for c in quality.checks} == {"ok"}
    assert quality.verdict == "ok"
    names = [c.name for c in quality.checks]
    assert names == [
        "grid",
        "balance",
        "observed",
        "edges",
        "outside",
        "validity",
        "overlap",
        "ids",
        "status",
        "area_ha",
    ]


def test_figures_are_those_of_the_mask() -> None:
    figures = check(subject()).to_json()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["mine_px"] == pytest.approx(1600 + 2500, abs=10)
    assert figures["mine_ha"] == pytest.approx(41, rel=0.01)
    assert figures["mine_share"] == pytest.approx(4100 / 48_000, rel=0.01)
    assert figures["invalid_share"] == figures["unobserved_mine_ha"] == figures["unknown_px"] == 0
    assert [p["hectares"] for p in figures["polygons"]] == pytest.approx([16, 25], rel=0.01)


MASKS = {
    "no mine": np.zeros((200, 240), np.uint8),
    "few": np.zeros((200, 240), np.uint8),
    "most": np.ones((200, 240), np.uint8),
    "ragged": (np.random.default_rng(0).random((200, 240)) < 0.1).astype(np.uint8),
    "unknown": np.full((200, 240), IGNORE, np.uint8),
}
MASKS["few"][5:13, 5:14] = 1
CLOUD, SEEN_NOWHERE, SMALL_HOLE = OBSERVED.copy(), np.zeros_like(OBSERVED), OBSERVED.copy()
CLOUD[:20] = False
SMALL_HOLE[30:32, 30:32] = False


@pytest.mark.parametrize(
    ("name", "verdict", "words", "fields"),
    [
        ("balance", "blocking", "No pixel is labelled mine", {"mask": MASKS["no mine"]}),
        ("balance", "blocking", "No pixel is labelled mine", {"mask": MASKS["unknown"]}),
        ("balance", "warning", "0.15%", {"mask": MASKS["few"]}),
        ("balance", "warning", "100.00%", {"mask": MASKS["most"]}),
        ("edges", "warning", "ragged", {"mask": MASKS["ragged"]}),
        ("observed", "warning", "10.00%", {"observed": CLOUD}),
        ("observed", "warning", "0.0 ha", {"observed": SMALL_HOLE}),
        ("observed", "blocking", "no valid pixel", {"observed": SEEN_NOWHERE}),
        ("size", "warning", "200 x 240 px", {"tile_px": 256}),
    ],
)
def test_a_doubtful_mask_is_told(name: str, verdict: str, words: str, fields: dict[str, object]) -> None:
    quality = check(subject(**fields))
    seen, message = only(quality, name)
    assert seen == verdict
    assert words in message
    assert quality.verdict == verdict
    assert bool(quality.blocking) == (verdict == "blocking")


A, B = outline(1, 20, 20, 40), outline(2, 100, 90, 50)


@pytest.mark.parametrize(
    ("name", "words", "outlines"),
    [
        ("outside", "mine 2 (12.", (A, outline(2, 215, 90, 50))),
        ("validity", "0.50 ha", (A, replace(B, repair_ha=0.5))),
        ("overlap", "4.0", (A, outline(2, 40, 40, 50))),
        ("ids", "A1", (A, replace(B, id="A1"))),
        ("status", "acttive", (A, replace(B, status_given="acttive"))),
        ("status", "(empty)", (A, replace(B, status="unknown", status_given=""))),
        ("area_ha", "mine 2 says 40.0, is 25.0 ha", (A, replace(B, claimed_ha=40.0))),
    ],
)
def test_a_doubtful_outline_is_told_and_nothing_else(name: str, words: str, outlines: tuple[Outline, ...]) -> None:
    quality = check(subject(*outlines))
    verdict, message = only(quality, name)
    assert verdict == "warning"
    assert words in message
    assert [c.name for c in quality.checks if c.verdict != "ok"] == [name]


@pytest.mark.parametrize("side_px", [30, 60])
def test_neighbours_that_only_touch_do_not_overlap(side_px: float) -> None:
    left, right = outline(1, 20, 20, side_px), outline(2, 20 + side_px, 30, side_px)
    assert only(check(subject(left, right)), "overlap")[0] == "ok"


def test_missing_ids_are_no_duplicates() -> None:
    assert only(check(subject(replace(A, id=""), replace(B, id=""))), "ids")[0] == "ok"


def test_a_claim_within_a_tenth_agrees() -> None:
    claims = [replace(o, claimed_ha=polygon_hectares(o.geometry) * 1.09) for o in (A, B)]
    assert only(check(subject(*claims)), "area_ha")[0] == "ok"


def test_notes_on_the_labels_are_warnings() -> None:
    made = subject()
    noted = replace(made, labels=replace(made.labels, notes=("1 of 3 features holds no polygon.",)))
    assert only(check(noted), "labels") == ("warning", "1 of 3 features holds no polygon.")


def test_a_mask_raster_has_no_outlines_to_check() -> None:
    made = subject(labels=Labels(Path("mask.tif"), ()))
    assert [c.name for c in check(made).checks] == ["grid", "balance", "observed", "edges"]
