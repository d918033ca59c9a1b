"""All downloads of a run, or the files of its sample, as one zip, put together on disk when it is asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from minedetect import sampling
from minedetect.design import read_design
from minedetect.errors import MinedetectError
from minedetect.runs import existing_run
from minedetect.ui import downloads

SPARE_BYTES = 500_000_000
"""What must stay free on the disk."""
PACKED = (".tif", ".png", ".pt")
"""Already as small as they get."""
PATIENCE_S = 30.0
_one_at_a_time = threading.Lock()


def answer(request: Request) -> Response:
    """The zip of one run: `/zips/RUN`."""
    try:
        run = existing_run(request.path_params["run"])
    except MinedetectError:
        return PlainTextResponse("There is no such run.", 404)
    return _packed(run.root, run.name, downloads.files_of(run))


def sample(request: Request) -> Response:
    """The zip of a run's sample, without anything that tells what the map says: `/zips/RUN/sample`."""
    try:
        run = existing_run(request.path_params["run"])
        sample_id = read_design(run).sample_id
    except MinedetectError:
        return PlainTextResponse("There is no such sample.", 404)
    files = sampling.files_of(run, sample_id)
    if not files:
        return PlainTextResponse("The files of this sample are not there. The page Results makes them.", 404)
    return _packed(sampling.folder_of(run, sample_id), sample_id, files)


def _packed(root: Path, name: str, files: list[Path]) -> Response:
    if sum(path.stat().st_size for path in files) + SPARE_BYTES > shutil.disk_usage(tempfile.gettempdir()).free:
        return PlainTextResponse("There is too little space on the server's disk to put the zip together.", 507)
    if not _one_at_a_time.acquire(timeout=PATIENCE_S):
        return PlainTextResponse("Another zip is being put together. Try again in a minute.", 503)
    try:
        path = write_zip(root, name, files)
    finally:
        _one_at_a_time.release()
    return FileResponse(
        path,
        filename=f"{name}.zip",
        media_type="application/zip",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


def write_zip(root: Path, name: str, files: list[Path]) -> Path:
    """Write files that lie under `root` into a new temporary zip; whoever asked removes it."""
    descriptor, place = tempfile.mkstemp(suffix=".zip", prefix="minedetect-")
    path = Path(place)
    try:
        with os.fdopen(descriptor, "wb") as out, zipfile.ZipFile(out, "w") as packed:
            for one in files:
                how = zipfile.ZIP_STORED if one.suffix in PACKED else zipfile.ZIP_DEFLATED
                packed.write(one, f"{name}/{one.relative_to(root).as_posix()}", how, 3)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
