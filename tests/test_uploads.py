"""The law of removing: what a run or a draft names stays, and nothing outside the folder of uploads is touched."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minedetect import draft as drafts
from minedetect import incoming, manifest, uploads
from minedetect.draft import Given
from minedetect.errors import BadInput
from minedetect.incoming import Stored
from minedetect.runs import CONFIG, DRAFT, MANIFEST, Run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    monkeypatch.setenv("MINEDETECT_HOME", str(folder))
    return folder


def upload(name: str = "image.tif", content: bytes = b"II*\0 pixels") -> Stored:
    with incoming.arriving(name) as file:
        file.write(content)
        return file.finish()


def drafted(name: str, *files: Stored) -> Run:
    run = drafts.create(name)
    roles = zip(drafts.ROLES, files, strict=False)
    inputs = {role: Given(path=str(f.path), name=f.name, sha256=f.sha256) for role, f in roles}
    drafts.update(run, lambda draft: draft.model_copy(update={"inputs": inputs}))
    return run


def begun(home: Path, name: str, *files: Stored) -> Run:
    run = Run(home / name)
    inputs = manifest.look_at({f"role {number}": file.path for number, file in enumerate(files)})
    manifest.begin(run, {"command": "run"}, {}, inputs)
    return run


def users(file: Stored) -> tuple[str, ...]:
    return next(u.users for u in uploads.uploads() if u.file.id == file.id)


def test_runs_and_drafts_are_told_by_name(home: Path) -> None:
    file = upload()
    assert users(file) == ()
    drafted("north", file)
    begun(home, "south", file)
    assert users(file) == ("north", "south")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    needs=st.lists(st.sampled_from(["", "draft", "config", "manifest", "nested", "linked", "damaged"]), max_size=6),
    asked=st.sets(st.integers(0, 5)),
)
def test_what_is_named_stays_and_the_rest_goes(home: Path, tmp_path: Path, needs: list[str], asked: set[int]) -> None:
    files = [upload(f"{n}.tif", os.urandom(20)) for n in range(len(needs))]
    for file, need in zip(files, needs, strict=True):
        name = uuid.uuid4().hex[:12]
        if need == "draft":
            drafted(name, file)
        elif need == "config":
            begun(home, name, file)
        elif need == "nested":
            begun(home / "group", name, file)
        elif need == "linked":
            begun(tmp_path / "elsewhere", name, file)
            (home / name).symlink_to(tmp_path / "elsewhere" / name)
        elif need in ("manifest", "damaged"):
            (home / name).mkdir(parents=True)
            (home / name / (MANIFEST if need == "manifest" else CONFIG)).write_text('{"x": "' + str(file.path))
    for number, (file, need) in enumerate(zip(files, needs, strict=True)):
        if number in asked and need:
            with pytest.raises(BadInput, match="is needed by"):
                uploads.remove([file.id])
        elif number in asked:
            assert uploads.remove([file.id]) == [file]
        assert file.path.exists() == (bool(need) or number not in asked)
        assert file.path.parent.exists() == file.path.exists()


def test_one_file_that_is_needed_keeps_all_that_were_asked_for() -> None:
    free, needed = upload("a.tif", b"a"), upload("b.tif", b"b")
    drafted("north", needed)
    with pytest.raises(BadInput, match=r"b\.tif is needed by north, so nothing was removed"):
        uploads.remove([free.id, needed.id])
    assert free.path.exists()
    assert needed.path.exists()


def test_content_that_is_needed_stays_under_all_its_names(home: Path, tmp_path: Path) -> None:
    first, second = upload("a.tif"), upload("b.tif")
    link = tmp_path / "link.tif"
    link.symlink_to(first.path)
    run = Run(home / "cli")
    manifest.begin(run, {}, {}, manifest.look_at({"before": link}))
    assert str(first.path) not in run.path(CONFIG).read_text()
    assert users(first) == users(second) == ("cli",)


def test_an_upload_that_shares_its_content_goes_alone() -> None:
    first, second = upload("a.tif"), upload("b.tif")
    assert second.reused
    uploads.remove([first.id])
    assert not first.path.exists()
    assert second.path.read_bytes() == b"II*\0 pixels"


@pytest.mark.parametrize(
    "identity", ["", ".", "..", "../north", "/etc", "a\0b", "0" * 36, "9e8c0846-f444-4aa8-a268-021b1818ce5c", "*"]
)
def test_an_id_from_a_page_removes_nothing_else(home: Path, identity: str) -> None:
    kept, run = upload(), drafted("north")
    with pytest.raises(BadInput, match="no longer on the server"):
        uploads.remove([identity])
    assert kept.path.exists()
    assert run.has(DRAFT)


def test_no_link_is_followed(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.tif").write_bytes(b"x")
    told = {"name": "x", "file": "precious.tif", "sha256": "0" * 64, "size_bytes": 1}
    (outside / incoming.ABOUT).write_text(json.dumps(told))
    file, planted = upload(), str(uuid.uuid4())
    (home / incoming.FOLDER / planted).symlink_to(outside)
    (file.path.parent / "inner").symlink_to(outside)
    assert [u.file.id for u in uploads.uploads()] == [file.id]
    with pytest.raises(BadInput, match="no longer on the server"):
        uploads.remove([planted])
    uploads.remove([file.id])
    assert not file.path.parent.exists()
    assert (outside / "precious.tif").exists()
    assert (outside / incoming.ABOUT).exists()


def test_an_uploaded_file_never_speaks_for_a_run() -> None:
    file = upload()
    upload("config.json", json.dumps({"path": str(file.path)}).encode())
    assert users(file) == ()


def test_a_damaged_note_beside_a_file_is_left_alone(home: Path) -> None:
    file, damaged = upload("a.tif", b"a"), upload("b.tif", b"b")
    (damaged.path.parent / incoming.ABOUT).write_text("{")
    assert [u.file.id for u in uploads.uploads()] == [file.id]
    assert damaged.path.exists()


def test_without_uploads_there_is_nothing(home: Path) -> None:
    assert uploads.uploads() == []
    assert not home.exists()
