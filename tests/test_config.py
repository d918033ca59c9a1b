"""Every setting once: it round-trips, unknown names and values out of limits are refused in words."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from minedetect.config import Preset, Settings, TileSettings
from minedetect.errors import SettingError
from minedetect.presets import PRESETS, describe, flag, limits, settings_from, settings_table

FIELDS = Settings.model_fields
NUMBERS = [name for name, field in FIELDS.items() if field.annotation in (int, float)]


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_round_trip(preset: str) -> None:
    told = settings_from({"preset": preset, "seed": 7, "bands": "B2,B3", "epochs": 3}, gpu=False)
    stored = json.loads(json.dumps(told.model_dump(mode="json")))
    assert Settings.model_validate(stored) == told
    assert settings_from(stored, gpu=True) == told


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        settings_from({}, gpu=False).epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize("name", ["epoch", "learning-rate", "Epochs", ""])
def test_unknown_settings_are_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match=f"no setting {name!r}"):
        settings_from({name: 1}, gpu=False)


def outside() -> list[tuple[str, float]]:
    """Each numeric setting just outside each of its limits."""
    cases: list[tuple[str, float]] = []
    for name in NUMBERS:
        low, high = limits(name)
        if low is not None and high is not None:
            step = 1 if FIELDS[name].annotation is int else 1e-6
            cases += [(name, low - step), (name, high + step)]
    return cases


@pytest.mark.parametrize(("name", "value"), outside())
def test_values_outside_their_limits_are_refused_in_words(name: str, value: float) -> None:
    with pytest.raises(SettingError) as refused:
        settings_from({name: value}, gpu=False)
    assert flag(name) in str(refused.value)
    assert repr(value) in str(refused.value)
    low, high = limits(name)
    assert f"From {low:g} to {high:g}." in str(refused.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_limits_themselves_are_allowed_or_said_to_be_excluded(name: str) -> None:
    kinds = {type(rule).__name__ for rule in FIELDS[name].metadata}
    low, high = limits(name)
    for value, excluded in ((low, "Gt"), (high, "Lt")):
        if excluded not in kinds:
            assert getattr(settings_from({name: value}, gpu=False), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "tpu"),
        ("precision", "fp8"),
        ("tile_px", 100),
        ("tile_px", "large"),
        ("epochs", 2.5),
        ("epochs", None),
        ("flips", "maybe"),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", 0),
        ("threshold", 1.0),
        ("mine_definition", "x" * 501),
    ],
)
def test_values_of_the_wrong_kind_are_refused_by_flag(name: str, value: Any) -> None:
    with pytest.raises(SettingError) as refused:
        settings_from({name: value}, gpu=False)
    assert flag(name) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_nan(name: str) -> None:
    with pytest.raises(SettingError):
        settings_from({name: float("nan")}, gpu=False)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_help_text_and_numbers_have_limits(name: str) -> None:
    text = str(FIELDS[name].description)
    assert len(text) > 10
    assert text.endswith(".")
    assert describe(name).startswith(text)
    low, high = limits(name)
    if name in NUMBERS:
        assert low is not None
        assert high is not None
        assert low <= FIELDS[name].default <= high
    else:
        assert (low, high) == (None, None)


def test_presets_are_valid_and_their_values_are_limits_kept() -> None:
    assert {"auto", *PRESETS} == set(get_args(Preset))
    for name, (reason, values) in PRESETS.items():
        assert reason.endswith(".")
        told = settings_from({"preset": name}, gpu=False)
        assert told.preset == name
        assert {key: getattr(told, key) for key in values} == dict(values)


def test_auto_means_the_machine() -> None:
    assert settings_from({}, gpu=True) == settings_from({"preset": "full"}, gpu=True)
    assert settings_from({"preset": "auto"}, gpu=False) == settings_from({"preset": "cpu"}, gpu=False)


def test_the_users_values_win_over_the_presets_and_those_over_defaults() -> None:
    told = settings_from({"preset": "accurate", "epochs": 5}, gpu=True)
    assert told.epochs == 5
    assert told.learning_rate == PRESETS["accurate"][1]["learning_rate"]
    assert told.batch == FIELDS["batch"].default


def test_an_unknown_preset_is_refused_with_the_choice() -> None:
    with pytest.raises(SettingError, match="cpu, places, full, fast, accurate"):
        settings_from({"preset": "best"}, gpu=False)


def test_the_reference_settings_are_the_defaults() -> None:
    told = settings_from({"preset": "full"}, gpu=True)
    assert (told.tile_px, told.tile_overlap, told.validation_share) == (256, 0.5, 0.2)
    assert (told.width, told.epochs, told.batch, told.early_stop_epochs) == (64, 50, 16, 15)
    assert (told.learning_rate, told.weight_decay, told.min_patch_ha) == (1e-3, 1e-4, 0.5)
    assert (told.gate_low, told.gate_high, told.review_growth) == (0.5, 2.0, 3.0)


@pytest.mark.parametrize("name", FIELDS)
def test_the_table_has_a_row_for_each_setting(name: str) -> None:
    (row,) = [line for line in settings_table().splitlines() if line.startswith(f"| `{flag(name)}` |")]
    assert row.count("|") == 5
    assert str(FIELDS[name].description) in row


def test_groups_know_their_own_settings_alone() -> None:
    assert TileSettings().tile_px == FIELDS["tile_px"].default
    with pytest.raises(ValidationError):
        TileSettings(epochs=5)  # type: ignore[call-arg]


def test_auto_means_what_machine_and_data_ask_for() -> None:
    assert [
        settings_from({}, gpu=gpu, scenes=n).preset for gpu, n in ((False, 1), (False, 7), (False, 8), (True, 40))
    ] == [
        "cpu",
        "cpu",
        "places",
        "full",
    ]
    assert settings_from({"preset": "cpu"}, gpu=False, scenes=40).preset == "cpu"
