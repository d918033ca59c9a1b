"""Each check is ok on good labels and speaks up, with figures and advice, on the fault it is for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import scipy.ndimage
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from minedetect.edges import Border, border_of, holes, patches, widened
from minedetect.errors import GridMismatch
from minedetect.labels import Labels, Outline, mask_on, outline_zones
from minedetect.measure import hectares, polygon_hectares
from minedetect.quality import Quality, Subject, check
from minedetect.raster import IGNORE, Mask

GRID = GeoBox((200, 240), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
OBSERVED = np.ones((200, 240), bool)


def outline(index: int, col: float, row: float, side_px: float, **fields: object) -> Outline:
    corner, far = GRID.transform @ (col, row), GRID.transform @ (col + side_px, row + side_px)
    geometry = gpd.GeoSeries([shapely.box(*corner, *far)], crs="EPSG:32735").to_crs("EPSG:4326")[0]
    told = {"id": f"A{index}", "name": "", "status": "active", "status_given": "Active"}
    return Outline(index=index, claimed_ha=None, geometry=geometry, repair_ha=0.0, **{**told, **fields})


def subject(*outlines: Outline, **fields: object) -> Subject:
    labels = Labels(Path("mines.geojson"), outlines or (outline(1, 20, 20, 40), outline(2, 100, 90, 50)))
    made = Subject(GRID, OBSERVED, mask_on(labels, GRID), labels, tile_px=64, mine_definition="Pits and dumps.")
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
        *("grid", "definition", "balance", "observed", "unknown", "edges", "border"),
        *("outside", "validity", "duplicates", "overlap", "small"),
        *("ids", "names", "status", "area_ha"),
    ]


def test_figures_are_those_of_the_mask() -> None:
    figures = check(subject()).to_json()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["mine_px"] == pytest.approx(1600 + 2500, abs=10)
    assert figures["mine_ha"] == pytest.approx(41, rel=0.01)
    assert figures["mine_share"] == pytest.approx(4100 / 48_000, rel=0.01)
    assert figures["invalid_share"] == figures["unobserved_mine_ha"] == figures["unknown_px"] == 0
    for key in ("hectares", "mask_ha"):
        assert [p[key] for p in figures["polygons"]] == pytest.approx([16, 25], rel=0.03)
    assert figures["shape"] == [200, 240]
    assert figures["bounds"] == [500_000, 8_598_000, 502_400, 8_600_000]
    assert figures["mine_definition"] == "Pits and dumps."
    assert (figures["patches"], figures["holes"]) == (2, 0)
    assert figures["border_ha"]["wider"] == pytest.approx(0.01 * 2 * (4 * 45 + 4), rel=0.03)


MASKS = {
    "no mine": np.zeros((200, 240), np.uint8),
    "few": np.zeros((200, 240), np.uint8),
    "most": np.ones((200, 240), np.uint8),
    "ragged": (np.random.default_rng(0).random((200, 240)) < 0.1).astype(np.uint8),
    "unknown": np.full((200, 240), IGNORE, np.uint8),
}
MASKS["few"][5:13, 5:14] = 1
MASKS["sparse"] = MASKS["unknown"].copy()
MASKS["sparse"][5:45] = 0
MASKS["sparse"][10:40, 10:40] = 1
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
        ("unknown", "warning", "80.0% of the labels", {"mask": MASKS["sparse"]}),
        ("definition", "warning", "--mine-definition", {"mine_definition": " "}),
        ("observed", "warning", "10.00%", {"observed": CLOUD}),
        ("observed", "warning", "mine 1 (0.04 of 16.", {"observed": SMALL_HOLE}),
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
    ("second", "coarse"),
    [(B, [False, False]), (outline(2, 90, 90, 2), [False, True]), (outline(2, 40, 40, 50), [False, False])],
)
def test_an_outline_that_the_check_calls_too_small_says_so_itself(second: Outline, coarse: list[bool]) -> None:
    """Not one whose pixels are few because another outline has them."""
    quality = check(subject(A, second))
    assert [told["coarse"] for told in quality.figures["polygons"]] == coarse


@pytest.mark.parametrize(
    ("name", "words", "outlines"),
    [
        ("outside", "1 outline partly beyond the image: mine 2 (12.5", (A, outline(2, 215, 90, 50))),
        ("outside", "1 outline wholly beyond the image: mine 2 (25.0", (A, outline(2, 300, 90, 50))),
        ("validity", "mine 2 (0.50 ha)", (A, replace(B, repair_ha=0.5, repaired=True))),
        ("duplicates", "mine 1 = mine 2 (16.0", (A, replace(A, index=2, id="A2"))),
        ("overlap", "mine 1 and mine 2 (4.0", (A, outline(2, 40, 40, 50))),
        ("small", "1 outline without any pixel on the mask: mine 2 (0.001 ha)", (A, outline(2, 90.1, 90.1, 0.3))),
        ("small", "too small or thin for the pixels to follow: mine 2 (0.040 ha", (A, outline(2, 90, 90, 2))),
        ("ids", "A1 (mine 1, mine 2)", (A, replace(B, id="A1"))),
        ("ids", "7 (mine 1, mine 2)", (replace(A, id="7"), replace(B, id="7.0"))),
        ("names", "1 outline without a name", (replace(A, name="Old pit"), B)),
        ("names", "Old pit (2 times)", (replace(A, name="Old pit"), replace(B, name="Old pit"))),
        ("status", '"acttive" as active (1 times)', (A, replace(B, status_given="acttive"))),
        ("status", "1 active, 1 unknown", (A, replace(B, status="unknown", status_given=""))),
        ("area_ha", "mine 2 says 40.00, is 25.0", (A, replace(B, claimed_ha=40.0))),
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
    assert [c.name for c in check(made).checks] == [
        "grid",
        "definition",
        "balance",
        "observed",
        "unknown",
        "edges",
        "border",
    ]


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(GridMismatch):
        check(subject(mask=np.zeros((200, 241), np.uint8)))


def test_zones_that_are_given_are_the_ones_that_would_be_found() -> None:
    made = subject()
    assert check(made) == check(replace(made, zones=outline_zones(made.labels, GRID)))


def test_no_status_anywhere_is_no_fault() -> None:
    silent = [replace(o, status="unknown", status_given="") for o in (A, B)]
    verdict, message = only(check(subject(*silent)), "status")
    assert verdict == "ok"
    assert "all 2 count as unknown" in message


def square_of(side_px: int) -> Mask:
    mask = np.zeros((200, 240), np.uint8)
    mask[50 : 50 + side_px, 60 : 60 + side_px] = 1
    return mask


@given(st.integers(1, 100))
def test_one_pixel_of_border_around_a_square(side_px: int) -> None:
    border = border_of(square_of(side_px), GRID)
    assert border.wider_ha == pytest.approx(0.01 * (4 * side_px + 4), rel=1e-3)
    assert border.narrower_ha == pytest.approx(0.01 * (side_px**2 - max(side_px - 2, 0) ** 2), rel=1e-3)


masks = st.builds(
    lambda seed, share: (np.random.default_rng(seed).random((30, 40)) < share).astype(np.uint8),
    st.integers(0, 2**31),
    st.floats(0, 1),
)
SMALL = GeoBox((30, 40), GRID.transform, "EPSG:32735")


@given(masks)
def test_what_widening_a_mask_gains_narrowing_its_background_loses(mask: Mask) -> None:
    border, turned = border_of(mask, SMALL), border_of(np.uint8(1) - mask, SMALL)
    assert (border.wider_ha, border.narrower_ha) == pytest.approx((turned.narrower_ha, turned.wider_ha))


def test_unknown_pixels_and_the_edge_of_the_image_are_no_border() -> None:
    mask = np.ones((30, 40), np.uint8)
    mask[:, 20:] = IGNORE
    assert border_of(mask, SMALL) == Border(0, 0.0, 0.0)


@given(masks)
def test_patches_and_holes_are_those_of_the_whole_mask(mask: Mask) -> None:
    mine = mask == 1
    found, enclosed = patches(mask), holes(mask)
    assert found.count == scipy.ndimage.label(mine, np.ones((3, 3)))[1]
    assert found.size_px.sum() == mine.sum()
    filled = scipy.ndimage.binary_fill_holes(mine) & ~mine
    assert enclosed.size_px.sum() == filled.sum()
    assert enclosed.count == scipy.ndimage.label(filled)[1]
    assert (widened(mine) == scipy.ndimage.binary_dilation(mine, np.ones((3, 3)))).all()
    assert found.hectares(SMALL).sum() == pytest.approx(hectares(mask, SMALL, 1))


@given(masks)
def test_the_verdict_is_the_worst_of_the_checks(mask: Mask) -> None:
    seen = np.ones((30, 40), bool)
    quality = check(Subject(SMALL, seen, mask, Labels(Path("mask.tif"), ()), 16, "Pits."))
    assert quality.verdict == ("blocking" if quality.blocking else quality.verdict)
    order = ("ok", "warning", "blocking")
    assert order.index(quality.verdict) == max(order.index(c.verdict) for c in quality.checks)
