"""Made-up runs, and a real server, for the tests of the pages."""

from __future__ import annotations

import functools
import io
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.image
import numpy as np
import psutil
import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from minedetect import curves, runs, server
from minedetect.curves import Epoch
from minedetect.presets import settings_from
from minedetect.runs import Run, Status

# Each AppTest looks through all installed packages for components, which takes longer than most pages; once will do.
setattr(  # noqa: B010 - a function of another package cannot be assigned to under strict typing
    manifest_scanner, "scan_component_manifests", functools.cache(manifest_scanner.scan_component_manifests)
)

STEPS = ("prepare", "train", "predict", "change", "report")
HOSTILE = ("{{7*7}}", "<script>alert(1)</script>", "$x$", "[a](javascript:alert(1))", ":material/home:")

AREAS_CSV = b"kind,new_ha,gone_ha\nfirm,1234.5,67.8\n"

SUMMARY = {
    "run_id": "demo",
    "name": "demo",
    "created": "2025-11-23T20:00:00+00:00",
    "years": ["2016", "2025"],
    "hectares": {"2016": 3841.2, "2025": 5012.7},
    "hectares_observed": {"2016": 3841.2, "2025": 5020.1},
    "new_ha": 1234.5,
    "gone_ha": 67.8,
    "unchanged_ha": 3700.1,
    "net_ha": 1171.5,
    "change_ha": {
        "new": {"firm": 1234.5, "doubtful": 60.0, "ring": 15.1, "sieved": 3.0},
        "gone": {"firm": 67.8, "doubtful": 40.2, "ring": 30.1, "sieved": 3.0},
    },
    "verdict": "review",
    "plausible": False,
    "reasons": ["Mining in 2025 is 1.3 times that of 2016 (limit 3.0).", "Band B11 drifted by 6 % between the dates."],
    "mine_definition": "Open pits, dumps, tailings and ponds inside the labelled outlines.",
    "notes": ["The second image was warped onto the grid of the first.", "One outline was repaired (0.2 ha)."],
    "truth": {"2016": {"iou": 0.71, "hectares": 3900.0}, "2025": {"iou": 0.69, "hectares": 5100.5}},
    "per_mine": [
        {
            "mine": name,
            "status": status,
            "labelled_ha": 1200.5 - 100 * place,
            "before_ha": 1180.0 - 100 * place,
            "after_ha": 1300.0 - 90 * place,
            "gained_ha": 130.0,
            "lost_ha": 10.0,
            "unobserved_ha": 0.0,
        }
        for place, (name, status) in enumerate([("Nchanga", "active"), ("Mimbula", ""), ("outside the labels", "")])
    ],
}

EVALUATION = {
    "iou": 0.624,
    "dice": 0.768,
    "precision": 0.81,
    "recall": 0.731,
    "baseline_iou": 0.312,
    "baseline": "NDBI above 0.05",
    "all_background_iou": 0.0,
    "ci95": None,
    "threshold": 0.42,
    "pixels": 3_600_123,
    "blocks": 4,
    "mines": 2,
    "predicted_ha": 801.2,
    "labelled_ha": 780.4,
    "reliability": [],
}


CONFIG = {"run_id": "demo", "settings": settings_from({"preset": "cpu"}, gpu=False).model_dump()}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("MINEDETECT_HOME", str(folder))
    return folder


def status(state: str, **fields: object) -> Status:
    """A status as the worker writes it; those that are active belong to this very process."""
    me = psutil.Process()
    owner = {"pid": me.pid, "pid_created_s": me.create_time()} if state in runs.ACTIVE else {}
    return Status.model_validate({"run_id": "demo", "state": state, "steps": STEPS, **owner, **fields})


def run_in_state(home: Path, state: str, name: str = "demo", log: str = "", **fields: object) -> Run:
    run = Run(home / name)
    run.write_status(status(state, **fields))
    if log:
        run.path(runs.LOG).write_text(log, encoding="utf-8")
    return run


