"""The form of a training: every setting, filled by presets, and the same to the job as on the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, get_args

import pytest
from draft_support import Started, drafted, found, started
from streamlit.testing.v1 import AppTest
from ui_support import alerts, home, opened, shown, status

from minedetect import draft as drafts
from minedetect import jobs, pace
from minedetect.commands import app
from minedetect.config import Preset, Settings, TrainingSettings
from minedetect.errors import DeviceError
from minedetect.pace import Pace
from minedetect.presets import ALL_FIELDS, PRESETS, flag, limits, settings_from
from minedetect.runs import CONFIG, SAMPLE_DESIGN, SPLIT, Run
from minedetect.ui import forecast, scales, settings_form, words
from minedetect.ui.kept import FILLED

__all__ = ["home", "started"]

START = jobs.start
SLOW = Pace(learned_per_s=10.0, judged_per_s=40.0, device="CPU, 2 threads", precision="bf16", whole=True)
SPLIT_SEEN = {"scenes": {"a": {"training": [[0, 0, 256, 256]] * 30, "validation": [[0, 0, 256, 448]], "test": []}}}


def press(at: AppTest, label: str) -> AppTest:
    return next(button for button in at.button if button.label == label).click().run()


def widget(at: AppTest, name: str, part: str = "") -> Any:
    kinds = (at.slider, at.select_slider, at.number_input, at.selectbox, at.toggle)
    (found,) = [w for kind in kinds for w in kind if w.key == f"{part}{name}"]
    return found


def values(at: AppTest) -> dict[str, Any]:
    return {name: widget(at, name).value for name in settings_form.offered()}


def plain(at: AppTest) -> str:
    return shown(at).replace("\\", "")


def unmarked(text: str) -> str:
    return text.replace("\\", "").replace("\u2060", "")


def parsed(line: list[str]) -> Settings:
    """The settings that the command line makes of a started job's arguments."""
    _, bound, _ = app.parse_args(line, exit_on_error=False, print_error=False)
    from minedetect.arguments import settings_of

    return settings_of(bound.kwargs["settings"], computes=False)


def test_every_training_setting_has_a_widget_or_a_reason() -> None:
    offered, absent = settings_form.offered(), settings_form.ABSENT
    assert len(offered) == len(set(offered))
    assert set(offered) | set(absent) == set(TrainingSettings.model_fields)
    assert not set(offered) & set(absent)
    assert all(reason.endswith(".") for reason in absent.values())
    assert all(scales.scale_of(name) is not None for name in offered)
    assert settings_form.offered()[: len(settings_form.FRONT)] == settings_form.FRONT


@pytest.mark.parametrize("name", settings_form.offered())
def test_limits_come_from_the_settings_and_every_known_value_can_be_chosen(name: str) -> None:
    scale, (low, high) = scales.scale_of(name), limits(name)
    known = {ALL_FIELDS[name].default, *(v[name] for _, v in PRESETS.values() if name in v)}
    match scale:
        case scales.Slide(first, last, step):
            marks = [first, last]
            assert all(abs((value - first) / step - round((value - first) / step)) < 1e-6 for value in known)
            assert low - 1e-9 <= first <= low + step + 1e-9
            assert high - step - 1e-9 <= last <= high + 1e-9
        case scales.Ladder(marks):
            assert known <= set(marks)
            assert list(marks) == sorted(set(marks))
            assert marks[-1] == high
        case scales.Typed(first, last):
            assert (first, last) == (low, high)
            marks = (first, last)
        case scales.Choice(options):
            assert known <= set(options)
            marks = options
        case _:
            assert isinstance(scale, scales.Switch)
            marks = (False, True)
    for mark in marks:
        assert getattr(settings_from({name: mark, "tile_px": 256} | {name: mark}, gpu=False), name) == mark


@pytest.mark.parametrize("preset", get_args(Preset))
def test_each_preset_fills_the_widgets(home: Path, preset: str) -> None:
    at = opened("train", main=True)
    at.segmented_control(key="preset").set_value("accurate").run()
    at.number_input(key="seed").set_value(7).run()
    at.segmented_control(key="preset").set_value(preset).run()
    assert not at.exception
    settings = settings_from({"preset": preset, "seed": 7}, gpu=False)
    assert values(at) == {name: getattr(settings, name) for name in settings_form.offered()}
    assert PRESETS[settings.preset][0] in plain(at)
    assert f"Not as preset {settings.preset} has it: Seed 7 instead of 0." in plain(at)


