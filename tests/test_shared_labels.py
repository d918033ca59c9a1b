"""What is drawn on one picture holds on every cut of it, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio.warp
from conftest import as_tiff
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_nets import plain_detector, trained_like
from odc.geo.geobox import GeoBox

from minedetect.assess import evaluate_model
from minedetect.bands import reading_of
from minedetect.config import Settings
from minedetect.findings import shown_ha
from minedetect.grid import Window, crop, shape_of
from minedetect.labels import Labels
from minedetect.measure import hectares
from minedetect.model import UNet
from minedetect.places import seen_window, shared_ground_px
from minedetect.prepare import prepare
from minedetect.quality import Quality
from minedetect.raster import IGNORE, MINE, Mask, open_raster
from minedetect.runs import Run
from minedetect.scenes import Scene, SceneFiles
from minedetect.shared_labels import completed

GROUND = GeoBox.from_bbox((500_000, 8_600_000, 502_400, 8_602_000), "EPSG:32735", resolution=10)
MINES = (Window(40, 60, 30, 40), Window(90, 100, 25, 30), Window(60, 170, 50, 20))
CUTS = (Window(0, 10, 140, 150), Window(30, 40, 150, 160), Window(20, 90, 160, 150))
SETTINGS = Settings(tile_px=64, preset="cpu", device="cpu")
BANDS = ("B2", "B3")
PICTURE = np.random.default_rng(0).integers(200, 4000, (2, *shape_of(GROUND))).astype(np.uint16)


def drawn(mines: Sequence[Window]) -> Mask:
    mask = np.zeros(shape_of(GROUND), np.uint8)
    for mine in mines:
        mask[mine.slices] = MINE
    return mask


def scene(folder: Path, name: str, pixels: npt.NDArray[Any], mask: Mask, grid: GeoBox) -> Scene:
    files = SceneFiles(folder / f"{name}.tif", folder / f"{name}_mask.tif", name)
    files.image.write_bytes(as_tiff(pixels, grid, bands=BANDS, nodata=0))
    files.labels.write_bytes(as_tiff(mask[None], grid, nodata=IGNORE))
    raster = open_raster(files.image)
    observed = np.asarray((pixels > 0).all(axis=0))
    return Scene(
        files,
        raster,
        reading_of(raster, BANDS, BANDS),
        BANDS,
        Labels(files.labels, ()),
        mask,
        observed,
        Quality((), {}),
    )


def cut(folder: Path, number: int, window: Window, mines: Sequence[Window], picture: Any = PICTURE) -> Scene:
    return scene(folder, f"cut_{number}", picture[:, *window.slices], drawn(mines)[window.slices], crop(GROUND, window))


@pytest.fixture
def cuts(tmp_path: Path) -> list[Scene]:
    """Three overlapping cuts of one picture, each with one mine of its own drawn."""
    return [
        cut(tmp_path, number, window, [mine]) for number, (window, mine) in enumerate(zip(CUTS, MINES, strict=True))
    ]


def told(one: Scene) -> list[str]:
    return [check.message for check in one.quality.checks if check.name == "shared_labels"]


def test_cuts_of_one_picture_share_what_is_drawn_on_each(cuts: list[Scene]) -> None:
    done, (words,) = completed(cuts, share=True)
    for one, window in zip(done, CUTS, strict=True):
        assert np.array_equal(one.mask, drawn(MINES)[window.slices])
    added = [hectares(a.mask != b.mask, b.raster.grid, 1) for a, b in zip(done, cuts, strict=True)]
    assert words.startswith(f"{shown_ha(sum(added))} on 3 of 3 scenes")
    assert [len(told(one)) for one in done] == [1, 1, 1]
    assert "cut_0, cut_1" in told(done[2])[0]
    assert completed(done, share=True) == (done, ())


def test_the_order_of_scenes_is_irrelevant(cuts: list[Scene]) -> None:
    forth, back = completed(cuts, share=True)[0], completed(cuts[::-1], share=True)[0][::-1]
    for a, b in zip(forth, back, strict=True):
        assert np.array_equal(a.mask, b.mask)


def test_without_sharing_labels_stay_and_what_contradicts_is_told(cuts: list[Scene]) -> None:
    done, (words,) = completed(cuts, share=False)
    assert all(a.mask is b.mask for a, b in zip(done, cuts, strict=True))
    assert "with --share-labels they would count as mine" in words
    assert told(done[0])


def test_another_date_of_the_same_ground_keeps_its_labels(tmp_path: Path) -> None:
    later = (PICTURE * 1.02 + 10).astype(np.uint16)
    scenes = [cut(tmp_path, 0, CUTS[0], MINES[:1]), cut(tmp_path, 1, CUTS[1], MINES[:2], later)]
    done, (words,) = completed(scenes, share=True)
    assert all(a.mask is b.mask for a, b in zip(done, scenes, strict=True))
    assert "right where the dates differ" in words
    assert len(told(done[0])) == 1
    assert not told(done[1])


def test_a_picture_of_one_value_is_no_evidence(tmp_path: Path) -> None:
    flat = np.full_like(PICTURE, 700)
    scenes = [cut(tmp_path, number, CUTS[number], [MINES[number]], flat) for number in (0, 1)]
    done, _ = completed(scenes, share=True)
    assert all(a.mask is b.mask for a, b in zip(done, scenes, strict=True))


def test_unknown_stays_unknown(cuts: list[Scene]) -> None:
    unknown = cuts[0].mask.copy()
    unknown[80:120] = IGNORE
    done, _ = completed([replace(cuts[0], mask=unknown), cuts[1]], share=True)
    assert (done[0].mask[80:120] == IGNORE).all()


def test_scenes_apart_and_scenes_that_agree_are_left_as_they_are(tmp_path: Path) -> None:
    scenes = [cut(tmp_path, number, window, MINES) for number, window in enumerate(CUTS)]
    assert completed(scenes, share=True) == (scenes, ())
    apart = [cut(tmp_path, 3, Window(0, 0, 90, 110), MINES[:1]), cut(tmp_path, 4, Window(100, 120, 90, 90), MINES[1:])]
    assert completed(apart, share=True) == (apart, ())


def moved(grid: GeoBox, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The picture on another grid by nearest neighbour, as exports cut it."""
    found = np.zeros((len(picture), *shape_of(grid)), picture.dtype)
    rasterio.warp.reproject(
        picture,
        found,
        src_transform=GROUND.transform,
        src_crs=str(GROUND.crs),
        dst_transform=grid.transform,
        dst_crs=str(grid.crs),
        dst_nodata=0,
    )
    return found


