"""What is found out about a draft, in a child process: each file by itself, then all of them together.

The findings, a quicklook of each date and the pictures of the mask lie in the folder `check` of the run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.image
import numpy as np

from minedetect import draft as drafts
from minedetect.band_names import bands_to_check, own_names, proposal
from minedetect.bands import reading_of
from minedetect.config import Settings
from minedetect.draft import Draft, Given, Role
from minedetect.errors import MinedetectError
from minedetect.figures import PANEL_PX, RED, YELLOW, Rgb, Stretch, overlay, pooled, shown_bands
from minedetect.files import replacing, sha256_of
from minedetect.findings import Check, worst
from minedetect.grid import crs_name, pixel_size_m
from minedetect.intake import admit, open_image, open_user_labels
from minedetect.journal import Journal
from minedetect.labels import mask_on
from minedetect.prepare import findings_json, mine_numbers, write_scene, write_split
from minedetect.raster import IGNORE, MINE, Mask, Raster, onto_first
from minedetect.runs import EDGE_PICTURE, MASK, MASK_PICTURE, QUALITY, SPLIT, SPLIT_AREAS, SPLIT_PICTURE, Run, named_run
from minedetect.scenes import Scene, SceneFiles, scene_to_check
from minedetect.season import acquired
from minedetect.second import check_pair
from minedetect.split import make_split
from minedetect.tiff import Limits

QUICKLOOKS: dict[Role, str] = {"before": "before.png", "after": "after.png"}
MASK_LAYER = "mask_layer.png"
PICTURES = (
    *QUICKLOOKS.values(),
    MASK_LAYER,
    MASK_PICTURE,
    EDGE_PICTURE,
    SPLIT_PICTURE,
    SPLIT,
    SPLIT_AREAS,
    QUALITY,
    MASK,
)
T = TypeVar("T")

MUST_BE_CHOSEN = ("bands", "bands_after", "layer")
"""Checks that only warn, because a check goes on without the choice; a run would stop at them."""


def inspect(run: Run) -> dict[str, Any]:
    """Look at a run's draft until what was found is about the draft as it is.

    Returns:
        What `findings.json` holds: `key` of the draft, facts of each file, `verdict`, `checks`, figures.

    Raises:
        RunError: there is no draft, or another process inspects it.
    """
    target = drafts.check_run(run)
    journal = Journal(target, ("files", "mask", "pair", "split"))
    with journal.session():
        while True:
            draft = drafts.read(run)
            for name in (drafts.FINDINGS, *PICTURES):
                target.path(name).unlink(missing_ok=True)
            content = _Inspection(journal, draft).all() | {"key": draft.key()}
            target.write_json(drafts.FINDINGS, content)
            if drafts.read(run).key() == content["key"]:
                return content


class _Inspection:
    """One look at a draft.

    Args:
        journal: of the folder that everything is written to.
        draft: what was given.
    """

    def __init__(self, journal: Journal, draft: Draft) -> None:
        self._journal, self._draft, self._run = journal, draft, journal.run
        self._checks: list[Check] = []
        self._content: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        try:
            settings = self._draft.settings()
        except MinedetectError as error:
            self._checks.append(Check("settings", "blocking", str(error)))
        else:
            self._look(settings)
        checks = [asdict(replace(c, message=self._plain(c.message))) for c in map(_as_before_a_run, self._checks)]
        return self._content | {"verdict": worst(map(_as_before_a_run, self._checks)), "checks": checks}

    def _look(self, settings: Settings) -> None:
        with self._journal.step("files") as progress:
            with suppress(MinedetectError):  # all sound: one child process examines them; else each has its own
                admit([Path(g.path) for g in self._draft.inputs.values()], Limits.of(settings), settings.layer)
            files: dict[str, Any] = {}
            for number, (role, given) in enumerate(self._draft.inputs.items()):
                progress(number, len(self._draft.inputs))
                files[role] = self._facts(role, given, settings)
            self._content["files"] = files
            sound = {role for role, told in files.items() if "problem" not in told}
            self._try("quicklooks", lambda: self._quicklooks(sound, settings))
        if {"before", "labels"} <= sound:
            self._together(settings, sound)

    def _facts(self, role: Role, given: Given, settings: Settings) -> dict[str, Any]:
        path = Path(given.path)
        try:
            about = self._outlines(path, settings) if _is_outlines(role, path) else _image_facts(path, settings)
            if role in QUICKLOOKS:
                known = acquired("", Path(given.name))
                about["day"] = known.day.isoformat() if known else ""
            return about | {"sha256": given.sha256 or sha256_of(path)}
        except MinedetectError as error:
            return {"problem": self._plain(str(error))}

    def _outlines(self, path: Path, settings: Settings) -> dict[str, Any]:
        labels = open_user_labels(path, self._draft.mine_classes, settings.layer, Limits.of(settings))
        if labels.is_mask:
            return _image_facts(path, settings) | {"raster": True}
        return {"outlines": len(labels.outlines), "undecided": labels.undecided}

    def _together(self, settings: Settings, sound: set[str]) -> None:
        """Mask, pair and split; what stops one leaves the others standing."""
        scene: Scene | None = None
        with self._journal.step("mask"):
            scene = self._try("scene", lambda: self._scene(settings))
        if scene is None:
            return
        made: Scene = scene
        self._content |= findings_json(made)
        self._checks += made.quality.checks
        self._checks += [Check("reading", "ok", note) for note in made.reading.notes]
        if "after" in sound:
            with self._journal.step("pair"):
                self._try("pair", lambda: self._pair(made, settings))
        if "labels_after" in sound:
            self._try("labels_after", lambda: self._labels_after(made, settings))
        if not made.quality.blocking:
            with self._journal.step("split"):
                self._try("split", lambda: self._split(made, settings))

    def _scene(self, settings: Settings) -> Scene:
        given = self._draft.inputs
        before = Path(given["before"].path)
        name = Path(given["before"].name).stem
        scene = scene_to_check(SceneFiles(before, Path(given["labels"].path), name, self._draft.mine_classes), settings)
        write_scene(scene, self._run.root, self._run)
        write_mask_layer(self._run.path(MASK_LAYER), scene.mask)
        return scene

    def _pair(self, scene: Scene, settings: Settings) -> None:
        second, pair = check_pair(scene, Path(self._draft.inputs["after"].path), settings)
        self._checks += [*second, *pair.checks]
        self._content["pair"] = pair.figures

    def _labels_after(self, scene: Scene, settings: Settings) -> None:
        path = Path(self._draft.inputs["labels_after"].path)
        labels = open_user_labels(path, self._draft.mine_classes, settings.layer, Limits.of(settings))
        mask = mask_on(labels, scene.raster.grid, warp=True)
        share = float((mask == MINE).mean())
        self._checks.append(Check("labels_after", "ok", f"Second date: {share:.2%} of the scene is labelled mine."))

    def _split(self, scene: Scene, settings: Settings) -> None:
        split = make_split([scene.raster.grid], [scene.known], settings, settings.seed, mine_numbers([scene], settings))
        write_split(self._run, [scene], split)
        told = (
            f"{split.blocks} validation blocks hold {split.mine_share:.0%} of the mine area; "
            f"{sum(len(s.training) for s in split.scenes):,} tiles teach."
        )
        self._checks.append(Check("split", "ok", told))

    def _quicklooks(self, sound: set[str], settings: Settings) -> None:
        """Both dates in one stretch: the first one's, so that what looks different is different."""
        if "before" not in sound:
            return
        before = open_image(Path(self._draft.inputs["before"].path), Limits.of(settings))
        names, _ = bands_to_check(before, settings.bands)
        pixels = _sampled(before, names, names, settings.reflectance_offset)
        stretch = Stretch.of(pixels)
        write_rgb(self._run.path(QUICKLOOKS["before"]), stretch(pixels))
        self._content["shown"] = [names[band] for band in shown_bands(names)]
        if "after" in sound:
            after, _ = onto_first(before, open_image(Path(self._draft.inputs["after"].path), Limits.of(settings)))
            own, _ = bands_to_check(after, settings.bands, names)
            more = _sampled(after, own, names, settings.reflectance_offset_after)
            write_rgb(self._run.path(QUICKLOOKS["after"]), stretch(more))

    def _try(self, name: str, work: Callable[[], T]) -> T | None:
        """What a piece of work gives; where it is stopped by what a user can mend, a blocking check says so."""
        try:
            return work()
        except MinedetectError as error:
            if not any(c.message == str(error) for c in self._checks):
                self._checks.append(Check(name, "blocking", str(error)))
            return None

    def _plain(self, message: str) -> str:
        """A sentence with the user's own file names in it instead of places on the server."""
        for given in self._draft.inputs.values():
            message = message.replace(given.path, given.name).replace(Path(given.path).name, given.name)
        return message


