"""How the server is started; knows where the app's files lie and imports nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from minedetect.errors import RunError
from minedetect.runs import home

ROOT = Path(__file__).resolve().parents[1]
"""The folder of `app.py`; settings are read from `.streamlit/` beside it."""
LAUNCHER = ROOT / "app.py"
MAIN = ROOT / "minedetect" / "ui" / "main.py"
PAGES = ROOT / "pages"


def command(port: int) -> list[str]:
    """The command line that serves the app on a port of this computer.

    Raises:
        RunError: the app's files are not beside the package.
    """
    if not LAUNCHER.is_file():
        raise RunError(f"The app's files are not in {ROOT}. Install from the source folder: pip install -e .")
    return [sys.executable, "-m", "streamlit", "run", str(LAUNCHER), "--server.port", str(port)]


def become(port: int) -> NoReturn:
    """Turn this process into the server, so that whoever stops the one stops the other.

    Raises:
        RunError: the app's files are not beside the package.
    """
    line = command(port)
    os.environ["MINEDETECT_HOME"] = str(home())  # before the folder changes: ./runs is the caller's
    os.chdir(ROOT)
    os.execv(line[0], line)
