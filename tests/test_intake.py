"""Files from users are read to their end once, in a child; whatever becomes of it, this process gets words."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import numpy as np
import psutil
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping

from minedetect.errors import BadInput
from minedetect.intake import admit, examine, open_image, open_user_labels
from minedetect.labels import open_labels
from minedetect.raster import open_raster
from minedetect.tiff import Limits

GRID = GeoBox((40, 56), Affine(10, 0, 500_000, 0, -10, 8_600_000), "EPSG:32735")
Make = Callable[..., Path]
PIT = shapely.box(27.0, -12.6, 27.001, -12.599)
TIE = shapely.Polygon([(27.1, -12.6), (27.2, -12.5), (27.2, -12.6), (27.1, -12.5)])


def work_of_children() -> tuple[float, int]:
    """What all children that have ended took: seconds, and pages of memory."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime, told.ru_minflt


@contextmanager
def nobody_works() -> Iterator[None]:
    before = work_of_children()
    yield
    assert work_of_children() == before


@contextmanager
def somebody_works() -> Iterator[None]:
    before = work_of_children()
    yield
    assert work_of_children()[1] > before[1]


def image(write_tiff: Make, name: str = "image.tif", value: float = 5) -> Path:
    return write_tiff(np.full((2, 40, 56), value, np.float32), GRID, name, bands=("B2", "B4"))


def refusal(action: Callable[[], object]) -> BadInput:
    with pytest.raises(BadInput) as fault:
        action()
    assert str(fault.value).endswith(".")
    assert "\n" not in str(fault.value)
    assert "Traceback" not in str(fault.value)
    return fault.value


def test_a_file_is_examined_once(write_tiff: Make, write_geojson: Make) -> None:
    files = [image(write_tiff), write_geojson([mapping(PIT)])]
    with somebody_works():
        admit(files)
    with nobody_works():
        admit(files)
        admit(files[:1], layer="another layer of some GeoPackage")
        raster = open_image(files[0])
        labels = open_user_labels(files[1])
    assert raster == open_raster(files[0])
    assert labels == open_labels(files[1])


def test_a_changed_file_is_examined_again(write_tiff: Make) -> None:
    path = image(write_tiff)
    admit([path])
    good = path.read_bytes()
    path.write_bytes(good[:-500])
    with somebody_works():
        assert refusal(lambda: admit([path])).code == "CORRUPT"
    path.write_bytes(good)
    with somebody_works():
        admit([path])


def test_other_limits_are_another_question(write_tiff: Make) -> None:
    path = image(write_tiff)
    admit([path])
    assert refusal(lambda: open_image(path, Limits(side_px=55))).code == "TOO_BIG"
    assert open_image(path, Limits(side_px=56)).shape == (40, 56)


def test_a_refusal_names_the_file_and_those_before_it_are_known(write_tiff: Make, tmp_path: Path) -> None:
    good, late = image(write_tiff), image(write_tiff, "late.tif")
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"hello")
    fault = refusal(lambda: admit([good, bad, late]))
    assert fault.code == "NOT_TIFF"
    assert "bad.tif" in str(fault)
    with nobody_works():
        admit([good])


def test_a_missing_file_starts_nobody(tmp_path: Path, write_tiff: Make) -> None:
    with nobody_works():
        fault = refusal(lambda: admit([image(write_tiff), tmp_path / "none.tif"]))
        admit([])
    assert fault.code == "NOT_FOUND"
    assert "none.tif" in str(fault)


