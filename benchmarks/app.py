"""The app on a finished run of full size: pages, map and tiles, alone and beside a training, in one run.

    python benchmarks/app.py [--home HOME] [--size ROWS COLS] [--rounds N] [--json]

What is measured, each in turn with the training held (SIGSTOP) and with it at work at the priority the app gives it:

- script: seconds from the message with which the server says that a page's script has begun to the one that says it
  has ended, as they arrive at a websocket of a new session: everything the server does for the page, and no browser.
  Beside it the seconds of processor that the server took for the whole visit, which bear it when others compute too.
- map: seconds in headless Chromium, with nothing in its cache, until every tile of the first view is loaded and the
  outlines are drawn: from the address of the page, or from the click on a run in the app that is already open. Cold is
  the first visit to a server that has just been started. Beside it the processor seconds of the browser, which
  does most of the work.
- tiles: milliseconds from request to last byte over one kept connection, one tile after another, each asked for once
  a round; and the same with as many requests at once as a browser makes.

The run is made in HOME (several minutes for the full size) and used again where it is there already. Others on the
machine show in the load average that is printed; the ratios are what to compare between machines.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app_visits import (
    PAGES,
    RUN,
    SECOND,
    TRAINING,
    ZOOMS,
    Served,
    chromium,
    fetched,
    first_view,
    layers_of,
    served,
    tiles_of,
    visit,
)

from minedetect import jobs, runs
from minedetect.runs import Run, named_run

FULL_PX = (5567, 3230)
AT_ONCE = 6
"""Connections that a browser opens to one server."""
VISITS, VIEWS = 5, 3
LIMITS = {"script": 0.3, "map": 3.0, "tiles": 0.03}
HELD, AT_WORK = "held", "at work"


@dataclass
class Timings:
    """Seconds by what was measured and whether the training was held or at work."""

    seconds: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def add(self, kind: str, name: str, state: str, *seconds: float) -> None:
        self.seconds.setdefault((kind, name, state), []).extend(seconds)

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for (kind, name, state), found in self.seconds.items():
            told.setdefault(kind, {}).setdefault(name, {})[state] = {
                "median_s": round(statistics.median(found), 4),
                "least_s": round(min(found), 4),
                "p95_s": round(share_below(found, 0.95), 4),
                "most_s": round(max(found), 4),
                "number": len(found),
            }
        return told


def share_below(found: Sequence[float], share: float) -> float:
    """The least of the values that so many of them do not exceed."""
    return sorted(found)[max(1, math.ceil(share * len(found))) - 1]


def measure_tiles(timings: Timings, on: Served, state: str, seed: int) -> None:
    """Tiles of every layer and zoom one by one, then others several at once."""
    address, together = on.address, list[str]()
    layers = layers_of(address)
    fetched(address, tiles_of(layers[0], ZOOMS[0], -1))
    for layer in layers:
        before_s, number = on.processor_s(), 0
        for zoom in ZOOMS:
            seconds = fetched(address, tiles_of(layer, zoom, seed))
            timings.add("tiles", f"{layer.title}, zoom {zoom}", state, *seconds)
            timings.add("tiles", "all", state, *seconds)
            number += len(seconds)
            together += tiles_of(layer, zoom, seed + 1000)
        timings.add("tiles, of processor", layer.title, state, (on.processor_s() - before_s) / number)
    random.Random(seed).shuffle(together)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        parts = pool.map(lambda part: fetched(address, part), [together[n::AT_ONCE] for n in range(AT_ONCE)])
        timings.add("tiles at once", "all", state, *(one for part in parts for one in part))


def measure_pages(timings: Timings, on: Served, state: str) -> None:
    """Every page several times, each in a session of its own."""
    for name, (page, query) in PAGES.items():
        before_s = on.processor_s()
        timings.add("script", name, state, *(visit(on.address, page, query)[0] for _ in range(VISITS)))
        timings.add("script, of processor", name, state, (on.processor_s() - before_s) / VISITS)


def measure_map(timings: Timings, browser: Any, on: Served, state: str) -> None:
    """First views of the map from a server that is warm."""
    for name, clicked in (("warm, from its address", False), ("warm, from a click", True)):
        for _ in range(VIEWS):
            seconds, processor_s = first_view(browser, on.address, clicked)
            timings.add("map", name, state, seconds)
            timings.add("map, browser's processor", name, state, processor_s)


@contextmanager
def training() -> Iterator[Run]:
    """A training as the app starts it, at work on its epochs; stopped and its run removed at the end."""
    run = named_run(TRAINING)
    shutil.rmtree(run.root, ignore_errors=True)
    jobs.start(run, [jobs.DEMO, TRAINING, "--size", "640", "640", "--epochs", "1000", "--early-stop-epochs", "1000"])
    try:
        while run.status().step != "train":
            if not jobs.is_active(run.status()):
                raise SystemExit(f"the training did not start: {jobs.log_tail(run)}")
            time.sleep(0.5)
        yield run
    finally:
        let(run, signal.SIGCONT)
        jobs.stop(run)
        shutil.rmtree(run.root, ignore_errors=True)


def let(run: Run, number: signal.Signals) -> None:
    """Hold the training with all its helpers, or let it go on."""
    os.killpg(run.status().pid, number)
    time.sleep(1)


def make(home: Path, size_px: tuple[int, int]) -> None:
    """The finished run, made by a child so that this process stays small, and a second one to compare it with."""
    script = Path(__file__).with_name("full_run.py")
    subprocess.run([sys.executable, str(script), str(home), *map(str, size_px)], check=True, stdout=sys.stderr)
    second, first = named_run(SECOND), named_run(RUN)
    if not second.has(runs.STATUS):
        second.root.mkdir(exist_ok=True)
        for name in (runs.SUMMARY, runs.EVALUATION, runs.METRICS, runs.CONFIG, runs.STATUS):
            shutil.copy(first.path(name), second.path(name))
    os.utime(first.path(runs.STATUS))  # the latest, so that Overview offers it first


def measure(home: Path, rounds: int) -> tuple[Timings, list[float]]:
    """All timings, and the load averages at the start of each round."""
    timings, loads = Timings(), list[float]()
    with chromium() as browser, training() as job:
        for number in range(rounds):
            for state, sign in ((HELD, signal.SIGSTOP), (AT_WORK, signal.SIGCONT)):
                let(job, sign)
                loads.append(round(os.getloadavg()[0], 2))
                print(f"round {number + 1} of {rounds}, training {state}, load {loads[-1]}", file=sys.stderr)
                with served(home / "server.txt") as on:
                    if browser is not None:
                        timings.add("map", "cold, from its address", state, first_view(browser, on.address, False)[0])
                    for page, query in PAGES.values():
                        visit(on.address, page, query)
                    measure_pages(timings, on, state)
                    measure_tiles(timings, on, state, number)
                    if browser is not None:
                        measure_map(timings, browser, on, state)
    return timings, loads


def table(told: dict[str, Any]) -> str:
    """Medians and 95th percentiles of both states, and how many times longer it takes beside the training."""
    lines = [f"{'':48}{'held':>8}{'95 %':>8}{'at work':>9}{'95 %':>8}{'times':>7}{'limit':>8}"]
    for kind, names in told.items():
        for name, states in names.items():
            held, at_work = states[HELD], states[AT_WORK]
            limit = LIMITS.get(kind)
            figures = (held["median_s"], held["p95_s"], at_work["median_s"], at_work["p95_s"])
            unit, factor = ("ms", 1000) if kind.startswith("tiles") else ("s", 1)
            a, b, c, d = (f"{factor * one:.0f}" if factor > 1 else f"{one:.2f}" for one in figures)
            most = f"{factor * limit:g} {unit}" if limit else ""
            lines.append(f"{kind + ': ' + name:48}{a:>8}{b:>8}{c:>9}{d:>8}{figures[2] / figures[0]:>7.2f}{most:>8}")
    return "\n".join(lines)


def machine() -> str:
    """Processor and cores."""
    about = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = next((line.split(":", 1)[1].strip() for line in about.splitlines() if line.startswith("model name")), "?")
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def main() -> None:
    """Make what is missing, measure, print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--home", type=Path, help="folder of the run; else a temporary one")
    asked.add_argument("--size", type=int, nargs=2, default=FULL_PX, metavar=("ROWS", "COLS"))
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended on request"))  # so that nothing is left at work
    with tempfile.TemporaryDirectory() as aside:
        home = (given.home or Path(aside) / "home").absolute()
        home.mkdir(parents=True, exist_ok=True)
        os.environ |= {"MINEDETECT_HOME": str(home), "TMPDIR": aside}  # a line of its own to wait in
        make(home, tuple(given.size))
        timings, loads = measure(home, given.rounds)
    told = timings.to_json()
    size = " x ".join(map(str, given.size))
    if given.json:
        print(json.dumps({"machine": machine(), "size": size, "loads": loads, **told}))
    else:
        print(f"{machine()}; run of {size} x 5; load averages {loads}")
        print(table(told))


if __name__ == "__main__":
    main()
