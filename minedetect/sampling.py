"""A sample that is drawn in the background, as the app does it: what `sample` writes lies in the run's own folder."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from minedetect.config import SampleSettings
from minedetect.design import CHIPS_FOLDER, HOW_TO_FILE, SAMPLE_POINTS, SAMPLE_TABLE, read_design, sample_id_of
from minedetect.errors import MinedetectError, RunError
from minedetect.journal import Journal
from minedetect.runs import ESTIMATE, LOG, REPORT, SAMPLE_DESIGN, SAMPLES, Run, named_run

STEP = "chips"
DRAWN = "drawn.json"
COMMAND = (sys.executable, "-m", "minedetect.sampling")


def sampling_of(run: Run) -> Run:
    """Where status and log of the drawing lie."""
    return Run(run.path(SAMPLES))


def folder_of(run: Run, sample_id: str) -> Path:
    """Where the files of one sample lie; nothing in it tells what the map says."""
    return sampling_of(run).path(sample_id)


def files_of(run: Run, sample_id: str) -> list[Path]:
    """What an interpreter needs, the table first; empty until all of it is there."""
    folder = folder_of(run, sample_id)
    tables = [folder / name for name in (SAMPLE_TABLE, SAMPLE_POINTS, HOW_TO_FILE)]
    found = [*tables, *sorted((folder / CHIPS_FOLDER).glob("*.png"))]
    whole = all(path.is_file() for path in tables)
    return [path for path in found if path.is_file() and not path.is_symlink()] if whole else []


def draw(run: Run, settings: SampleSettings) -> dict[str, Any]:
    """Draw a sample as `sample` does, into the run's own folder; the same settings make the same files again.

    Returns:
        What `sample --json` prints.

    Raises:
        RunError: there is no map, it has another sample already, or another process is at work on the run.
        SettingError: the files are there already.
    """
    from minedetect.sample import sample_run
    from minedetect.strata import open_strata

    target = sampling_of(run)
    journal = Journal(target, (STEP,))
    with journal.session(), journal.step(STEP) as progress:
        sample_id = sample_id_of(open_strata(run).hashes(), settings.seed, settings.n, settings.min_per_stratum)
        content = sample_run(run, folder_of(run, sample_id), settings, progress)
        target.write_json(DRAWN, content)
        return content


def arguments(run: Run, settings: SampleSettings) -> list[str]:
    """What follows COMMAND to draw a sample of a run under MINEDETECT_HOME."""
    return [run.name, settings.model_dump_json()]


def give_up(run: Run, sample_id: str) -> None:
    """Forget a run's sample, its files and what was estimated from it, so that another can be drawn.

    The run's log keeps that it was done: whoever may draw again could draw until the answer suits.

    Raises:
        RunError: the run has another sample, none, or is being worked on.
    """
    from minedetect.manifest import vouch_for
    from minedetect.report_page import write_report

    with run.locked():
        if read_design(run).sample_id != sample_id:
            raise RunError(f"The sample of {run.name} is another one by now. Reload the page.")
        with run.path(LOG).open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} The sample {sample_id} was given up on request.\n")
        for name in (ESTIMATE, SAMPLE_DESIGN):
            run.path(name).unlink(missing_ok=True)
        shutil.rmtree(folder_of(run, sample_id), ignore_errors=True)
        if run.has(REPORT):
            write_report(run)
        vouch_for(run, ESTIMATE, SAMPLE_DESIGN, REPORT)


def main(name: str, settings: str) -> None:
    """The child process: draw a sample of one run under MINEDETECT_HOME."""
    try:
        draw(named_run(name), SampleSettings.model_validate_json(settings))
    except MinedetectError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main(*sys.argv[1:])