def test_what_differs_is_said_and_can_be_taken_back(home: Path) -> None:
    at = opened("train", main=True)
    assert "Everything is as preset cpu has it." in plain(at)
    at.select_slider(key="epochs").set_value(50).run()
    at.slider(key="zoom").set_value(0.3).run()
    at.toggle(key="flips").set_value(False).run()
    told = "Not as preset cpu has it: Epochs 50 instead of 60; Flips and quarter turns off instead of on; "
    assert f"{told}Zoom 0.3 instead of 0." in plain(at)
    press(at, "Back to the preset")
    assert values(at) == {n: getattr(settings_from({}, gpu=False), n) for n in settings_form.offered()}


def test_choosing_another_preset_loses_nothing_that_no_preset_speaks_of(home: Path) -> None:
    at = opened("train", main=True)
    at.slider(key="tile_px").set_value(128).run()
    at.select_slider(key="epochs").set_value(3).run()
    at.segmented_control(key="preset").set_value("fast").run()
    assert "tile_px" not in FILLED
    assert (widget(at, "tile_px").value, widget(at, "epochs").value) == (128, 15)


def test_no_preset_at_all_leaves_what_was_chosen(home: Path) -> None:
    """A browser sends it now and then; it must not become the name of a preset."""
    at = opened("train", main=True)
    at.segmented_control(key="preset").set_value("fast").run()
    at.select_slider(key="epochs").set_value(3).run()
    at.segmented_control(key="preset").set_value(None).run()
    assert not [told for told in alerts(at) if "preset" in told]
    assert at.segmented_control(key="preset").value == "fast"
    assert widget(at, "epochs").value == 3


def test_what_the_widgets_show_is_what_the_command_line_makes_of_it(home: Path, started: Started) -> None:
    at = opened("train", main=True)
    at.segmented_control(key="preset").set_value("places").run()
    at.select_slider(key="learning_rate").set_value(5e-4).run()
    at.slider(key="validation_share").set_value(0.3).run()
    at.selectbox(key="schedule").set_value("plateau").run()
    at.toggle(key="eightfold").set_value(True).run()
    at.slider(key="width").set_value(64).run()
    seen = values(at)
    press(at, "Start training")
    ((name, line),) = started
    assert name == "district"
    settings = parsed(line)
    assert {n: getattr(settings, n) for n in seen} == seen
    assert settings.preset == "places"
    assert (settings.width, settings.learning_rate, settings.eightfold) == (64, 5e-4, True)


@pytest.mark.slow
def test_what_the_widgets_show_reaches_the_started_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "start", START)
    run = Run(home / "district")
    at = opened("train", main=True)
    at.slider(key="width").set_value(8).run()
    at.slider(key="dice_weight").set_value(0.7).run()
    at.slider(key="zoom").set_value(0.13).run()
    seen = values(at)
    try:
        press(at, "Start training")
        limit = time.monotonic() + 60
        while not run.has(CONFIG):
            assert time.monotonic() < limit, jobs.log_tail(run)
            time.sleep(0.1)
        asked = run.read_json(CONFIG)["settings"]
        assert {name: asked[name] for name in seen} == seen
        assert (asked["width"], asked["dice_weight"], asked["zoom"]) == (8, 0.7, 0.13)
    finally:
        jobs.stop(run)


def test_a_default_that_the_preset_changed_is_a_choice(home: Path, started: Started) -> None:
    at = opened("train", main=True)
    assert ALL_FIELDS["epochs"].default == 50 != PRESETS["cpu"][1]["epochs"]
    at.select_slider(key="epochs").set_value(50).run()
    press(at, "Start training")
    assert parsed(started[0][1]).epochs == 50


def test_a_sample_is_given_up_by_a_new_training_only_when_that_is_ticked(home: Path, started: Started) -> None:
    run = found(drafted(home))
    run.write_status(status("done"))
    run.path(SAMPLE_DESIGN).write_text("{}")
    at = opened("train", main=True, run=run.name)
    (start,) = [b for b in at.button if b.key == f"{run.name}: start"]
    assert start.disabled
    (tick,) = [c for c in at.checkbox if "Give up the sample" in c.label]
    at = tick.check().run()
    press(at, "Start training again")
    assert [name for name, _ in started] == [run.name]


