"""How the server is started; knows where the app's files lie and imports nothing heavy."""

from __future__ import annotations

import sys
from pathlib import Path

from minedetect.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
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
