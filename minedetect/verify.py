"""Is a finished run still what it was: its files, what it read, and do its rasters give its figures?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from minedetect.errors import RunError
from minedetect.files import sha256_of
from minedetect.manifest import Given, Manifest, Written, sealed
from minedetect.refigure import figure_faults
from minedetect.runs import ACTIVE, CHANGING, CHECK_FOLDER, MANIFEST, SAMPLES, STATUS, Run
from minedetect.tiff import Limits

START_LOCK = ".start.lock"
"""Stays in the folder of a run that the app started."""
MOST_ADDED = 1000
"""More files that nobody knows are not listed."""
MOST_BYTES = 2**38
"""Of all artifacts together: 256 GiB; a manifest that claims more is not ours."""

State = Literal["same", "changed", "gone"]


@dataclass(frozen=True)
class Verified:
    """What became of a run since it was sealed.

    Args:
        artifacts: how many files its manifest vouches for.
        changed: those whose bytes differ.
        missing: those that are gone.
        added: files in the folder that no manifest knows.
        inputs: state of each file that was read, by role.
        figures: sentences on figures that its rasters and tables do not give.
        notes: what was told of inputs when it was sealed.
        manifest_sha256: SHA-256 of `manifest.json`, to be kept elsewhere.
    """

    artifacts: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    inputs: dict[str, State]
    figures: tuple[str, ...]
    notes: tuple[str, ...]
    manifest_sha256: str

    @property
    def intact(self) -> bool:
        """Whether all is as it was written; an input that is gone proves nothing."""
        found = self.changed or self.missing or self.added or self.figures
        return not found and "changed" not in self.inputs.values()

    def to_json(self) -> dict[str, Any]:
        """What `verify --json` prints."""
        return {"verdict": "intact" if self.intact else "changed", **asdict(self)}


def verify_run(run: Run, limits: Limits | None = None) -> Verified:
    """Hash every artifact and input again, and compute the headline figures anew from the rasters.

    The folder may come from anybody: nothing outside it is opened but the inputs its manifest names,
    and those are only hashed.

    Args:
        run: a finished run.
        limits: the largest raster to read; None for the defaults.

    Raises:
        RunError: it is not finished, has no manifest, or its manifest is damaged or names other places.
    """
    _require_finished(run)
    manifest = sealed(run)
    claimed = sum(written.bytes for written in manifest.artifacts.values())
    if claimed > MOST_BYTES:
        raise RunError(f"{run.path(MANIFEST)} claims {claimed / 2**30:,.0f} GiB of files: it is not what was written.")
    states = {place: state_inside(run.root, place, written) for place, written in manifest.artifacts.items()}
    return Verified(
        artifacts=len(states),
        changed=tuple(place for place, state in states.items() if state == "changed"),
        missing=tuple(place for place, state in states.items() if state == "gone"),
        added=tuple(islice(_added(run, manifest), MOST_ADDED)),
        inputs={role: _state_of_input(run, given) for role, given in manifest.inputs.items()},
        figures=tuple(figure_faults(run, manifest, limits or Limits())),
        notes=tuple(manifest.notes),
        manifest_sha256=sha256_of(run.path(MANIFEST)),
    )


def _require_finished(run: Run) -> None:
    if not run.root.is_dir():
        raise RunError(f"There is no folder {run.root}. Give the folder of a finished run.")
    state = run.status().shown_state()
    if state in ACTIVE:
        raise RunError(f"The run {run.name} is still {state}. Verify it when it is done.")
    if run.has(STATUS) and state != "done":
        raise RunError(
            f"The run {run.name} did not end well ({state}), so nothing vouches for its files. Run it again."
        )
    if not run.has(MANIFEST):
        raise RunError(
            f"{run.root} has no {MANIFEST}: it was made by an older version, was not made by minedetect, or the file "
            "was removed. Run it again to have one."
        )


def state_inside(root: Path, place: str, written: Written) -> State:
    """Whether a file inside the run folder is what was written; a link never is."""
    path = root / place
    try:
        if path.resolve() != root.resolve() / place:
            return "changed"
        told = path.lstat()
    except FileNotFoundError:
        return "gone"
    except (OSError, RuntimeError):  # a folder in place of a file, a ring of links
        return "changed"
    same = stat.S_ISREG(told.st_mode) and told.st_size == written.bytes and sha256_of(path) == written.sha256
    return "same" if same else "changed"


def _state_of_input(run: Run, given: Given) -> State:
    path = given.place(run.root)
    if not path.is_file():
        return "gone"
    return "same" if path.stat().st_size == given.bytes and sha256_of(path) == given.sha256 else "changed"


def _added(run: Run, manifest: Manifest) -> Iterator[str]:
    """Files and links in the folder that neither the manifest nor the program's own habits explain."""
    changing = (path for pattern in (*CHANGING, START_LOCK) for path in run.root.glob(pattern))
    known = {*manifest.artifacts, *(given.inside for given in manifest.inputs.values())}
    known |= {path.relative_to(run.root).as_posix() for path in changing}
    for folder, folders, files in os.walk(run.root):
        here = Path(folder)
        links = [name for name in folders if (here / name).is_symlink()]
        for path in (here / name for name in sorted([*files, *links])):
            place = path.relative_to(run.root).as_posix()
            if place not in known and not place.startswith((f"{CHECK_FOLDER}/", f"{SAMPLES}/")):
                yield place


def lines_of(found: Verified, run: Run) -> list[str]:
    """What was found, for people: one line each, the verdict first."""
    lines = [f"Verdict: {'intact' if found.intact else 'changed'}: {found.artifacts} files of {run.root}"]
    lines += [f"  changed  {_shown(place)}: its bytes are not those that were written" for place in found.changed]
    lines += [f"  missing  {_shown(place)}: it was written, and is gone" for place in found.missing]
    lines += [f"  added    {_shown(place)}: no manifest knows it" for place in found.added]
    told = {
        "changed": "it is not the file that was read",
        "gone": "it is not where it was read, so it was not compared",
    }
    lines += [f"  input    {_shown(role)}: {told[state]}" for role, state in found.inputs.items() if state in told]
    lines += [f"  figures  {_shown(words)}" for words in found.figures]
    lines += [f"  note     {_shown(words)}" for words in found.notes]
    volatile = ", ".join(name for name in CHANGING if name != MANIFEST)
    return [*lines, f"Not compared, as they may change: {volatile}. SHA-256 of {MANIFEST}: {found.manifest_sha256}"]


def _shown(text: str) -> str:
    """Text from a file, made harmless for a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
