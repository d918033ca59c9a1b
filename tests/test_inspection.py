from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minedetect import draft as drafts
from minedetect.demo import write_inputs
from minedetect.draft import Draft, Given
from minedetect.inspection import MASK_LAYER, inspect, write_mask_layer
from minedetect.raster import IGNORE, MINE
from minedetect.runs import EDGE_PICTURE, MASK_PICTURE, SPLIT_PICTURE, Run


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    job = write_inputs(Run(tmp_path_factory.mktemp("district")), (256, 256), 0)
    return {"before": job.before, "after": job.after, "labels": job.labels}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINEDETECT_HOME", str(tmp_path))
    return tmp_path


def drafted(files: dict[str, Path], **values: object) -> Run:
    run = drafts.create("mine")
    draft = Draft.model_validate(
        {"inputs": {role: Given(path=str(p), name=f"my {p.name}") for role, p in files.items()}}
    )
    drafts.update(run, lambda _: draft.with_values(**values))
    return run


def test_a_whole_draft_is_checked_and_drawn(district: dict[str, Path]) -> None:
    run = drafted(district, tile_px=64, exclude_mine=(1,))
    content = inspect(run)
    assert {"run_id": "check", **content} == drafts.findings(run)
    assert content["files"]["before"]["bands"] == ["B2", "B3", "B4", "B8", "B11"]
    assert len(content["files"]["before"]["sha256"]) == 64
    assert content["files"]["labels"]["outlines"] == len(content["polygons"]) + 1
    assert [o["index"] for o in content["left_out"]] == [1]
    assert {"shift", "split", "left_out"} <= {c["name"] for c in content["checks"]}
    assert content["verdict"] != "blocking"
    folder = drafts.check_run(run)
    for name in ("before.png", "after.png", MASK_LAYER, MASK_PICTURE, EDGE_PICTURE, SPLIT_PICTURE):
        assert folder.has(name), name
    assert folder.status().state == "done"
    assert not run.has("status.json")
    drafts.update(run, lambda draft: draft.with_input("after", None))
    inspect(run)
    assert not folder.has("after.png")


def test_both_dates_share_one_stretch(district: dict[str, Path]) -> None:
    run = drafted({**district, "after": district["before"]})
    inspect(run)
    one, two = (np.asarray(Image.open(drafts.check_run(run).path(name))) for name in ("before.png", "after.png"))
    assert np.array_equal(one, two)


@pytest.mark.slow
def test_a_scene_smaller_than_a_tile_blocks_with_what_to_do(district: dict[str, Path]) -> None:
    content = inspect(drafted(district, tile_px=512))
    blocking = [c for c in content["checks"] if c["verdict"] == "blocking"]
    assert [c["name"] for c in blocking] == ["split"]
    assert "tile" in blocking[0]["message"]


@pytest.mark.slow
def test_files_are_told_of_one_by_one_under_the_users_own_names(district: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "stored.tif"
    broken.write_bytes(b"no tiff at all")
    content = inspect(drafted({**district, "after": broken}))
    assert "my stored.tif is not a TIFF" in content["files"]["after"]["problem"]
    assert str(tmp_path) not in json.dumps(content)
    assert "problem" not in content["files"]["before"]
    assert content["polygons"]


@pytest.mark.slow
def test_bands_without_names_block(write_tiff_of: object, district: dict[str, Path]) -> None:
    run = drafted({**district, "before": write_tiff_of})  # type: ignore[dict-item]
    content = inspect(run)
    assert content["files"]["before"]["bands"] == []
    assert content["files"]["before"]["proposal"] == "B2,B3,B4,B8,B11"
    assert any(c["name"] == "bands" and c["verdict"] == "blocking" for c in content["checks"])
    drafts.update(run, lambda draft: draft.with_values(bands="B2,B3,B4,B8,B11", tile_px=64))
    assert inspect(run)["verdict"] != "blocking"


@pytest.fixture
def write_tiff_of(district: dict[str, Path], tmp_path: Path) -> Path:
    """The first image without its band names."""
    import rasterio

    with rasterio.open(district["before"]) as file:
        pixels, profile = file.read(), file.profile
    path = tmp_path / "unnamed.tif"
    with rasterio.open(path, "w", driver="GTiff", **{k: v for k, v in profile.items() if k in USED}) as file:
        file.write(pixels)
    return path


USED = ("height", "width", "count", "dtype", "crs", "transform", "nodata")


def test_a_setting_that_cannot_be_is_a_blocking_check(district: dict[str, Path]) -> None:
    content = inspect(drafted(district, tile_px=7))
    assert content["verdict"] == "blocking"
    assert "tile-px" in content["checks"][0]["message"]


def test_the_mask_layer_shows_every_mine_pixel(tmp_path: Path) -> None:
    mask = np.zeros((2001, 1400), np.uint8)
    mask[1000, 700], mask[:3] = MINE, IGNORE
    write_mask_layer(tmp_path / "layer.png", mask)
    layer = np.asarray(Image.open(tmp_path / "layer.png"))
    assert layer.shape == (667, 467, 4)
    red = (layer[..., 3] == 255) & (layer[..., 2] > layer[..., 1])
    assert red.sum() == 1
    assert (layer[0, :, 3] == 255).all()
    assert (layer[..., 3] == 255).sum() == 467 + 1
