"""What this computer would compute on, found without loading the learning libraries."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess


@functools.cache
def line() -> str:
    """The GPU's name, or the processor with its number of cores."""
    gpus = _gpus()
    if not gpus:
        return f"CPU, {cores()} cores"
    return gpus[0] if len(gpus) == 1 else f"{len(gpus)} GPUs: {', '.join(sorted(set(gpus)))}"


def has_gpu() -> bool:
    """Whether a GPU would do the work."""
    return not line().startswith("CPU")


def cores() -> int:
    """Processor cores that this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", answer.stdout, flags=re.MULTILINE)
