"""The settings of a training as widgets: each from its own name, type, limits and help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

import streamlit as st

from minedetect.config import (
    AugmentationSettings,
    DeviceSettings,
    ImageSettings,
    ModelSettings,
    OptimizerSettings,
    PredictSettings,
    Preset,
    Settings,
    SettingsGroup,
    ThresholdSettings,
    TileSettings,
    TrainingSettings,
)
from minedetect.errors import SettingError
from minedetect.presets import PRESETS, describe, flag, limits, preset_of
from minedetect.ui import drafting, frame, kept, scales, words
from minedetect.ui.kept import Kept

FRONT = (
    *("epochs", "width", "batch", "learning_rate", "tile_px"),
    *("seed", "dice_weight", "validation_share", "test_share"),
)
"""What matters most, in this order; the rest is folded away."""
ABSENT = {
    "preset": "It is chosen above the settings that it fills in.",
    "bands": "The page Data asks for it, beside the image whose bands it names.",
    "reflectance_offset": "The page Data asks for it, beside the image it belongs to.",
    "layer": "The page Data asks for it, beside the file it chooses from.",
    "exclude_mine": "The page Mask asks for it, beside the table of outlines.",
    "mine_definition": "The page Data asks for it.",
    "max_side_px": "It protects the computer: only who starts it from the command line raises it.",
    "max_image_gib": "It protects the computer: only who starts it from the command line raises it.",
    "folds": "It is for scenes of several places; the page trains on one scene.",
    "share_labels": "It is for scenes that overlap; the page trains on one scene.",
    "init": "It names a file of the computer, which visitors of a page must not pick.",
}
"""Settings of a training that the page leaves out, each with its reason."""
TITLES: dict[type[SettingsGroup], str] = {
    OptimizerSettings: "Training",
    AugmentationSettings: "Augmentation",
    TileSettings: "Tiles and split",
    ModelSettings: "Network",
    PredictSettings: "Prediction",
    ThresholdSettings: "Prediction",
    ImageSettings: "Images",
    DeviceSettings: "Device",
}
"""Headings of the groups of settings, in their order on the page; a group without one comes last."""
LABELS = {
    "width": "Width of the network",
    "batch": "Batch, tiles",
    "tile_px": "Side of a tile, pixels",
    "dice_weight": "Weight of Dice in the loss",
    "validation_share": "Share for validation",
    "test_share": "Share for a test, 0: none",
    "tiles_per_epoch": "Tiles per epoch, 0: each once",
    "checkpoint_s": "Between checkpoints, seconds",
    "schedule": "Schedule of the learning rate",
    "plateau_epochs": "Epochs before the rate is halved",
    "early_stop_epochs": "Epochs before early stopping",
    "choose_last": "Last share of epochs to choose from",
    "background_weight": "Weight of background, 0: computed",
    "mine_weight": "Weight of mines, 0: computed",
    "clip_norm": "Largest gradient norm",
    "averaging": "Decay of the averaged weights",
    "brightness_jitter": "Brightness, all bands",
    "band_jitter": "Brightness, each band",
    "offset_jitter": "Offset",
    "gamma_jitter": "Gamma",
    "zoom": "Zoom",
    "flips": "Flips and quarter turns",
    "tile_overlap": "Overlap of tiles",
    "max_gap_px": "Widest gap, pixels",
    "leave_mine_out": "Validate on mine number, 0: none",
    "coarsen": "Coarsening, pixels a side",
    "threshold": "Threshold, 0: the model's own",
    "window_px": "Prediction window, pixels",
    "eightfold": "Eight-fold prediction",
    "devices": "Devices that train together",
    "resample": "Resample to the training's pixel size",
}
"""How settings are called where their names, with spaces, would not do."""


def groups() -> dict[str, tuple[str, ...]]:
    """Heading to the settings below it, those in front aside: every one that has a widget, once."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(TITLES.values(), ())
    for group in TrainingSettings.__mro__:
        if isinstance(group, type) and issubclass(group, SettingsGroup):
            own = [name for name in group.__annotations__ if name in TrainingSettings.model_fields]
            title = TITLES.get(group, "More")
            found[title] = (*found.get(title, ()), *(n for n in own if n not in FRONT and n not in ABSENT))
    return {title: names for title, names in found.items() if names}


def offered() -> tuple[str, ...]:
    """Every setting that has a widget."""
    return (*FRONT, *(name for names in groups().values() for name in names))


