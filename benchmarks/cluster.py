"""Scenes a minute of `predict --scenes` with one and with two workers on this machine, in one run.

    python benchmarks/cluster.py [SCENES [ROWS COLS [WIDTH]]]

Both begin with workers that are up and have loaded the model, so that starting Python is not counted. With as many
threads as cores for one worker and half of them each for two, the processor is full either way: what the second
worker adds is what one leaves idle while it reads, sieves and writes.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster

from minedetect.bands import BandContract
from minedetect.cluster import SceneTask, predict_task
from minedetect.cog import CogProfile, write_cog
from minedetect.files import sha256_of
from minedetect.model import Detector, UNet, save
from minedetect.presets import settings_from
from minedetect.synthetic import BANDS, make_district


def scenes_per_minute(workers: int, tasks: list[SceneTask], model: Path) -> float:
    """How fast a number of workers gets through the scenes, after each has done one."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
    settings, sha256 = settings_from({"device": "cpu"}, gpu=False), sha256_of(model)
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            env={"OMP_NUM_THREADS": threads, "DASK_LOGGING__DISTRIBUTED": "error"},
        ) as cluster,
        Client(cluster) as client,
    ):
        names = list(client.scheduler_info()["workers"])
        warm = [
            client.submit(predict_task, task, model, sha256, settings, workers=[name], pure=False)
            for task, name in zip(tasks, names, strict=False)
        ]
        client.gather(warm)
        for path in tasks[0].prediction.parent.glob("*.tif"):
            path.unlink()
        started = time.perf_counter()
        ended = client.gather(
            [client.submit(predict_task, task, model, sha256, settings, pure=False) for task in tasks]
        )
        seconds = time.perf_counter() - started
    assert all(outcome.state == "predicted" for outcome in ended), ended
    return 60 * len(tasks) / seconds


def main(scenes: int = 12, rows: int = 448, cols: int = 448, width: int = 16) -> None:
    """Print one table."""
    contract = BandContract(BANDS, "reflectance", (0.0,) * 5, (0.4,) * 5, 10.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(Detector(UNet(len(BANDS), width).eval(), width, contract), folder / "model.pt")
        district = make_district((rows, cols))
        tasks = []
        for number in range(scenes):
            image = folder / f"{number}.tif"
            pixels = district.before + np.float32(number / 1e4)
            write_cog(image, pixels, district.grid, CogProfile("float32", float("nan"), BANDS, {}))
            tasks.append(SceneTask(str(number), image, folder / "out" / f"{number}.tif", None))
        (folder / "out").mkdir()
        found = {n: [] for n in (1, 2)}
        for workers in (1, 2, 2, 1):
            found[workers].append(scenes_per_minute(workers, tasks, folder / "model.pt"))
    one, two = (sum(found[n]) / len(found[n]) for n in (1, 2))
    print(f"{scenes} scenes of {rows} x {cols} x {len(BANDS)}, width {width}")
    print(f"1 worker, all cores {one:8.1f} scenes a minute")
    print(f"2 workers           {two:8.1f} scenes a minute, {two / one:.2f} times as many")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
