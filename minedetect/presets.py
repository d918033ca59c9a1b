"""From a user's values to settings: presets, faults in words, and the README's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from minedetect.config import SampleSettings, Settings
from minedetect.errors import SettingError

PRESETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "cpu": (
        "The default without a GPU: a small network that trains in minutes on two cores.",
        {"width": 16, "epochs": 60, "batch": 4, "learning_rate": 2e-3, "early_stop_epochs": 25},
    ),
    "places": (
        "The default for 8 scenes or more without a GPU: sees far around each pixel, so that it learns what mines of "
        "other places have in common, and averages four networks, so that each place is judged by one that did not "
        "learn there; outlines are a little coarser.",
        {
            "width": 16,
            "coarsen": 4,
            "epochs": 60,
            "folds": 4,
            "batch": 8,
            "schedule": "cosine",
            "early_stop_epochs": 60,
            "choose_last": 0.2,
            "averaging": 0.998,
            "offset_jitter": 0.06,
            "gamma_jitter": 0.2,
            "zoom": 0.3,
        },
    ),
    "full": ("The reference: 31.0 M parameters, for a GPU.", {}),
    "fast": (
        "A first look: a small network and few epochs.",
        {"width": 16, "epochs": 15, "batch": 8, "learning_rate": 2e-3},
    ),
    "accurate": (
        "When hours do not matter: longer, gentler, stronger augmentation, eight-fold prediction.",
        {
            "epochs": 100,
            "learning_rate": 5e-4,
            "early_stop_epochs": 30,
            "brightness_jitter": 0.25,
            "band_jitter": 0.15,
            "offset_jitter": 0.06,
            "gamma_jitter": 0.2,
            "zoom": 0.3,
            "eightfold": True,
        },
    ),
}


ALL_FIELDS = {**Settings.model_fields, **SampleSettings.model_fields}
"""Every setting there is, by name."""
MOST_HELD = 0.8
"""Validation and test together may hold so much of the mine area: the rest must be enough to learn from."""
DEEPEST = 16
"""Pixels along a side that are one value in the network's deepest stage."""
MANY_SCENES = 8
"""From so many training scenes on, what they have in common matters more than the outlines of each."""


def settings_from(values: Mapping[str, Any], gpu: bool, scenes: int = 1) -> Settings:
    """Settings from a user's values over the preset's over the defaults.

    Args:
        values: setting name to value, only those the user gave.
        gpu: whether a GPU will do the work; decides what preset "auto" means.
        scenes: how many there are to learn from; decides it too.

    Raises:
        SettingError: an unknown name, a value outside its limits or values that contradict each other, in words.
    """
    preset = preset_of(values, gpu, scenes)
    merged = {**PRESETS[preset][1], **values, "preset": preset}
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingError(in_words(error)) from error
    _require_sense(settings)
    return settings


def preset_of(values: Mapping[str, Any], gpu: bool, scenes: int = 1) -> str:
    """Which preset is used, where that is to be decided by machine and data too.

    Raises:
        SettingError: there is none of that name.
    """
    preset = str(values.get("preset", "auto"))
    if preset == "auto":
        without = "places" if scenes >= MANY_SCENES else "cpu"
        preset = "full" if gpu else without
    if preset not in PRESETS:
        raise SettingError(f"There is no preset {preset!r}. Choose one of: {', '.join(PRESETS)}.")
    return preset


def _require_sense(settings: Settings) -> None:
    """Raise where settings, each within its limits, contradict each other."""
    held = settings.test_share + (0 if settings.leave_mine_out else settings.validation_share)
    if held > MOST_HELD:
        raise SettingError(
            f"--validation-share {settings.validation_share:g} and --test-share {settings.test_share:g} leave "
            f"{1 - held:.0%} of the mine area to learn from. Together they may be {MOST_HELD:g} at most."
        )
    if settings.tile_px <= DEEPEST * settings.coarsen:
        raise SettingError(
            f"Tiles of --tile-px {settings.tile_px} are a single value in the network's deepest stage with --coarsen "
            f"{settings.coarsen}. Choose --tile-px {2 * DEEPEST * settings.coarsen} or more, or a smaller --coarsen."
        )


def flag(name: str) -> str:
    """The command line flag of a setting."""
    return "--" + name.replace("_", "-")


def as_flags(values: Mapping[str, Any]) -> list[str]:
    """Settings as the command line takes them, whatever their text begins with."""
    words: list[str] = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(flag(name) if value else f"--no-{flag(name)[2:]}")
        elif isinstance(value, list | tuple):
            words += [f"{flag(name)}={item}" for item in value]
        else:
            words.append(f"{flag(name)}={value}")
    return words


def in_words(error: ValidationError) -> str:
    """The first fault of a validation, as a sentence that names the flag, the value and its limits."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if first["type"] == "extra_forbidden":
        return f"There is no setting {name!r}. See the table of settings in the README."
    seen = first.get("input")
    return f"Setting {flag(name)} is {seen!r}: {first['msg'].lower()}. {describe(name)}"


def limits(name: str) -> tuple[float | None, float | None]:
    """Least and largest value of a numeric setting, None where there is no such limit."""
    low = high = None
    for rule in ALL_FIELDS[name].metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", getattr(rule, "lt", high))
    return low, high


def describe(name: str) -> str:
    """Help of one setting with its limits, one line."""
    text = str(ALL_FIELDS[name].description)
    low, high = limits(name)
    return text if low is None else f"{text} From {low:g} to {high:g}."


def settings_table() -> str:
    """The README's table of settings, in Markdown."""
    rows = ["| flag | default | limits | meaning |", "| --- | --- | --- | --- |"]
    for name, field in ALL_FIELDS.items():
        low, high = limits(name)
        between = "" if low is None else f"{low:g} to {high:g}"
        shown = "none" if field.default in ("", ()) else f"`{field.default}`"
        rows.append(f"| `{flag(name)}` | {shown} | {between} | {field.description} |")
    return "\n".join(rows)


def preset_table() -> str:
    """The README's table of presets, in Markdown."""
    rows = ["| preset | why | settings |", "| --- | --- | --- |"]
    for name, (reason, values) in PRESETS.items():
        flags = (flag(k) if v is True else f"{flag(k)} {v}" for k, v in values.items())
        shown = ", ".join(f"`{f}`" for f in flags) or "the defaults below"
        rows.append(f"| `{name}` | {reason} | {shown} |")
    return "\n".join(rows)