def label(name: str) -> str:
    """What a setting is called on the page."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def ask(kept_in: Kept) -> Settings | None:
    """The preset and all widgets; what they amount to, or None where that makes no sense, which is said.

    Raises:
        RunError: the draft is damaged.
        SettingError: the draft names a preset that does not exist.
    """
    values = kept_in.values()
    _preset(kept_in, values)
    shown = _shown(values)
    _widgets(kept_in, FRONT, shown)
    folded = groups()
    with st.expander(f"More settings ({sum(map(len, folded.values()))})", key=f"{kept_in.part}more settings"):
        for title, names in folded.items():
            st.markdown(f"**{title}**")
            _widgets(kept_in, names, shown)
        st.caption(
            "Not here: " + ", ".join(f"`{flag(name)}`" for name in ABSENT if name != "preset") + ". "
            "The pages Data and Mask, or the command line, take these."
        )
    try:
        settings = kept.chosen_settings(values)
    except SettingError as error:
        st.error(words.literal(error))
        return None
    _differences(kept_in, settings, values)
    return settings


def _preset(kept_in: Kept, values: kept.Values) -> None:
    key = f"{kept_in.part}preset"
    names = list(get_args(Preset))
    chosen = str(values.get("preset", "auto"))
    used = preset_of(values, kept.gpu_for(values))
    drafting.showing(key, chosen)

    def fill() -> None:
        with frame.in_words():
            preset = drafting.shown(key)
            if preset in names:  # none of them comes along where a page is left and another one is not yet drawn
                kept_in.fill(preset)

    st.segmented_control("Preset", names, required=True, key=key, on_change=fill, help=describe("preset"))
    because = "" if chosen == used else f"On this computer that is **{used}**. "
    st.caption(because + words.literal(PRESETS[used][0]))


def _shown(values: kept.Values) -> dict[str, Any]:
    """What each widget shows: what was chosen where a widget can show it, else what the preset has."""
    usual = kept.preset_settings(values)
    return {n: values[n] if n in values and fits(n, values[n]) else getattr(usual, n) for n in offered()}


def fits(name: str, value: Any) -> bool:
    """Whether a value is one of the setting's type and within its limits."""
    scale = scales.scale_of(name)
    if isinstance(scale, scales.Switch):
        return isinstance(value, bool)
    if isinstance(scale, scales.Choice):
        return value in scale.options
    low, high = limits(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and low is not None and high is not None and low <= value <= high


def _widgets(kept_in: Kept, names: Sequence[str], shown: dict[str, Any]) -> None:
    for name, column in zip(names, _columns(len(names)), strict=True):
        with column:
            _widget(kept_in, name, shown[name])


def _columns(count: int) -> Iterator[Any]:
    """Three beside each other, row by row, so that on a phone they keep their order."""
    for first in range(0, count, 3):
        yield from st.columns(3, gap="medium")[: count - first]


def _widget(kept_in: Kept, name: str, value: Any) -> None:
    key = f"{kept_in.part}{name}"
    kind = TrainingSettings.model_fields[name].annotation
    drafting.showing(key, value)

    def keep() -> None:
        with frame.in_words():
            kept_in.choose(name, _plain(drafting.shown(key), kind))

    common: dict[str, Any] = {"key": key, "on_change": keep, "help": f"{describe(name)} (`{flag(name)}`)"}
    match scales.scale_of(name):
        case scales.Switch():
            st.toggle(label(name), **common)
        case scales.Choice(options):
            st.selectbox(label(name), options, **common)
        case scales.Typed(low, high):
            st.number_input(label(name), low, high, step=1, **common)
        case scales.Ladder() as ladder:
            marks = _marks(key, ladder, value)
            st.select_slider(label(name), marks, format_func=lambda mark: f"{mark:g}", **common)
        case scales.Slide() as slide:
            long = slide.reaching(value)
            st.slider(label(name), long.low, long.high, step=long.step, format=_format(long.step), **common)


def _marks(key: str, ladder: scales.Ladder, value: float) -> tuple[float, ...]:
    """The marks of a slider; one that a value from elsewhere brought stays, so that moving the slider changes none.

    The value is put in place only when a mark comes: at every run, it would take back what moved while the page ran.
    """
    held = f"marks of {key}"
    before = st.session_state.get(held, ladder.marks)
    marks = scales.Ladder(before).with_mark(value)
    if marks != before:
        st.session_state[key] = value
    st.session_state[held] = marks
    return marks


def _plain(value: Any, kind: Any) -> Any:
    """A number of the setting's own type, without the dust that steps leave on it."""
    return kind(round(value, 9)) if kind in (int, float) else value


def _format(step: float) -> str:
    return "%d" if isinstance(step, int) else f"%.{max(1, len(f'{step:.9f}'.rstrip('0').split('.')[1]))}f"


def _differences(kept_in: Kept, settings: Settings, values: kept.Values) -> None:
    """One line: what is not as the preset has it; and the way back."""
    usual = kept.preset_settings(values)
    differing = {n: (getattr(settings, n), getattr(usual, n)) for n in offered()}
    differing = {n: pair for n, pair in differing.items() if pair[0] != pair[1]}
    if not differing:
        st.caption(f"Everything is as preset {usual.preset} has it.")
        return
    listed = "; ".join(f"{label(n)} {_told(now)} instead of {_told(then)}" for n, (now, then) in differing.items())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Not as preset {usual.preset} has it: {words.literal(listed)}.")
        if st.button("Back to the preset", key=f"{kept_in.part}back", type="tertiary"):
            kept_in.forget(differing)
            st.rerun()


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
