"""A run folder: whole files or none, one writer, and a status that tells the truth about a dead process."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from minedetect import runs
from minedetect.errors import BadInput, RunError, SettingError
from minedetect.files import replacing, sha256_of, write_text
from minedetect.runs import Run, Status, existing_run, list_runs, open_run


@contextmanager
def forked(work: Callable[[], None]) -> Iterator[None]:
    """Do work in a child process that is killed without warning when the block ends."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def me(**fields: object) -> Status:
    """A status of this very process."""
    process = psutil.Process()
    return Status(run_id="r", state="running", pid=process.pid, pid_created_s=process.create_time()).model_copy(
        update=fields
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINEDETECT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_replacing_publishes_the_whole_file_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.tif"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".tif"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_replacing_keeps_the_old_file_when_the_block_fails(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise fault

    with pytest.raises(fault):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="could not be written") as refused:
        write_text(tmp_path / "file" / "x.json", "{}")
    assert refused.value.code == "WRITE"


def test_a_block_that_wrote_nothing_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(BadInput), replacing(tmp_path / "x.json"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_reader_never_sees_half_a_file_of_a_killed_writer(tmp_path: Path) -> None:
    path, texts = tmp_path / "status.json", ("a" * 300_000, "b" * 300_000)
    path.write_text(texts[0])

    def work() -> None:
        while True:
            for text in texts:
                write_text(path, text)

    chance = random.Random(0)
    for _ in range(20):
        with forked(work):
            until = time.monotonic() + chance.uniform(0.002, 0.03)
            while time.monotonic() < until:
                assert path.read_text() in texts
        assert path.read_text() in texts


def test_status_round_trips(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert run.status() == Status(run_id="run")
    status = me(steps=("prepare", "train"), step="train", done=3, total=9, message="fünf", seconds={"prepare": 1.5})
    run.write_status(status)
    read = run.status()
    assert read.updated_s > 0
    assert read.model_copy(update={"updated_s": status.updated_s}) == status


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run_id": 5}', '{"run_id": "x", "state": "odd"}', '{"a": 1}'])
def test_a_damaged_status_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / runs.STATUS).write_text(content)
    with pytest.raises(RunError, match="damaged"):
        Run(tmp_path).status()


def test_a_living_process_runs_and_others_are_interrupted() -> None:
    assert me().shown_state() == "running"
    assert me(pid_created_s=me().pid_created_s - 100).shown_state() == "interrupted"
    assert me(pid=0).shown_state() == "interrupted"
    assert me(state="done", pid=0).shown_state() == "done"


def test_a_dead_process_shows_as_interrupted_also_before_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    status = me(pid=child.pid, pid_created_s=psutil.Process(child.pid).create_time())
    assert status.shown_state() == "running"
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)
    assert status.shown_state() == "interrupted"
    child.communicate()
    assert status.shown_state() == "interrupted"


def test_the_second_holder_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    run = Run(tmp_path / "mine")
    with run.locked():
        with pytest.raises(RunError, match="mine is in use"), run.locked():
            pass
        with pytest.raises(RunError), Run(tmp_path / "mine").locked():
            pass
    with run.locked():
        pass


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    run, taken = Run(tmp_path), tmp_path / "taken"

    def hold() -> None:
        with run.locked():
            taken.touch()
            time.sleep(30)

    with forked(hold):
        while not taken.exists():
            time.sleep(0.001)
        with pytest.raises(RunError), run.locked():
            pass
    with run.locked():
        pass


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/../../x",
        "a/b",
        "/etc",
        "~",
        "a\\b",
        "ok/",
        ".hidden",
        "ok\n",
        "a\0b",
        "-x",
        " x",
        "x" * 101,
    ],
)
def test_a_name_from_the_web_is_never_a_path(home: Path, name: str) -> None:
    Run(home / "ok").write_status(Status(run_id="ok"))
    Run(home.parent / "x").write_status(Status(run_id="x"))
    with pytest.raises(RunError, match="not the name of a run"):
        existing_run(name)


@pytest.mark.parametrize("name", ["ok", "Chingola 2016-2025", "sté.1", "_x"])
def test_a_plain_name_finds_its_run(home: Path, name: str) -> None:
    with pytest.raises(RunError, match="no run"):
        existing_run(name)
    Run(home / name).write_status(Status(run_id=name))
    assert existing_run(name) == Run(home / name)


def test_a_bare_name_lies_under_home_and_a_path_where_it_says(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_run("demo").root == home / "demo"
    assert open_run("./out/demo").root == tmp_path / "out" / "demo"
    assert open_run(str(tmp_path / "z")).root == tmp_path / "z"
    monkeypatch.delenv("MINEDETECT_HOME")
    assert runs.home() == tmp_path / "runs"


def test_runs_are_listed_the_latest_first(home: Path) -> None:
    assert list_runs() == []
    for age, name in enumerate(("new", "old", "older")):
        Run(home / name).write_status(Status(run_id=name))
        os.utime(home / name / runs.STATUS, (1e9 - age, 1e9 - age))
    (home / "no run").mkdir()
    assert [run.name for run in list_runs()] == ["new", "old", "older"]


def test_json_round_trips_and_its_faults_are_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_json("x.json", {"ö": [1, 2.5, None]})
    assert run.read_json("x.json") == {"run_id": tmp_path.name, "ö": [1, 2.5, None]}
    run.write_geojson("x.geojson", {"type": "FeatureCollection", "features": []})
    assert run.read_json("x.geojson") == {"type": "FeatureCollection", "features": [], "run_id": tmp_path.name}
    with pytest.raises(RunError, match=r"no y\.json"):
        run.read_json("y.json")
    run.path("y.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(RunError, match="damaged"):
        run.read_json("y.json")


def test_json_that_browsers_cannot_read_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Run(tmp_path).write_json("x.json", {"iou": float("nan")})
    assert not list(tmp_path.iterdir())


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    content = json.dumps(list(range(50_000))).encode()
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["prediction_2016.tif", "mines_2016.geojson", "evaluation.json"])
def test_a_run_never_removes_what_it_is_about_to_read(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path)
    for one in (name, "summary.json"):
        run.path(one).write_text("kept")
    with pytest.raises(SettingError, match="Choose another --out"):
        run.forget_results([tmp_path / "elsewhere.tif", None, run.path(name)])
    assert run.path(name).read_text() == run.path("summary.json").read_text() == "kept"
    run.forget_results([tmp_path / "elsewhere.tif"])
    assert not run.has(name)


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Name the file"), replacing(tmp_path):
        pass