def finished_run(home: Path, name: str = "demo", **changes: object) -> Run:
    """A run with every artifact the pages read; `changes` replace keys of its summary."""
    run = run_in_state(home, "done", name, log="2025-11-23 20:00:00 report: done in 1.0 s\n", step="report")
    run.write_json(runs.SUMMARY, {**SUMMARY, **changes})
    run.write_json(runs.EVALUATION, EVALUATION)
    run.path(runs.AREAS).write_bytes(AREAS_CSV)
    write_metrics(run, epochs=12)
    for picture in (runs.RESULTS_PICTURE, runs.HISTORY, runs.MASK_PICTURE):
        write_picture(run.path(picture))
    write_picture(run.root / "scenes" / "north" / runs.EDGE_PICTURE)
    for name in (runs.MODEL, runs.CHANGE_MAP, runs.CHANGE_POLYGONS, runs.REPORT):
        run.path(name).write_bytes(b"made up")
    run.write_json(runs.CONFIG, CONFIG)
    for year in ("2016", "2025"):
        run.path(runs.prediction_name(year)).write_bytes(b"made up")
        run.path(runs.mines_name(year)).write_bytes(b"made up")
    return run


def write_metrics(run: Run, epochs: int, half_line: str = "99,0.1", table: str = runs.METRICS) -> None:
    """Curves of a training that goes well; the last line is half written, as while it goes on."""
    curves.write_metrics(run.path(table), [_epoch(number) for number in range(1, epochs + 1)])
    with run.path(table).open("a", encoding="utf-8") as file:
        file.write(half_line)


def write_networks(run: Run, *epochs: int) -> None:
    """Curves of a run of several networks, so many epochs each; those of the last one are those of the run."""
    for number, count in enumerate(epochs, start=1):
        run.path(f"{runs.FOLDS_FOLDER}/{number}").mkdir(parents=True, exist_ok=True)
        write_metrics(run, count, "", f"{runs.FOLDS_FOLDER}/{number}/{runs.METRICS}")
    write_metrics(run, [count for count in epochs if count][-1])


def write_older_metrics(run: Run, epochs: int) -> None:
    """Curves as a version wrote them that did not yet tell which epoch is kept."""
    write_metrics(run, epochs, half_line="")
    lines = run.path(runs.METRICS).read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith(",kept_epoch")
    run.path(runs.METRICS).write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines), encoding="utf-8")


def _epoch(number: int) -> Epoch:
    iou = 0.65 * (1 - 0.8**number)
    return Epoch(
        epoch=number,
        train_loss=0.8 / number,
        validation_loss=0.9 / number**0.8,
        iou=iou,
        dice=2 * iou / (1 + iou),
        precision=0.8,
        recall=0.7,
        learning_rate=0.002,
        seconds=6.0,
        patches_per_s=31.4,
        memory_mb=812.0,
        predicted_share=0.021,
        mine_share=0.022,
        kept_epoch=number,
    )


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_picture())


@functools.cache
def _picture() -> bytes:
    """Wider than what Streamlit would shrink, as the real ones are."""
    rows, columns = np.mgrid[0:600, 0:1800]
    file = io.BytesIO()
    matplotlib.image.imsave(file, np.sin(rows / 70) + np.cos(columns / 90), cmap="cividis", format="png")
    return file.getvalue()


def opened(page: str = "overview", main: bool = False, **query: str) -> AppTest:
    """A page as a visitor sees it; with `main`, by way of the main script and its navigation.

    The overview leads to every page, so it is always seen that way.
    """
    overview = page == "overview"
    at = AppTest.from_file(server.MAIN if main or overview else server.PAGES / f"{page}.py", default_timeout=20)
    if main and not overview:
        at.run()
        at.switch_page(str(server.PAGES / f"{page}.py"))
    for key, value in query.items():
        at.query_params[key] = value
    return at.run()


def shown(at: AppTest) -> str:
    """All text of a page, as it was sent to the browser."""
    kinds = (
        "title",
        "header",
        "subheader",
        "markdown",
        "caption",
        "text",
        "code",
        "error",
        "warning",
        "info",
        "success",
    )
    return "\n".join(element.value for kind in kinds for element in at.get(kind))


def alerts(at: AppTest) -> list[str]:
    return [a.value for kind in ("error", "warning", "info", "success") for a in at.get(kind)]


def metrics(at: AppTest) -> dict[str, str]:
    return {m.label: m.value for m in at.metric}


@contextmanager
def served(home: Path, cwd: Path) -> Iterator[str]:
    """The app as `minedetect app` serves it, from any folder; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MINEDETECT_HOME": str(home), "TMPDIR": str(cwd)}  # a line of its own to wait in
    with (cwd / "server.txt").open("wb") as log:
        process = subprocess.Popen(server.command(port), cwd=cwd, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_healthy(process, f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=1).read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server did not start")
