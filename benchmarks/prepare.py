"""Preparing a scene step by step against reading its file once, in one run.

    python benchmarks/prepare.py [ROWS COLS]

The steps run in a child of their own, so that its peak memory is theirs alone. The ratio is what to compare between
machines; the absolute figures are noisy.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minedetect.presets import settings_from
from minedetect.runs import Run


def steps(run: Run, image: Path, after: Path, labels: Path) -> None:
    """Prepare one scene and measure its pair, and print what each step took."""
    from minedetect.devices import peak_rss_mb
    from minedetect.prepare import fit_contract, write_scene, write_split
    from minedetect.raster import open_raster, read_through
    from minedetect.scenes import SceneFiles, admit_scenes, load_scene
    from minedetect.second import check_pair
    from minedetect.split import make_split

    settings = settings_from({}, gpu=False)
    files = SceneFiles(image, labels, image.stem)
    once = 0.0

    def timed(name: str, work: Callable[[], Any]) -> Any:
        nonlocal once
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        once = once or seconds
        print(f"{name:34} {seconds:6.1f} s {seconds / once:6.1f} times, peak {peak_rss_mb():5.0f} MB", flush=True)
        return result

    timed("read the file once", lambda: read_through(open_raster(image)))
    started = time.perf_counter()
    timed("examine image and labels (child)", lambda: admit_scenes([files], settings))
    scene = timed("mask, values, checks", lambda: load_scene(files, settings))
    timed("mask.tif and two pictures", lambda: write_scene(scene, run.root, run))
    split = timed("split", lambda: make_split([scene.raster.grid], [scene.known], settings, 0))
    timed("split.png and .geojson", lambda: write_split(run, [scene], split))
    timed("scaling", lambda: fit_contract([scene], split, 0))
    total = time.perf_counter() - started
    print(f"{'prepare, all of it':34} {total:6.1f} s {total / once:6.1f} times")
    timed("second date: examine, values, pair", lambda: check_pair(scene, after, settings))


def make(run: Run, rows: int, cols: int) -> None:
    """Write the district's files."""
    from minedetect.demo import write_inputs

    write_inputs(run, (rows, cols), 0)


def main(rows: int = 5567, cols: int = 3230) -> None:
    """Make the district, then print one table; a child inherits its parent's peak, so this process does nothing big."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        inputs = run.root / "inputs"
        files = (inputs / "before_2016.tif", inputs / "after_2025.tif", inputs / "mines_2016.geojson")
        print(f"scene {rows} x {cols} x 5")
        for child in (
            spawn.Process(target=make, args=(run, rows, cols)),
            spawn.Process(target=steps, args=(run, *files)),
        ):
            child.start()
            child.join()


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