def test_a_draft_keeps_what_was_chosen_and_checks_it_again(home: Path, started: Started) -> None:
    run = found(drafted(home, values={"exclude_mine": [2]}))
    at = opened("train", main=True, run="mine")
    at.segmented_control(key="mine: preset").set_value("fast").run()
    at.slider(key="mine: batch").set_value(5).run()
    assert drafts.read(run).values == {"exclude_mine": [2], "preset": "fast", "batch": 5}
    assert started == []
    at.slider(key="mine: tile_px").set_value(128).run()
    assert drafts.read(run).values["tile_px"] == 128
    assert [line for line in started if line[0] == "check"] == [("check", ["mine"])]
    assert next(b.disabled for b in at.button if b.key == "mine: start")
    again = opened("train", main=True, run="mine")
    assert widget(again, "batch", "mine: ").value == 5
    found(run)
    press(opened("train", main=True, run="mine"), "Start training")
    assert {"--exclude-mine=2", "--preset=fast", "--batch=5", "--tile-px=128"} <= set(started[-1][1])


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"validation_share": 0.5, "test_share": 0.4}, "leave 10% of the mine area to learn from"),
        ({"coarsen": 4, "tile_px": 64}, "Choose --tile-px 128 or more"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0: input should be greater than 0"),
        ({"epochs": "many"}, "--epochs is 'many'"),
        ({"epochs": 5000}, "--epochs is 5000"),
        ({"preset": "best"}, "There is no preset 'best'"),
    ],
)
def test_nonsense_is_a_sentence_and_nothing_is_lost(home: Path, chosen: dict[str, Any], told: str) -> None:
    run = found(drafted(home, values={**chosen, "seed": 7}))
    at = opened("train", main=True, run="mine")
    assert not at.exception
    assert any(told in unmarked(alert) for alert in alerts(at))
    if "preset" not in chosen:
        assert widget(at, "seed", "mine: ").value == 7
        assert next(b.disabled for b in at.button if b.key == "mine: start")
    assert drafts.read(run).values == {**chosen, "seed": 7}


def test_nonsense_from_the_widgets_is_a_sentence_too(home: Path) -> None:
    at = opened("train", main=True)
    at.slider(key="validation_share").set_value(0.5).run()
    at.slider(key="test_share").set_value(0.4).run()
    assert "share 0.5 and --test-share 0.4 leave 10%" in unmarked(at.error[0].value)
    assert next(b.disabled for b in at.button if b.label == "Start training")
    at.slider(key="test_share").set_value(0.1).run()
    assert not next(b.disabled for b in at.button if b.label == "Start training")


def test_time_is_estimated_when_asked_and_once_for_the_same_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[dict[str, Any]] = []

    def measure(values: dict[str, Any], bands: int, spare: bool) -> Pace:
        measured.append({**values, "bands": bands})
        return SLOW

    monkeypatch.setattr(pace, "measured", measure)
    forecast._measured.clear()
    run = found(drafted(home))
    drafts.check_run(run).write_json(SPLIT, SPLIT_SEEN)
    at = opened("train", main=True, run="mine")
    assert measured == []
    at.button(key="mine: estimate").click().run()
    assert "About 3 min for 60 epochs of 30 tiles on this device (CPU, 2 threads, bf16)" in plain(at).replace("*", "")
    at.select_slider(key="mine: epochs").set_value(120).run()
    assert "About 6 min for 120 epochs of 30 tiles" in plain(at).replace("*", "")
    again = opened("train", main=True, run="mine")
    again.button(key="mine: estimate").click().run()
    assert len(measured) == 1
    assert (measured[0]["width"], measured[0]["bands"]) == (16, 5)
    at.slider(key="mine: width").set_value(32).run()
    assert "**About" not in plain(at)
    at.button(key="mine: estimate").click().run()
    assert [told["width"] for told in measured] == [16, 32]


@pytest.mark.parametrize(("rate", "told"), [(104.2, "104"), (1234.5, "1,234"), (9.94, "9.9"), (0.634, "0.63")])
def test_a_pace_is_never_told_with_an_exponent(rate: float, told: str) -> None:
    text = forecast.sentence(Pace(rate, 2 * rate, "CPU, 1 thread", "float32", True), None, settings_from({}, gpu=False))
    assert f"About {told} tiles per second" in text


def test_what_cannot_be_measured_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> Pace:
        raise DeviceError("There is no CUDA device here.")

    monkeypatch.setattr(pace, "measured", measure)
    forecast._measured.clear()
    at = opened("train", main=True)
    at.selectbox(key="device").set_value("cuda").run()
    press(at, "Estimate time")
    assert not at.exception
    assert "There is no CUDA device here" in at.error[0].value


def test_flags_and_labels_are_one_to_one() -> None:
    labels = [settings_form.label(name) for name in settings_form.offered()]
    assert len(set(labels)) == len(labels)
    assert set(settings_form.LABELS) <= set(settings_form.offered())
    assert words.with_flags(flag("tile_px")) == "`--tile-px`"
