"""From a user's values to settings: presets, faults in words, and the README's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from minedetect.config import Settings
from minedetect.errors import SettingError

PRESETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "cpu": (
        "The default without a GPU: a small network that trains in minutes on two cores.",
        {"width": 16, "epochs": 60, "batch": 4, "learning_rate": 2e-3, "early_stop_epochs": 25},
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
            "eightfold": True,
        },
    ),
}


def settings_from(values: Mapping[str, Any], gpu: bool) -> Settings:
    """Settings from a user's values over the preset's over the defaults.

    Args:
        values: setting name to value, only those the user gave.
        gpu: whether a GPU will do the work; decides what preset "auto" means.

    Raises:
        SettingError: an unknown name or a value outside its limits, in words.
    """
    preset = str(values.get("preset", "auto"))
    if preset == "auto":
        preset = "full" if gpu else "cpu"
    if preset not in PRESETS:
        raise SettingError(f"There is no preset {preset!r}. Choose one of: {', '.join(PRESETS)}.")
    merged = {**PRESETS[preset][1], **values, "preset": preset}
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingError(in_words(error)) from error


def flag(name: str) -> str:
    """The command line flag of a setting."""
    return "--" + name.replace("_", "-")


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
    for rule in Settings.model_fields[name].metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", getattr(rule, "lt", high))
    return low, high


def describe(name: str) -> str:
    """Help of one setting with its limits, one line."""
    text = str(Settings.model_fields[name].description)
    low, high = limits(name)
    return text if low is None else f"{text} From {low:g} to {high:g}."


def settings_table() -> str:
    """The README's table of settings, in Markdown."""
    rows = ["| flag | default | limits | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        low, high = limits(name)
        between = "" if low is None else f"{low:g} to {high:g}"
        shown = f"`{field.default}`" if field.default != "" else "none"
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
