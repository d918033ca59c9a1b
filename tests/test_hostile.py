from __future__ import annotations

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hostile import CASES, SECRET_VALUE, SECRET_WORD, outline_of, write_corpus
from hostile_case import Case, Site
from hostile_child import End, Ran, in_fork, run_measured
from hostile_names import NAMES
from hostile_vectors import STRINGS
from hostile_verdict import told_of

from minedetect import intake
from minedetect.errors import BadInput
from minedetect.labels import open_labels
from minedetect.raster import open_raster
from minedetect.tiff import Limits

Commands = dict[str, tuple[Path, Future[Ran]]]
"""By case, the folder where a command runs and how it ends."""

MENDABLE = 2
REFUSAL_S = 5
REFUSAL_BYTES = 512 * 2**20
WAITING_UNGUARDED = ("r_vrt_header", "r_wms", "v_ogr_vrt_url", "v_wfs", "v_crs_link")
"""These wait for answers from the listener; one that does is enough."""
LOADED_UNGUARDED = {"raster": 15, "pair": 2, "vector": 15, "archive": 10, "ckpt": 15}
"""Fewer than were measured of each kind: what a library refuses of itself changes with its version."""
REFUSED = [case for case in CASES if case.refuse]
BY_ID = {case.id: case for case in CASES}
GDAL_SETTINGS = ("GDAL", "OGR", "CPL")


@dataclass
class Watched:
    """A corpus with everything that an attack on it would leave behind.

    Args:
        site: the corpus.
        listener: a socket that its URLs name; nobody answers on it.
        known: what `files` was at first.
    """

    site: Site
    listener: socket.socket
    known: dict[str, tuple[int, int]]

    @classmethod
    def at(cls, root: Path) -> Watched:
        listener = socket.create_server(("127.0.0.1", 0))
        site = write_corpus(root, f"http://127.0.0.1:{listener.getsockname()[1]}")
        return cls(site, listener, _files(site))

    def called(self) -> bool:
        """Whether anything connected to the listener."""
        return bool(select.select([self.listener], [], [], 0)[0])

    def changed(self) -> list[str]:
        """Files that are new, gone or changed; told once."""
        now = _files(self.site)
        changes = {name for name, _ in now.items() ^ self.known.items()}
        self.known = now
        return sorted(changes)

    def read(self) -> list[str]:
        """The other user's files that were read, as far as the file system notes it."""
        return [path.name for path in self.site.secret.iterdir() if path.stat().st_atime > 0]

    def harm(self) -> list[str]:
        return [*self.changed(), *self.read(), *["a call"] * self.called()]


