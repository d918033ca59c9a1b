from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from minedetect import config, incoming, raster, vectors
from minedetect.errors import BadInput
from minedetect.tiff import Limits
from minedetect.ui import upload

HERE = "http://127.0.0.1"
BODY = b"II*\0" + bytes(range(256)) * 4096
PLENTY = SimpleNamespace(free=2**40)

HOSTILE_NAMES = (
    "../../etc/passwd.tif",
    "..\\..\\boot.tif",
    "/etc/cron.d/job.tif",
    "a\0b.tif",
    "line\nbreak.tif",
    "{{7*7}}<script>.tif",
    ".tif.tif",
    "....tif",
    "x" * 5000 + ".tif",
    "图像.tif",
    "-rf.tif",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINEDETECT_HOME", str(tmp_path))
    return tmp_path / "incoming"


def client(usage: incoming.Usage = lambda _: PLENTY) -> TestClient:
    return TestClient(Starlette(routes=upload.routes(usage)), base_url=HERE)


def headers(name: str = "image.tif", **changed: str) -> dict[str, str]:
    told = {"x-upload-token": upload.issue_token(), "x-file-name": quote(name), "origin": HERE}
    return told | {key.replace("_", "-"): value for key, value in changed.items()}


def put(name: str = "image.tif", body: Any = BODY, usage: incoming.Usage = lambda _: PLENTY, **changed: str) -> Any:
    return client(usage).put("/upload", content=body, headers=headers(name, **changed))


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_a_file_arrives_whole_hashed_and_for_this_user_alone(folder: Path) -> None:
    told = put().json()
    file = incoming.stored(told["id"])
    assert file.path.read_bytes() == BODY
    assert told["sha256"] == file.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (file.name, file.path.name, told["size"], told["reused"]) == ("image.tif", "image.tif", len(BODY), False)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in left(folder)) == ["about.json", "image.tif"]


@pytest.mark.parametrize(
    "changed", [{"x_upload_token": ""}, {"x_upload_token": "guessed"}, {"origin": "http://evil.example"}]
)
def test_other_sites_and_sessions_are_refused(folder: Path, changed: dict[str, str]) -> None:
    answer = put(**changed)
    assert answer.status_code == 403
    assert "Reload" in answer.json()["problem"]
    assert left(folder) == []


def test_no_token_no_origin_and_another_host_are_refused(folder: Path) -> None:
    for dropped in ("x-upload-token", "origin"):
        told = headers()
        del told[dropped]
        assert client().put("/upload", content=BODY, headers=told).status_code == 403
    rebound = TestClient(Starlette(routes=upload.routes()), base_url="http://rebound.example")
    answer = rebound.put("/upload", content=BODY, headers=headers(origin="http://rebound.example"))
    assert answer.status_code == 403
    assert left(folder) == []


@pytest.mark.parametrize("name", ["image.exe", "image", "image.tif.vrt", "run.py", "x.shp", ""])
def test_other_kinds_are_refused(folder: Path, name: str) -> None:
    answer = put(name)
    assert answer.status_code == 415
    assert ".tif" in answer.json()["problem"]
    assert left(folder) == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_never_a_path(folder: Path, name: str) -> None:
    answer = put(name)
    assert answer.status_code == 200
    file = incoming.stored(answer.json()["id"])
    assert file.path.parent.parent == folder
    assert file.path.resolve() == file.path
    assert file.path.suffix == ".tif"
    assert file.path.stem.replace("_", "").replace("-", "").isascii()
    assert file.path.stem.replace("_", "").replace("-", "").isalnum()
    assert file.name.isprintable()
    assert len(left(folder.parent)) == 2


def test_too_large_by_its_own_word_is_refused_before_a_byte(folder: Path) -> None:
    answer = put("mines.geojson", content_length=str(incoming.LARGEST[".geojson"] + 1))
    assert answer.status_code == 413
    assert left(folder) == []


def test_too_large_in_the_middle_leaves_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> Iterator[bytes]:
        yield from [bytes(2**20)] * 60

    answer = put("mines.geojson", body())
    assert answer.status_code == 413
    assert left(folder) == []
    assert list(folder.iterdir()) == []


def test_a_disk_that_is_full_says_so_before_and_in_the_middle(folder: Path) -> None:
    full = put(usage=lambda _: SimpleNamespace(free=incoming.RESERVE_BYTES))
    assert full.status_code == 507
    assert "MiB left" in full.json()["problem"]
    asked = iter([PLENTY, *[SimpleNamespace(free=0)] * 9])

    def body() -> Iterator[bytes]:
        yield from [bytes(2**20)] * 40

    answer = put(body=body(), usage=lambda _: next(asked))
    assert answer.status_code == 507
    assert list(folder.iterdir()) == []


