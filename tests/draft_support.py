"""Made-up drafts with findings, as the pages read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from minedetect import draft as drafts
from minedetect import jobs
from minedetect.draft import Draft, Given, Role
from minedetect.runs import EDGE_PICTURE, MASK_PICTURE, Run, Status

Started = list[tuple[str, list[str]]]
"""Names of runs, and what each was started with."""

IMAGE = {
    "bands": ["B2", "B3", "B4", "B8", "B11"],
    "count": 5,
    "proposal": "B2,B3,B4,B8,B11",
    "shape": [1024, 768],
    "crs": "EPSG:4326",
    "pixel_m": 9.851,
    "dtype": "float32",
    "nodata": "nan",
    "notes": [],
    "day": "",
    "sha256": "ab" * 32,
}
OUTLINES = {"outlines": 2, "undecided": "", "sha256": "cd" * 32}
FACTS: dict[str, Any] = {"before": IMAGE, "after": IMAGE, "labels": OUTLINES}
CHECKS = [
    {"name": "balance", "verdict": "ok", "message": "5.00% of the scene is labelled mine (381.6 ha)."},
    {"name": "ids", "verdict": "warning", "message": "Ids used more than once: 1 (Kasombola North, Fwambila)."},
]


def outline(index: int, **changed: Any) -> dict[str, Any]:
    return {
        "index": index,
        "id": str(index),
        "name": f"Mine {index}",
        "status": "active",
        "status_given": "active",
        "claimed_ha": None,
        "hectares": 50.25,
        "repair_ha": 0.0,
        "outside_ha": 0.0,
        "mask_ha": 50.0,
        "unobserved_ha": 0.0,
        **changed,
    }


def given(folder: Path, role: str, name: str = "") -> Given:
    folder.mkdir(exist_ok=True)
    path = folder / f"{role}.tif"
    path.write_bytes(role.encode())
    return Given(path=str(path), name=name or f"{role}.tif", sha256="ab" * 32, size_bytes=14_300_000)


def drafted(
    home: Path, name: str = "mine", roles: tuple[Role, ...] = ("before", "after", "labels"), **changed: Any
) -> Run:
    """A draft on disk; its files are there and are never read."""

    run = drafts.create(name)
    draft = Draft(years=("2016", "2025"), inputs={role: given(home, role) for role in roles})
    drafts.update(run, lambda _: draft.model_copy(update=changed))
    return run


def found(run: Run, **changed: Any) -> Run:
    """Findings about a draft as it is, with pictures."""
    folder = drafts.check_run(run)
    content = {
        "key": drafts.read(run).key(),
        "files": FACTS,
        "verdict": "warning",
        "checks": CHECKS,
        "shown": ["B4", "B3", "B2"],
        "shape": [1024, 768],
        "mine_ha": 381.6,
        "mine_share": 0.05,
        "unknown_px": 0,
        "invalid_share": 0.0067,
        "patches": 7,
        "polygons": [outline(1), outline(2, outside_ha=3.2, claimed_ha=80.0, status_given="acttive")],
        "left_out": [],
    }
    folder.root.mkdir(exist_ok=True)
    folder.write_json(drafts.FINDINGS, {**content, **changed})
    for name in ("before.png", "after.png", MASK_PICTURE, EDGE_PICTURE):
        Image.new("RGB", (64, 48), "grey").save(folder.path(name))
    Image.new("RGBA", (64, 48), (209, 73, 91, 255)).save(folder.path("mask_layer.png"))
    return run


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What is started in the background, instead of starting it; a check stays at work."""
    lines: Started = []

    def start(run: Run, arguments: list[str], command: tuple[str, ...] = jobs.COMMAND) -> None:
        lines.append((run.name, list(arguments)))
        if command != jobs.COMMAND:
            run.write_status(Status(run_id=run.name, state="running", pid=0))

    monkeypatch.setattr(jobs, "start", start)
    return lines
