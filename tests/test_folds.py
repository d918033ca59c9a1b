"""Several networks, each judged on places where it did not learn: splits, nets as one, training and going on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from invented_nets import plain_detector, trained_like
from odc.geo.geobox import GeoBox

from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings, TileSettings
from minedetect.curves import read_metrics
from minedetect.devices import Device
from minedetect.errors import Cancelled, ModelError, SettingError, SplitError
from minedetect.learn import train_run
from minedetect.model import Detector, UNet, load, parts_of, save, start_net, together
from minedetect.network import network_of
from minedetect.places import ground_clusters
from minedetect.presets import settings_from
from minedetect.raster import IGNORE
from minedetect.resume import resume_run, settings_to_resume
from minedetect.runs import EVALUATION, METRICS, MODEL, SPLIT, Run
from minedetect.scenes import SceneFiles
from minedetect.split import Split, make_split

CPU = Device("cpu", bf16=False, name="test")


def at(col_px: int) -> GeoBox:
    """A scene that begins so many pixels right of a common origin."""
    return GeoBox((80, 96), Affine(10, 0, 600_000 + 10 * col_px, 0, -10, 8_600_000), "EPSG:32735")


def mined(side_px: int) -> np.ndarray:
    mask = np.zeros((80, 96), np.uint8)
    mask[10 : 10 + side_px, 10 : 10 + side_px] = 1
    return mask


def parts(split: Split) -> list[set[int]]:
    """Numbers of the scenes that teach, validate and test."""
    of: Sequence[str] = ("training", "validation", "test")
    return [{i for i, scene in enumerate(split.scenes) if getattr(scene, part)} for part in of]


places = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 4, 20, 40])), min_size=2, max_size=8)


@given(places, st.integers(2, 5), st.sampled_from([0.0, 0.3]), st.integers(0, 3))
def test_each_place_judges_one_network_and_teaches_the_others(
    scenes: list[tuple[int, int]], folds: int, test_share: float, seed: int
) -> None:
    grids, masks = [at(col * 60) for col, _ in scenes], [mined(side) for _, side in scenes]
    settings = TileSettings(tile_px=64, folds=folds, test_share=test_share)
    try:
        split = make_split(grids, masks, settings, seed)
    except SplitError:
        return
    assert 2 <= len(split.folds) <= folds
    found = [parts(fold) for fold in split.folds]
    tested = found[0][2]
    judged = [scene for _, validated, _ in found for scene in validated]
    assert sorted(judged) == sorted(set(range(len(scenes))) - tested)
    assert bool(tested) == bool(test_share)
    for fold, (taught, validated, apart) in zip(split.folds, found, strict=True):
        assert apart == tested
        assert not taught & validated
        assert taught | validated | apart == set(range(len(scenes)))
        assert fold.shared_pixels == 0
        assert fold.mines > 0
        for group in ground_clusters(grids):
            assert sum(bool(set(group) & part) for part in (taught, validated, apart)) == 1
    assert split == make_split(grids, masks, settings, seed), "the same each time"


def test_folds_are_even() -> None:
    split = make_split([at(200 * i) for i in range(12)], [mined(20)] * 12, TileSettings(tile_px=64, folds=4), 0)
    assert [fold.mine_share for fold in split.folds] == pytest.approx([0.25] * 4)
    content = split.to_json([str(i) for i in range(12)])
    assert len(content["further_folds"]) == 3


def test_few_places_make_few_folds_and_one_place_none() -> None:
    three = make_split([at(200 * i) for i in range(3)], [mined(20)] * 3, TileSettings(tile_px=64, folds=5), 0)
    assert len(three.folds) == 3
    with pytest.raises(SplitError, match="fewer than two"):
        make_split([at(0), at(40)], [mined(20)] * 2, TileSettings(tile_px=64, folds=5), 0)
    assert make_split([at(0)], [np.tile(mined(20), (4, 4))[:, :96]], TileSettings(tile_px=64, folds=5), 0).folds


def invented(count: int) -> list[Detector]:
    torch.manual_seed(0)
    return [plain_detector(trained_like(UNet(2, 4, coarsen=2))) for _ in range(count)]


def test_networks_together_give_the_mean_of_their_probabilities() -> None:
    each = invented(3)
    pixels = np.random.default_rng(0).random((2, 96, 128), dtype=np.float32)
    alone = [network_of(one, CPU, eightfold=False) for one in each]
    joined = network_of(together(each), CPU, eightfold=False)
    found = [net.everywhere(pixels) for net in alone]
    assert np.std(found, axis=0).max() > 0.05
    assert np.abs(joined.everywhere(pixels) - np.mean(found, axis=0)).max() < 1e-5
    assert (joined.margin_px, joined.factor_px) == (alone[0].margin_px, alone[0].factor_px)
    assert together(each[:1]) is each[0]


def test_several_networks_lie_in_one_model_file(tmp_path: Path) -> None:
    detector = together(invented(2))
    save(detector, tmp_path / "m.pt")
    again = load(tmp_path / "m.pt")
    x = torch.rand(1, 2, 64, 64)
    assert len(parts_of(again.net)) == 2
    assert torch.equal(again.net(x), detector.net.eval()(x))
    with pytest.raises(ModelError, match="holds 2 networks"):
        start_net(Settings(init=str(tmp_path / "m.pt"), width=4, coarsen=2), again.contract)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[SceneFiles]:
    """Four places far from each other; mines are bright."""
    folder, rng = tmp_path_factory.mktemp("places"), np.random.default_rng(0)
    found = []
    for n in range(4):
        mask = np.zeros((80, 96), np.uint8)
        for row, col in rng.integers(0, (60, 76), (4, 2)):
            mask[row : row + 16, col : col + 16] = 1
        pixels = np.clip(rng.normal(0.3, 0.05, (2, *mask.shape)) + 0.3 * mask, 0.01, 1).astype(np.float32)
        image, labels = folder / f"place_{n}.tif", folder / f"mask_{n}.tif"
        write_cog(image, pixels, at(500 * n), CogProfile("float32", float("nan"), ("B2", "B3"), {}))
        write_cog(labels, mask, at(500 * n), CogProfile("uint8", IGNORE, ("mine",), {}))
        found.append(SceneFiles(image, labels, f"place_{n}"))
    return found


@pytest.fixture(scope="module")
def settings() -> Settings:
    quick = {"preset": "cpu", "width": 4, "epochs": 3, "tile_px": 64, "tile_overlap": 0.0, "learning_rate": 0.01}
    return settings_from({**quick, "folds": 2, "device": "cpu", "precision": "float32"}, gpu=False)


@pytest.fixture(scope="module")
def whole(files: list[SceneFiles], settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "whole")
    train_run(run, files, settings)
    return run


@pytest.mark.slow
def test_a_training_of_folds_judges_every_place_and_keeps_all_networks(whole: Run) -> None:
    detector, evaluation = load(whole.path(MODEL)), whole.read_json(EVALUATION)
    first, second = parts_of(detector.net)
    assert not torch.equal(first.head.weight, second.head.weight)
    assert evaluation["blocks"] == 4
    assert "2 networks that did not learn there" in evaluation["note"]
    assert whole.read_json(SPLIT)["further_folds"][0]["shared_pixels"] == 0
    for number in (1, 2):
        assert len(read_metrics(whole.path(f"folds/{number}/{METRICS}"))) == 3
    assert read_metrics(whole.path(METRICS)) == read_metrics(whole.path(f"folds/2/{METRICS}"))


@pytest.mark.slow
@pytest.mark.parametrize("epochs_done", [2, 4])
def test_a_stopped_training_of_folds_goes_on_to_the_same_model(
    epochs_done: int, whole: Run, files: list[SceneFiles], settings: Settings, tmp_path: Path
) -> None:
    run = Run(tmp_path / "stopped")

    def listen(step: str, done: int, _total: int) -> None:
        if step == "train" and done == epochs_done:
            raise Cancelled

    with pytest.raises(Cancelled):
        train_run(run, files, settings, listen)
    so_far = load(run.path(MODEL))
    assert len(parts_of(so_far.net)) == 1 + (epochs_done > 3)
    assert so_far.provenance["finished"] is False
    resume_run(run, settings_to_resume(run, {}))
    ours, theirs = (load(one.path(MODEL)).net.state_dict() for one in (run, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_several_networks_want_one_device(
    files: list[SceneFiles], settings: Settings, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingError, match="--folds 1 or --devices 1"):
        train_run(Run(tmp_path / "r"), files, settings)


def test_a_share_that_several_networks_do_not_validate_on_is_told(
    files: list[SceneFiles], settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(step: str, done: int, _total: int) -> None:
        if step == "train" and done:
            raise Cancelled

    def told(share: float) -> bool:
        caplog.clear()
        with caplog.at_level("INFO"), pytest.raises(Cancelled):
            train_run(
                Run(tmp_path / str(share)), files, settings.model_copy(update={"validation_share": share}), listen
            )
        return "--validation-share is for --folds 1" in caplog.text

    assert (told(0.3), told(0.2)) == (True, False)
