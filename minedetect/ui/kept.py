"""What was chosen for a training to come, and where it is kept until that is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from minedetect import draft as drafts
from minedetect.config import Settings
from minedetect.presets import PRESETS, preset_of, settings_from
from minedetect.runs import Run
from minedetect.ui import device

DISTRICT = "settings of the district"
"""Where a visitor's settings for the district are kept while the page shows something else."""
FILLED = frozenset(name for _, values in PRESETS.values() for name in values)
"""What choosing a preset fills in; what no preset speaks of stays as it was chosen."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """Settings by name, only those that were chosen: in the draft of a run, else with the visitor.

    Args:
        draft: the run whose draft holds them; None: the built-in district.
    """

    draft: Run | None

    @property
    def part(self) -> str:
        """Begins the keys of this form's widgets."""
        return f"{self.draft.name}: " if self.draft else ""

    def values(self) -> dict[str, Any]:
        """What was chosen.

        Raises:
            RunError: the draft is damaged.
        """
        return dict(drafts.read(self.draft).values if self.draft else st.session_state.get(DISTRICT, {}))

    def choose(self, name: str, value: Any) -> None:
        """Keep one setting, or forget it where the preset has it that way.

        Raises:
            RunError: the draft is damaged or held by another process.
        """

        def chosen(values: Values) -> dict[str, Any]:
            others = {n: v for n, v in values.items() if n != name}
            same = value == getattr(preset_settings(values), name)
            return others if same else {**others, name: value}

        self._change(chosen)

    def fill(self, preset: str) -> None:
        """Take over all that a preset speaks of.

        Raises:
            RunError: the draft is damaged or held by another process.
        """
        self._change(lambda values: {n: v for n, v in values.items() if n not in FILLED} | {"preset": preset})

    def forget(self, names: Values) -> None:
        """Let the preset decide on some settings again.

        Raises:
            RunError: the draft is damaged or held by another process.
        """
        self._change(lambda values: {n: v for n, v in values.items() if n not in names})

    def _change(self, what: Callable[[Values], dict[str, Any]]) -> None:
        if self.draft is None:
            st.session_state[DISTRICT] = what(self.values())
            return
        drafts.update(self.draft, lambda draft: draft.model_copy(update={"values": what(draft.values)}))


def gpu_for(values: Values) -> bool:
    """Whether a GPU would do the work, as the command line decides it."""
    return values.get("device", "auto") != "cpu" and device.has_gpu()


def preset_settings(values: Values) -> Settings:
    """All settings as the chosen preset has them."""
    return settings_from({"preset": preset_of(values, gpu_for(values))}, gpu=False)


def chosen_settings(values: Values) -> Settings:
    """All settings, as the command line would make them of the same values.

    Raises:
        SettingError: a value is unknown or outside its limits, or some contradict each other.
    """
    return settings_from(values, gpu_for(values))


def as_asked(values: Values) -> dict[str, Any]:
    """What the job is given: the same values, with the preset by its name, so that the job decides as the page did."""
    return {**values, "preset": preset_of(values, gpu_for(values))}