def test_a_path_from_here_is_the_same_file(write_tiff: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = image(write_tiff)
    monkeypatch.chdir(path.parent)
    assert open_image(Path(path.name)).shape == (40, 56)
    with nobody_works():
        admit([path])


def test_labels_come_back_bit_for_bit(write_geojson: Make) -> None:
    rng = np.random.default_rng(0)
    ring = np.array([27.05, -12.55]) + rng.normal(0, 1e-3, (40, 2))
    wild = shapely.MultiPolygon([PIT.buffer(1 / 3e3), shapely.convex_hull(shapely.MultiPoint(ring))])
    names = ["Grube Süd \u2028 \u202e '\"\\ {{7*7}}", "", "矿山 🏔", "x" * 500]
    told = [{"name": n, "id": i / 3, "status": "acttive", "area_ha": i / 7} for i, n in enumerate(names)]
    holed = shapely.difference(PIT.buffer(0.01), PIT)
    path = write_geojson([mapping(g) for g in (PIT, TIE, wild, holed)] + [None], told)
    here, there = open_labels(path), open_user_labels(path)
    assert there == here
    for a, b in zip(there.outlines, here.outlines, strict=True):
        assert shapely.to_wkb(a.geometry) == shapely.to_wkb(b.geometry)
        assert vars(a).keys() == vars(b).keys()
    assert there.outlines[1].repair_ha == here.outlines[1].repair_ha > 0
    assert there.notes


def test_a_layer_that_somebody_must_choose_comes_back_too(tmp_path: Path) -> None:
    for layer in ("old", "new"):
        gpd.GeoDataFrame({"id": [1]}, geometry=[PIT], crs="EPSG:4326").to_file(tmp_path / "two.gpkg", layer=layer)
    assert "--layer" in open_user_labels(tmp_path / "two.gpkg").undecided
    assert open_user_labels(tmp_path / "two.gpkg", layer="new").undecided == ""


def test_a_mask_keeps_its_mine_classes(write_tiff: Make) -> None:
    path = write_tiff(np.resize(np.array([0, 5], np.uint8), (40, 56)), GRID)
    labels = open_user_labels(path, mine_classes=(5, 7))
    assert labels.is_mask
    assert labels.mine_classes == (5, 7)


@contextmanager
def killed_by(sent: int, times: int = 1) -> Iterator[None]:
    """Send a signal to the next children that examine files, one after another."""

    def send() -> None:
        for _ in range(times):
            while not (found := _examining()):
                time.sleep(0.01)
            found[0].send_signal(sent)
            while found[0] in _examining():  # waiting for it here would take its exit status from its parent
                time.sleep(0.01)

    killer = threading.Thread(target=send, daemon=True)
    killer.start()
    yield
    killer.join(timeout=60)


def _examining() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        try:
            if "minedetect.intake" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, "TOO_SLOW"), (signal.SIGSEGV, "CORRUPT")])
def test_a_child_that_is_killed_is_a_refusal(tmp_path: Path, write_tiff: Make, sent: signal.Signals, code: str) -> None:
    before, hangs = image(write_tiff), tmp_path / "hangs.tif"
    os.mkfifo(hangs)  # whoever opens it waits for ever
    with killed_by(sent):
        fault = refusal(lambda: admit([hangs, before]))
    assert fault.code == code
    assert "hangs.tif" in str(fault)
    admit([before])


def test_a_child_that_cannot_start_is_a_refusal(write_tiff: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    fault = refusal(lambda: admit([image(write_tiff)]))
    assert fault.code == "CORRUPT"
    monkeypatch.delenv("PYTHONHOME")


def test_the_child_reads_what_a_header_only_promises(write_tiff: Make) -> None:
    path = image(write_tiff)
    path.write_bytes(path.read_bytes()[:-500])
    assert open_raster(path).shape == (40, 56)
    assert refusal(lambda: open_image(path)).code == "CORRUPT"
    assert refusal(lambda: examine(path, Limits())).code == "CORRUPT"


def test_the_guards_hold_in_the_child_whatever_the_owner_chose(
    write_tiff: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask beside the image that hides every pixel would make it useless."""
    path = image(write_tiff)
    hidden = write_tiff(np.zeros((40, 56), np.uint8), GRID, "other.tif")
    hidden.rename(path.with_name("image.tif.msk"))
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "FALSE")
    admit([path])


@pytest.mark.parametrize("name", ["a b.tif", "--help.tif", "quote'\".tif", "nl\n.tif", "ü矿.tif", "a.b.TIF"])
def test_any_name_is_only_a_name(write_tiff: Make, name: str) -> None:
    assert open_raster(image(write_tiff, name)).shape == (40, 56)


def test_odd_names_reach_the_child(write_tiff: Make) -> None:
    names = ["a b.tif", "--help.tif", "quote'\".tif", "nl\n.tif", "ü矿.tif", "a.b.TIF"]
    admit([image(write_tiff, name) for name in names])
