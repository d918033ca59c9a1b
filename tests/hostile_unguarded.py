"""What the libraries do with a corpus when nothing guards them; run as a program of its own.

    python hostile_unguarded.py < CASES.json

CASES.json is a list of [id, kind, path]; the answer is a JSON list of the ids that load without an error.
It imports nothing of minedetect, which would guard it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys

import pyogrio
import rasterio
from rasterio.windows import Window

CPU_S, WALL_S = 1, 5
MEMORY_BYTES = 12 * 2**30


def load(kind: str, path: str) -> None:
    """Open a file as any script would."""
    if kind in ("raster", "pair"):
        with rasterio.open(path) as file:
            file.read(1, window=Window(0, 0, min(64, file.width), min(64, file.height)))
    elif kind == "ckpt":
        import torch  # heavy to fork: only where it is needed

        torch.load(path, weights_only=False)
    else:
        pyogrio.read_dataframe(path)


def loads(kind: str, path: str) -> bool:
    """Whether a file loads in a child with limits."""
    child = os.fork()
    if child == 0:
        signal.alarm(WALL_S)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = 1
        try:
            load(kind, path)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    loaded = []
    with rasterio.Env():  # drivers are registered once, not in every child
        pyogrio.list_drivers()
    for name, kind, path in sorted(json.load(sys.stdin), key=lambda case: case[1] == "ckpt"):
        if kind == "ckpt":
            import torch  # noqa: F401 - once, before the fork
        loaded += [name] * loads(kind, path)
    json.dump(loaded, sys.stdout)