def _as_before_a_run(check: Check) -> Check:
    """A check as it stands before a run, which cannot go on without a choice."""
    if check.name in MUST_BE_CHOSEN and check.verdict == "warning":
        return replace(check, verdict="blocking")
    return check


def _is_outlines(role: Role, path: Path) -> bool:
    return role in ("labels", "labels_after") or path.suffix.lower() not in (".tif", ".tiff", ".gtif")


def _image_facts(path: Path, settings: Settings) -> dict[str, Any]:
    raster = open_image(path, Limits.of(settings))
    named = own_names(raster)
    return {
        "bands": list(named) if all(named) else [],
        "count": len(raster.bands),
        "proposal": proposal(len(raster.bands)),
        "shape": list(raster.shape),
        "crs": crs_name(raster.grid),
        "pixel_m": round(pixel_size_m(raster.grid), 3),
        "dtype": raster.dtype,
        "nodata": None if raster.nodata is None else f"{raster.nodata:g}",
        "notes": list(raster.notes),
    }


def _sampled(raster: Raster, every: Sequence[str], names: Sequence[str], offset: float) -> Any:
    """Red, green and blue of a thinned image: float32 (3, h, w)."""
    return reading_of(raster, every, names, offset).sample(raster, PANEL_PX, shown_bands(names))


def write_rgb(path: Path, rgb: Rgb) -> None:
    """Write display colours (h, w, 3) as a PNG."""
    with replacing(path) as temporary:
        matplotlib.image.imsave(temporary, rgb, format="png")


def write_mask_layer(path: Path, mask: Mask) -> None:
    """Write a mask to be laid over its image: mine and unknown ground tinted, all else clear.

    Args:
        path: the PNG.
        mask: uint8 (H, W), 0, 1 or 255.
    """
    factor = max(1, -(-max(mask.shape) // PANEL_PX))
    shape = -(-mask.shape[0] // factor), -(-mask.shape[1] // factor)
    mine, unknown = pooled(mask == MINE, shape), pooled(mask == IGNORE, shape)
    colours = overlay(np.zeros((*shape, 3), np.float32), unknown, YELLOW, 1.0)
    colours = overlay(colours, mine, RED, 1.0)
    with replacing(path) as temporary:
        matplotlib.image.imsave(temporary, np.dstack([colours, (mine | unknown).astype(np.float32)]), format="png")


def main(name: str) -> None:
    """The child process: inspect the draft of one run under MINEDETECT_HOME."""
    try:
        inspect(named_run(name))
    except MinedetectError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main(sys.argv[1])
