"""What killed writers leave behind goes; what a living one writes stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from minedetect.files import forget_killed


def left_by(process: int, final: Path) -> list[Path]:
    """Temporary files as `replacing` and the raster writer name them."""
    names = (f".{final.stem}.{process}.0123abcd{end}{final.suffix}" for end in ("", ".staging"))
    paths = [final.with_name(name) for name in names]
    for path in paths:
        path.touch()
    return paths


@pytest.mark.parametrize("reaped", [True, False])
def test_files_of_a_killed_writer_go_whether_or_not_it_was_reaped(reaped: bool, tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    left = left_by(writer.pid, tmp_path / "prediction.tif")
    writer.kill()
    if reaped:
        writer.wait()
    else:
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.pid_exists(writer.pid)
    forget_killed(tmp_path / "prediction.tif")
    assert not any(path.exists() for path in left)
    writer.wait()


def test_files_of_a_living_writer_and_of_other_outputs_stay(tmp_path: Path) -> None:
    ours = left_by(os.getpid(), tmp_path / "prediction.tif")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    others = left_by(dead.pid, tmp_path / "probability.tif")
    forget_killed(tmp_path / "prediction.tif")
    assert all(path.exists() for path in (*ours, *others))