def test_the_same_content_is_stored_once(folder: Path) -> None:
    first, second = put("one.tif").json(), put("two.tif").json()
    assert (first["reused"], second["reused"]) == (False, True)
    assert first["sha256"] == second["sha256"]
    one, two = incoming.stored(first["id"]), incoming.stored(second["id"])
    assert one.path.samefile(two.path)
    assert (one.name, two.name) == ("one.tif", "two.tif")
    one.path.unlink()
    assert two.path.read_bytes() == BODY
    assert put("three.tif", BODY[:-1]).json()["reused"] is False


def test_an_empty_file_is_refused(folder: Path) -> None:
    assert put(body=b"").status_code == 422
    assert list(folder.iterdir()) == []


def test_an_aborted_upload_leaves_nothing(folder: Path) -> None:
    sent = [
        {"type": "http.request", "body": BODY, "more_body": True},
        {"type": "http.request", "body": BODY, "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/upload",
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in (headers() | {"host": "127.0.0.1"}).items()],
    }
    answers: list[Any] = []

    async def receive() -> Any:
        assert sent, "asked on after the disconnect"
        return sent.pop(0)

    async def send(message: Any) -> None:
        answers.append(message)

    asyncio.run(Starlette(routes=upload.routes())(scope, receive, send))
    assert answers[0]["status"] == 400
    assert list(folder.iterdir()) == []


def test_whether_a_file_may_come_can_be_asked_first(folder: Path) -> None:
    asked = client()
    told = headers("mines.zip")
    assert asked.get("/upload?size=1000", headers=told).status_code == 200
    assert asked.get(f"/upload?size={2**40}", headers=told).status_code == 413
    assert asked.get("/upload?size=1", headers=headers(x_upload_token="no")).status_code == 403
    assert left(folder) == []


def test_what_a_killed_server_left_is_swept_when_it_is_old(folder: Path) -> None:
    old, new = folder / "old", folder / "new"
    for made in (old, new):
        made.mkdir(parents=True)
        (made / incoming.UNFINISHED).write_bytes(b"half")
    os.utime(old, (0, 0))
    kept = incoming.stored(put().json()["id"])
    assert not old.exists()
    assert new.exists()
    assert kept.path.exists()


@pytest.mark.parametrize("identity", ["", "..", "../x", "0" * 36, "{" + "0" * 8 + "-0000-0000-0000-000000000000}"])
def test_an_id_from_a_page_is_never_a_path(identity: str) -> None:
    with pytest.raises(BadInput, match="no longer on the server"):
        incoming.stored(identity)


def test_files_on_the_server_are_those_inside_its_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(incoming.DATA, raising=False)
    assert incoming.server_files() == []
    with pytest.raises(BadInput, match=incoming.DATA):
        incoming.server_file("a.tif")
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "a.tif").write_bytes(BODY)
    (data / "notes.txt").write_bytes(BODY)
    (tmp_path / "secret.tif").write_bytes(BODY)
    (data / "link.tif").symlink_to(tmp_path / "secret.tif")
    monkeypatch.setenv(incoming.DATA, str(data))
    assert incoming.server_files() == ["link.tif", "deep/a.tif"]
    assert incoming.server_file("deep/a.tif") == (data / "deep" / "a.tif").resolve()
    for outside in ("../secret.tif", str(tmp_path / "secret.tif"), "link.tif", "", "deep", "a\0.tif", "nothing.tif"):
        with pytest.raises(BadInput, match="There is no file"):
            incoming.server_file(outside)
    with pytest.raises(BadInput, match="not taken"):
        incoming.server_file("notes.txt")


def test_the_limits_are_those_of_the_readers() -> None:
    assert raster.RASTER_SUFFIXES == incoming.IMAGES
    assert incoming.LARGEST[".tif"] == Limits().image_bytes == Limits.of(config.Settings()).image_bytes
    assert incoming.LARGEST[".json"] == incoming.LARGEST[".geojson"] == vectors.MAX_GEOJSON_BYTES
    assert incoming.LARGEST[".gpkg"] == incoming.LARGEST[".zip"] == vectors.MAX_VECTOR_BYTES


def test_a_damaged_note_beside_a_file_is_no_crash(folder: Path) -> None:
    told = put().json()
    (folder / told["id"] / incoming.ABOUT).write_text(json.dumps({"file": "../../x"}), encoding="utf-8")
    with pytest.raises(BadInput):
        incoming.stored(told["id"])
    assert put().json()["reused"] is False
