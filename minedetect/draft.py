"""What a user has given so far for a run that has not begun: kept in the run's folder, whole at every moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from minedetect.config import CheckSettings, Settings
from minedetect.errors import RunError, SettingError
from minedetect.files import write_text
from minedetect.presets import as_flags, settings_from
from minedetect.runs import CHECK_FOLDER, DRAFT, DRAFT_LOCK, STATUS, Run, home, named_run, require_date_labels

WAIT_S = 5.0
FINDINGS = "findings.json"
RESERVED = ("incoming",)

Role = Literal["before", "after", "labels", "labels_after"]
ROLES: tuple[Role, ...] = get_args(Role)
NEEDED: dict[Role, str] = {
    "before": "the image of the first date",
    "after": "the image of the second date",
    "labels": "the mine outlines of the first date",
}
UNINSPECTED = ("mine_definition",)
"""Settings of `check` that no finding depends on."""


class Given(BaseModel):
    """One input.

    Args:
        path: where it lies on the server.
        name: as the user calls it.
        sha256: of its content; "" until it was read.
        size_bytes: of its content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    name: str
    sha256: str = ""
    size_bytes: int = 0


class Draft(BaseModel):
    """What was given so far.

    Args:
        inputs: files by what they are for.
        years: labels of the two dates, as they were typed.
        values: settings that were chosen, by name.
        mine_classes: which values of a class raster are mines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: dict[Role, Given] = {}
    years: tuple[str, str] = ("", "")
    values: dict[str, Any] = {}
    mine_classes: tuple[int, ...] = ()

    def with_input(self, role: Role, given: Given | None) -> Draft:
        """With one input put in place or, where None, taken out; outlines left out belong to their file."""
        rest = {r: g for r, g in self.inputs.items() if r != role}
        changed = self.model_copy(update={"inputs": rest if given is None else {**rest, role: given}})
        return changed.with_values(exclude_mine=()) if role == "labels" else changed

    def with_values(self, **values: Any) -> Draft:
        """With settings chosen, or forgotten where they are what they are anyway."""
        usual = {name: Settings.model_fields[name].default for name in values}
        kept = {name: value for name, value in self.values.items() if name not in values}
        chosen = {name: value for name, value in values.items() if value != usual[name]}
        return self.model_copy(update={"values": {**kept, **chosen}})

    def settings_or_usual(self, name: str) -> Any:
        """One setting as it was chosen, else its default."""
        return self.values.get(name, Settings.model_fields[name].default)

    def settings(self) -> Settings:
        """The settings chosen, over the defaults.

        Raises:
            SettingError: one is unknown or outside its limits.
        """
        return settings_from(self.values, gpu=False)

    def key(self) -> str:
        """Changes with everything that findings depend on."""
        looked_at = {k: v for k, v in self.values.items() if k in CheckSettings.model_fields and k not in UNINSPECTED}
        files = {role: [given.path, given.sha256] for role, given in self.inputs.items()}
        told = json.dumps([files, looked_at, self.mine_classes], sort_keys=True, default=list)
        return hashlib.sha256(told.encode()).hexdigest()

    def missing(self) -> list[str]:
        """What must still be given before a run can begin, a sentence each."""
        told = [f"Give {what}." for role, what in NEEDED.items() if role not in self.inputs]
        told += [
            f"{given.name} is no longer on the server. Give it again."
            for given in self.inputs.values()
            if not Path(given.path).is_file()
        ]
        if not all(self.years):
            return [*told, "Say which years, or other labels, the two dates have."]
        try:
            require_date_labels(self.years)
            self.settings()
        except SettingError as error:
            told.append(str(error))
        return told

    def arguments(self, run: Run) -> list[str]:
        """The command line, after `minedetect`, that does what was asked.

        Raises:
            SettingError: something is still missing.
        """
        missing = self.missing()
        if missing:
            raise SettingError(missing[0])
        line = ["run", *(self.inputs[role].path for role in NEEDED), "--years", *self.years, "--out", run.name]
        if "labels_after" in self.inputs:
            line += ["--labels-after", self.inputs["labels_after"].path]
        if self.mine_classes:
            line += ["--mine-class", *(str(number) for number in self.mine_classes)]
        return [*line, *as_flags(self.values)]


def require_free(name: str) -> Run:
    """The run of a name that nothing has yet.

    Raises:
        RunError: the name is no plain folder name, or is taken.
    """
    run = named_run(name)
    if name in RESERVED or run.root.exists():
        raise RunError(f"There is something called {name} already. Choose another name for the run.")
    return run


def create(name: str) -> Run:
    """A folder for a new draft.

    Raises:
        RunError: the name is no plain folder name, or is taken.
    """
    run = require_free(name)
    try:
        run.root.mkdir(parents=True)
    except FileExistsError:  # made by somebody else at this very moment
        require_free(name)
    _write(run, Draft())
    return run


def unused_name() -> str:
    """A name that no run has yet."""
    return next(name for number in range(1, 100_000) if not (home() / (name := f"run-{number}")).exists())


def read(run: Run) -> Draft:
    """The draft of a run.

    Raises:
        RunError: there is none, or it is damaged.
    """
    try:
        return Draft.model_validate(run.read_json(DRAFT))
    except ValidationError as error:
        raise RunError(f"{run.path(DRAFT)} is damaged: {error.error_count()} fields do not fit.") from error


def update(run: Run, change: Callable[[Draft], Draft]) -> Draft:
    """Change a draft; of several who do so at once, none undoes what another did.

    Raises:
        RunError: there is no draft, it is damaged, or another process holds it too long.
    """
    try:
        with FileLock(run.path(DRAFT_LOCK), timeout=WAIT_S):
            changed = change(read(run))
            _write(run, changed)
            return changed
    except Timeout as error:
        raise RunError(f"The draft {run.name} is held by another process. Try again.") from error


def _write(run: Run, draft: Draft) -> None:
    write_text(run.path(DRAFT), draft.model_dump_json(indent=1) + "\n")


def list_drafts() -> list[Run]:
    """Drafts whose runs have not begun, the latest first."""
    found = [Run(path.parent) for path in home().glob(f"[!.]*/{DRAFT}") if not (path.parent / STATUS).is_file()]
    return sorted(found, key=lambda run: run.path(DRAFT).stat().st_mtime, reverse=True)


def check_run(run: Run) -> Run:
    """Where what was found out about a draft lies."""
    return Run(run.path(CHECK_FOLDER))


def findings(run: Run) -> dict[str, Any] | None:
    """What was found out about a run's draft as it is now; None where that is not known yet.

    Raises:
        RunError: the draft or the findings are damaged.
    """
    folder = check_run(run)
    content = folder.read_json(FINDINGS) if folder.has(FINDINGS) else None
    return content if content and content.get("key") == read(run).key() else None