@settings(max_examples=8)
@given(st.floats(-0.45, 0.45), st.floats(-0.45, 0.45))
def test_cuts_between_pixels_are_the_same_picture(
    tmp_path_factory: pytest.TempPathFactory, rows_px: float, cols_px: float
) -> None:
    folder = tmp_path_factory.mktemp("moved")
    grid = crop(GROUND, CUTS[1]).translate_pix(cols_px, rows_px)
    first = cut(folder, 0, CUTS[0], MINES[:1])
    second = scene(folder, "moved", moved(grid, PICTURE), moved(grid, drawn(MINES[1:2])[None])[0], grid)
    done, _ = completed([first, second], share=True)
    assert np.array_equal(done[0].mask == MINE, drawn(MINES[:2])[CUTS[0].slices] == MINE)


def test_a_cut_in_degrees_is_compared_and_completed_to_the_pixel_beside(tmp_path: Path) -> None:
    box = crop(GROUND, CUTS[1]).extent.to_crs("EPSG:4326").boundingbox
    grid = GeoBox.from_bbox(box, "EPSG:4326", shape=(CUTS[1].height, CUTS[1].width))
    first = cut(tmp_path, 0, CUTS[0], MINES[:1])
    second = scene(tmp_path, "degrees", moved(grid, PICTURE), moved(grid, drawn(MINES[1:2])[None])[0], grid)
    done, (words,) = completed([first, second], share=True)
    assert "The picture is the same" in words
    wanted = drawn(MINES[:2])[CUTS[0].slices] == MINE
    assert ((done[0].mask == MINE) != wanted).sum() <= 2 * (MINES[1].height + MINES[1].width)


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60), st.integers(1, 60))
def test_the_window_one_scene_is_seen_in_is_what_both_cover(row: int, col: int, height: int, width: int) -> None:
    a, b = Window(20, 30, 50, 40), Window(row, col, height, width)
    common = a.intersection(b)
    wanted = common.shifted(-a.row, -a.col) if common else None
    assert seen_window(crop(GROUND, a), crop(GROUND, b)) == wanted


def test_scenes_that_overlap_by_a_sliver_of_rounding_stay_as_they_are(tmp_path: Path) -> None:
    left, right = Window(0, 0, 190, 100), Window(0, 100, 190, 100)
    beside = crop(GROUND, right).translate_pix(-0.0005, 0)
    scenes = [
        cut(tmp_path, 0, left, MINES),
        scene(tmp_path, "beside", PICTURE[:, *right.slices], drawn(MINES[:1])[right.slices], beside),
    ]
    assert shared_ground_px([one.raster.grid for one in scenes])[0, 1] > 0
    assert completed(scenes, share=True) == (scenes, ())


def test_what_is_learned_is_the_completed_mask(tmp_path: Path, cuts: list[Scene]) -> None:
    far = GROUND.translate_pix(5000, 0)
    other = scene(tmp_path, "far", PICTURE, drawn(MINES), far)
    run, files = Run(tmp_path / "run"), [one.files for one in (*cuts, other)]
    prepared = prepare(run, files, SETTINGS, lambda _done, _total: None)
    assert np.array_equal(prepared.scenes[0].mask, drawn(MINES)[CUTS[0].slices])
    with rasterio.open(run.path("scenes/cut_0/mask.tif")) as written:
        assert np.array_equal(written.read(1), prepared.scenes[0].mask)
    assert any(c["name"] == "shared_labels" for c in run.read_json("scenes/cut_0/quality.json")["checks"])
    assert "on 3 of 4 scenes" in prepared.doubts[0]


def test_a_score_counts_what_is_drawn_on_any_cut_and_says_so(cuts: list[Scene]) -> None:
    detector, files = plain_detector(trained_like(UNet(2, 4))), [one.files for one in cuts[:2]]
    both, as_drawn = (
        evaluate_model(detector, files, Settings(share_labels=share, device="cpu"), lambda _done, _total: None)
        for share in (True, False)
    )
    assert both["labelled_ha"] > as_drawn["labelled_ha"]
    assert any("they count as mine" in words for words in both["warnings"])
    assert any("--share-labels" in words for words in as_drawn["warnings"])
