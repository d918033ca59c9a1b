"""How long a training would take: reckoned rightly, from steps that are those of a training."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect import pace
from minedetect.config import Settings
from minedetect.errors import DeviceError, SettingError
from minedetect.grid import validation_cores
from minedetect.outlook import district_split
from minedetect.pace import Pace, Work
from minedetect.presets import PRESETS, settings_from
from minedetect.probe import BUDGET_S, Shape, Timed, main, probe, reckoned, shapes

TINY = settings_from({"width": 4, "tile_px": 64, "batch": 2, "device": "cpu"}, gpu=False)


@given(
    fixed_s=st.floats(0, 2),
    pixel_s=st.floats(1e-9, 1e-5),
    side_px=st.sampled_from([64, 128, 256]),
    batch=st.integers(5, 64),
)
def test_a_batch_is_reckoned_exactly_where_steps_cost_a_fixed_part_and_one_for_each_pixel(
    fixed_s: float, pixel_s: float, side_px: int, batch: int
) -> None:
    def timed(shape: Shape) -> Timed:
        seconds = fixed_s + pixel_s * shape.px
        return Timed(shape, seconds, seconds / 3)

    whole = Shape(batch, side_px)
    learned_s, judged_s = reckoned([timed(Shape(1, side_px)), timed(Shape(4, side_px))], whole)
    if pixel_s * Shape(4, side_px).px >= fixed_s:  # else noise is guarded against, which makes it longer
        assert learned_s == pytest.approx(timed(whole).learned_s)
        assert judged_s == pytest.approx(timed(whole).judged_s)
    assert learned_s >= timed(whole).learned_s * (1 - 1e-9)


@given(preset=st.sampled_from(list(PRESETS)), tile_px=st.sampled_from([128, 192, 256, 1024]), batch=st.integers(1, 256))
def test_steps_grow_up_to_the_one_that_training_takes(preset: str, tile_px: int, batch: int) -> None:
    settings = settings_from({"preset": preset, "tile_px": tile_px, "batch": batch}, gpu=False)
    every = list(shapes(settings))
    assert every[-1] == Shape(batch, tile_px)
    assert [shape.px for shape in every] == sorted({shape.px for shape in every})
    assert all(shape.side_px % 2 == 0 and shape.side_px >= 32 * settings.coarsen for shape in every)


def test_a_whole_step_is_measured_where_there_is_time_for_it() -> None:
    seen = probe(TINY, bands=3)
    assert seen.whole
    assert seen.learned_per_s > 0
    assert seen.judged_per_s > 0
    assert seen.device.startswith("CPU")


@pytest.mark.slow
def test_a_step_too_long_is_reckoned_from_shorter_ones() -> None:
    huge = settings_from({"preset": "full", "batch": 256, "tile_px": 512, "device": "cpu"}, gpu=False)
    assert len(list(shapes(huge))) > 5
    seen = probe(huge, bands=5)
    assert not seen.whole
    assert 256 / seen.learned_per_s > BUDGET_S


def test_the_probe_answers_from_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"settings": pace.deciding(TINY), "bands": 3, "spare": True}
    assert main(json.dumps(asked)) == 0
    assert Pace(**json.loads(capsys.readouterr().out)).whole
    asked["settings"] = {**pace.deciding(TINY), "device": "cuda"}
    code = main(json.dumps(asked))
    assert (code, "no CUDA device" in capsys.readouterr().err) in ((2, True), (0, False))


@pytest.mark.slow
def test_what_was_measured_comes_back_and_what_cannot_be_is_a_sentence() -> None:
    assert pace.measured(pace.deciding(TINY), 3, spare=True).whole
    with pytest.raises(DeviceError, match="Setting --width is 5000"):
        pace.measured({**pace.deciding(TINY), "width": 5000}, 3, spare=True)


def test_only_what_decides_the_pace_is_asked_for() -> None:
    asked = pace.deciding(TINY)
    assert {"width", "coarsen", "tile_px", "batch", "zoom", "device", "precision"} <= set(asked)
    assert not {"epochs", "seed", "learning_rate", "init"} & set(asked)
    assert pace.deciding(settings_from({**asked, "epochs": 7, "seed": 3}, gpu=False)) == asked


def test_the_work_of_an_epoch_is_that_of_the_split() -> None:
    settings = settings_from({"tile_px": 64}, gpu=False)
    split = {"scenes": {n: {"training": [[0, 0, 64, 64]] * n, "validation": [[0, 0, 64, 112]]} for n in (3, 4)}}
    work = pace.work_of(split, settings)
    assert work == Work(7, 2 * len(validation_cores((64, 112), 64)))
    assert pace.work_of(split, settings_from({"tile_px": 64, "tiles_per_epoch": 50}, gpu=False)).learned == 50
    once = pace.foretold_s(Pace(10.0, 40.0, "", "", True), work, 1)
    assert once == pytest.approx(0.7 + work.judged / 40)
    assert pace.foretold_s(Pace(10.0, 40.0, "", "", True), work, 9) == pytest.approx(9 * once)


@pytest.mark.slow
def test_the_districts_split_is_known_before_the_district_is_built() -> None:
    split = district_split(Settings())
    assert split["training_tiles"] == 35
    assert split["shared_pixels"] == 0
    assert pace.work_of(split, Settings()) == Work(35, 6)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"validation_share": 0.45, "test_share": 0.4}, "leave 15% of the mine area"),
        ({"tile_px": 64, "coarsen": 4}, "--tile-px 128 or more"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(chosen: dict[str, float], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        settings_from(chosen, gpu=False)
    settings_from({**chosen, "test_share": 0.1, "coarsen": 1}, gpu=False)
    assert settings_from({**chosen, "coarsen": 1, "leave_mine_out": 1}, gpu=False).leave_mine_out == 1
