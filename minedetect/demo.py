"""The whole job on the built-in district: write its files as a user would have them, then run."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.errors import SettingError
from minedetect.files import write_text
from minedetect.journal import Journal, Listener, no_listener
from minedetect.pipeline import Job, do_job
from minedetect.raster import IGNORE
from minedetect.runs import Run
from minedetect.synthetic import BANDS, MAX_SIZE_PX, MIN_SIDE_PX, make_district

YEARS = ("2016", "2025")


def district_job(run: Run) -> Job:
    """The job on the files that `write_inputs` writes."""
    folder = run.root / "inputs"
    return Job(
        before=folder / "before_2016.tif",
        after=folder / "after_2025.tif",
        labels=folder / "mines_2016.geojson",
        years=YEARS,
        truth=(folder / "truth_2016.tif", folder / "truth_2025.tif"),
    )


def write_inputs(run: Run, size_px: tuple[int, int], seed: int) -> Job:
    """Write the district's images, outlines and truth into `RUN/inputs`; returns the job on them.

    Args:
        run: the run.
        size_px: rows and columns.
        seed: of the district.

    Raises:
        SettingError: the size is out of range.
    """
    if min(size_px) < MIN_SIDE_PX or size_px[0] > MAX_SIZE_PX[0] or size_px[1] > MAX_SIZE_PX[1]:
        raise SettingError(
            f"A district of {size_px[0]} x {size_px[1]} px is out of range. Rows and columns go from {MIN_SIDE_PX} "
            f"to {MAX_SIZE_PX[0]} x {MAX_SIZE_PX[1]}."
        )
    district = make_district(size_px, seed)
    image = CogProfile("float32", float("nan"), BANDS, {"source": "invented district"})
    truth = CogProfile("uint8", IGNORE, ("mine",), {"source": "invented district"})
    job = district_job(run)
    write_cog(job.before, district.before, district.grid, image)
    write_cog(job.after, district.after, district.grid, image)
    for path, classes in zip(job.truth or (), (district.truth_before, district.truth_after), strict=True):
        write_cog(path, classes.astype(np.uint8), district.grid, truth)
    write_text(job.labels, json.dumps(district.outlines, indent=1) + "\n")
    return job


def run_demo(
    run: Run, size_px: tuple[int, int], settings: Settings, listener: Listener = no_listener
) -> dict[str, Any]:
    """Make the district and run everything on it; returns the content of `summary.json`."""
    job = district_job(run)
    journal = Journal(run, ("district", *job.steps), listener)
    with journal.session():
        with journal.step("district"):
            write_inputs(run, size_px, settings.seed)
        return do_job(journal, job, settings)
