"""The command line: the machine's commands, and one exit code for each ending."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import cyclopts
from pydantic import ValidationError
from rich.console import Console

import minedetect.learning_commands
import minedetect.predict_commands
import minedetect.sample_commands  # noqa: F401  (their commands join those of `commands`)
from minedetect.arguments import Flat, Json, settings_of
from minedetect.commands import app
from minedetect.config import TrainingSettings
from minedetect.console import DONE, INTERRUPTED, Face, complain
from minedetect.errors import Cancelled, MinedetectError
from minedetect.presets import in_words


@app.command
def doctor(*, json: Json = False, settings: Annotated[TrainingSettings | None, Flat] = None) -> int:
    """Show device, precision, memory, disk, versions and settings, and what to do about each."""
    from minedetect.doctor import examine

    face = Face(json)
    content = examine(settings_of(settings))
    face.say(content, [f"{name:22} {value}" for name, value in content["facts"].items()] + content["advice"])
    return DONE


@app.command(name="app")
def serve(*, port: int = 8501) -> None:
    """Start the web app on this machine; when there is no run yet, the built-in district is made meanwhile.

    Args:
        port: of the address that is printed.
    """
    from minedetect import jobs, server

    server.command(port)  # complains before a job is started
    jobs.start_demo_if_empty()
    server.become(port)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 bug, 2 something to mend, 3 implausible, 130 interrupted."""
    logging.captureWarnings(capture=True)
    if sys.stderr.isatty():  # elsewhere the run's log has them
        warned = logging.StreamHandler()
        warned.setLevel(logging.WARNING)
        logging.getLogger("minedetect").addHandler(warned)
    try:
        code = app(list(sys.argv[1:] if arguments is None else arguments))
    except MinedetectError as error:
        code = complain(str(error))
    except cyclopts.CycloptsError as error:
        cause = error.__cause__
        code = complain(in_words(cause) if isinstance(cause, ValidationError) else f"{error} See --help.")
    except (KeyboardInterrupt, Cancelled) as error:
        told = str(error) or "Interrupted. Files of finished steps are kept."
        Console(stderr=True, highlight=False, soft_wrap=True).print(told, markup=False)
        code = INTERRUPTED
    sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else DONE)