def _files(site: Site) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file of a corpus."""
    found = [(path, path.stat()) for path in site.root.rglob("*") if path.is_file()]
    return {str(path.relative_to(site.root)): (told.st_size, told.st_mtime_ns) for path, told in found}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched.at(tmp_path_factory.mktemp("corpus"))
    with watched.listener:
        yield watched


def _every(cases: tuple[Case, ...] | list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


def test_the_manifest_is_whole(corpus: Watched) -> None:
    assert not [name for name, count in Counter(case.id for case in CASES).items() if count > 1]
    assert not [file for file, count in Counter((c.kind, c.file) for c in CASES).items() if count > 1]
    assert not [case.id for case in CASES if not case.path(corpus.site).exists()]
    assert not corpus.harm()
    assert len(REFUSED) >= 120
    assert len(CASES) - len(REFUSED) >= 40


@_every(CASES)
def test_each_file_gets_its_verdict_and_does_no_harm(case: Case, corpus: Watched) -> None:
    end = in_fork(lambda: told_of(case, corpus.site))
    _require_verdict(case, end)
    assert not corpus.harm()
    told = " ".join(end.said)
    assert SECRET_WORD not in told
    assert str(SECRET_VALUE) not in told


def _require_verdict(case: Case, end: End) -> None:
    if case.refuse:
        assert (end.outcome, end.code in case.refuse) == ("refused", True), end
        assert _is_a_sentence(end.said[0]), end
    else:
        assert end.outcome == "accepted", end
        assert not case.told or any(re.search(case.told, sentence) for sentence in end.said), end


def _is_a_sentence(text: str) -> bool:
    """Whether a refusal is one short plain text for people."""
    return text.endswith(".") and len(text) < 1500 and "Traceback" not in text and "\x1b" not in text


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_file_name_is_never_more_than_a_name(name: str, corpus: Watched, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copyfile(BY_ID["r_good"].path(corpus.site), path)
    raster = open_raster(path)
    intake.examine(path, Limits())
    assert raster.shape == (64, 64)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "where",
    [
        "/vsicurl/@URL@/x.tif",
        "@URL@/x.tif",
        "/vsizip/@ROOT@/archive/good.zip/mines.tif",
        "GTIFF_DIR:1:@ROOT@/raster/good.tif",
        "MEM:::DATAPOINTER=1,PIXELS=1,LINES=1.tif",
        "zip://@ROOT@/archive/good.zip!a.geojson",
        "GPKG:@ROOT@/vector/good.gpkg",
        "<VRTDataset>.tif",
        "s3://bucket/x.tif",
    ],
)
def test_a_path_is_never_more_than_a_path(where: str, corpus: Watched) -> None:
    path = Path(corpus.site.fill(where).replace("@ROOT@", str(corpus.site.root)))
    with pytest.raises(BadInput) as refusal:
        intake.examine(path, Limits())
    assert refusal.value.code in ("NOT_FOUND", "KIND")
    assert not corpus.harm()


def test_names_in_a_file_stay_the_words_they_are(corpus: Watched) -> None:
    names = [outline.name for outline in open_labels(BY_ID["v_names"].path(corpus.site)).outlines]
    written = [corpus.site.fill(text) for text in STRINGS]
    assert [n for n, w in zip(names, written, strict=True) if w.isprintable()] == [
        w for w in written if w.isprintable()
    ]
    assert all(name.isprintable() for name in names)


def test_one_child_examines_many_files(corpus: Watched) -> None:
    good = [c.path(corpus.site) for c in CASES if not c.refuse and c.kind in ("vector", "archive", "pair")]
    intake.admit(good)
    assert not corpus.harm()


@_every([BY_ID["r_hollow"], BY_ID["z_bomb"]])
def test_the_childs_refusal_reaches_its_parent(case: Case, corpus: Watched) -> None:
    with pytest.raises(BadInput) as refusal:
        intake.admit([BY_ID["r_good"].path(corpus.site), case.path(corpus.site)])
    assert refusal.value.code in case.refuse


@pytest.mark.slow
def test_without_guards_most_of_what_is_refused_would_load(tmp_path: Path) -> None:
    watched = Watched.at(tmp_path / "corpus")
    cases = [(c.id, c.kind, str(c.path(watched.site))) for c in REFUSED if c.id not in WAITING_UNGUARDED]
    program = [sys.executable, str(Path(__file__).with_name("hostile_unguarded.py"))]
    bare = {k: v for k, v in os.environ.items() if not k.startswith(GDAL_SETTINGS)} | {"GDAL_HTTP_TIMEOUT": "0.3"}
    done = subprocess.run(program, input=json.dumps(cases), env=bare, capture_output=True, text=True, check=True)
    loaded = Counter(BY_ID[name].kind for name in json.loads(done.stdout))
    assert loaded.total() >= 80, loaded
    assert all(loaded[kind] >= least for kind, least in LOADED_UNGUARDED.items()), loaded
    assert watched.called()
    assert {"pickle", "zip", "weights", "legacy"} <= {mark.name for mark in watched.site.marks.iterdir()}
    watched.listener.close()


@pytest.mark.slow
@_every(list({(case.kind, case.refuse, case.told): case for case in CASES}.values()))  # one of each ending
def test_the_command_line_says_the_same_in_time_and_in_memory(
    case: Case, commands: Commands, corpus: Watched, start: Ran
) -> None:
    folder, running = commands[case.id]
    ran = running.result()
    assert ran.code == (MENDABLE if case.refuse else 0), ran
    assert "Traceback" not in ran.err
    assert not case.told or re.search(case.told, ran.out + ran.err)
    if case.refuse:
        assert ran.cpu_s < start.cpu_s + REFUSAL_S
        assert ran.peak_bytes < start.peak_bytes + REFUSAL_BYTES
        assert _is_a_sentence(ran.err.strip()), ran.err
    assert not [*(folder / "here").iterdir(), *(folder / "temporary").iterdir()]
    assert not corpus.harm()


@pytest.fixture(scope="module")
def commands(
    request: pytest.FixtureRequest, corpus: Watched, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Commands]:
    """The commands of all chosen cases, running at the side, as many at a time as there are cores."""
    chosen = [item.callspec.params["case"] for item in request.session.items if "commands" in item.fixturenames]
    folders = {case.id: tmp_path_factory.mktemp(case.id) for case in chosen}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield {c.id: (folders[c.id], pool.submit(_command, c, corpus.site, folders[c.id])) for c in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def start(corpus: Watched, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """What a refusal costs that needs no look into any file."""
    missing = Case("raster", "r_missing", "missing.tif", "not there", BY_ID["r_good"].make, ("NOT_FOUND",))
    return _command(missing, corpus.site, tmp_path_factory.mktemp("start"))


def _command(case: Case, site: Site, folder: Path) -> Ran:
    """Run `minedetect` on a case, in an empty folder with an empty folder for temporary files."""
    for name in ("here", "temporary", "out"):
        (folder / name).mkdir()
    good = BY_ID["r_good"]
    image, labels = good.path(site), outline_of(good, site)
    arguments = {
        "raster": ["check", case.path(site), outline_of(case, site) if not case.refuse else labels],
        "pair": ["check", image, labels, "--pair", case.path(site)],
        "vector": ["check", image, case.path(site)],
        "archive": ["check", image, case.path(site)],
        "ckpt": ["predict", image, "--model", case.path(site), "--out", folder / "out" / "prediction.tif"],
    }[case.kind]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(GDAL_SETTINGS)}
    environment |= {"TMPDIR": str(folder / "temporary"), "MINEDETECT_HOME": str(folder / "out"), "OMP_NUM_THREADS": "1"}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "out")  # torch makes that folder whenever it is loaded
    command = [sys.executable, "-m", "minedetect", *map(str, arguments), "--json"]
    return run_measured(command, folder / "here", environment)
