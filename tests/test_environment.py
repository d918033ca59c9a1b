"""What GDAL may do once the package is imported; each setting matters, as its absence shows."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from minedetect.environment import GDAL, RASTER_DRIVERS_OFF, VECTOR_DRIVERS_OFF, guard_gdal

PROBE = """
import json, logging, sys
logging.basicConfig()
import minedetect
import rasterio, pyogrio, warnings
from rasterio.drivers import raster_driver_extensions
from rasterio.env import getenv
warnings.simplefilter("ignore")
told = {"modules": sorted(m for m in sys.modules if m in ("torch", "streamlit", "pandas"))}
with rasterio.Env() as env:
    told["raster"] = sorted(env.drivers())
told["vector"] = sorted(pyogrio.list_drivers())
for path in sys.argv[1:]:
    with rasterio.open(path) as image:
        told["image"] = {
            "masked": bool((image.read_masks(1) == 0).any()),
            "overviews": len(image.overviews(1)),
            "heard": image.tags().get("heard"),
            "transform": list(image.transform)[:6],
            "crs": str(image.crs),
        }
print(json.dumps(told))
"""


def probe(image: Path | None = None, **changed: str) -> tuple[dict[str, Any], str]:
    """What a fresh process with the package finds, and what it says on stderr."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("GDAL", "OGR", "CPL"))}
    found = subprocess.run(
        [sys.executable, "-c", PROBE, *([str(image)] if image else [])],
        env=bare | changed,
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(found.stdout)
    return told, found.stderr


@functools.cache
def guarded() -> tuple[dict[str, Any], str]:
    return probe()


def test_only_formats_that_name_no_other_file_are_registered() -> None:
    told, _ = guarded()
    in_memory, outlines = {"MEM", "Memory"}, {"GPKG", "ESRI Shapefile"}
    assert set(told["raster"]) - in_memory - outlines == {"COG", "GTiff"}
    assert set(told["vector"]) - in_memory == outlines


def test_nothing_is_said_even_where_logs_are_shown_and_nothing_heavy_is_loaded() -> None:
    told, said = guarded()
    assert said == ""
    assert not {"torch", "streamlit"} & set(told["modules"])


@pytest.fixture
def besieged(tmp_path: Path) -> Path:
    """A small image with a mask, overviews, other metadata and another place beside it."""
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8", "crs": "EPSG:32735"}

    def write(name: str, place: Affine) -> Path:
        with rasterio.open(tmp_path / name, "w", **profile, transform=place) as file:
            file.write(np.zeros((1, 64, 64), np.uint8))
        return tmp_path / name

    path = write("image.tif", Affine(10, 0, 5e5, 0, -10, 8.6e6))
    write("mask.tif", Affine(1, 0, 0, 0, -1, 64)).rename(tmp_path / "image.tif.msk")
    with rasterio.open(tmp_path / "image.tif.msk", "r+") as mask:
        mask.update_tags(INTERNAL_MASK_FLAGS_1="2")
    (tmp_path / "image.tif.aux.xml").write_text(
        "<PAMDataset><Metadata><MDI key='heard'>yes</MDI></Metadata></PAMDataset>"
    )
    (tmp_path / "image.tfw").write_text("1\n0\n0\n-1\n5\n5\n")
    return path


OPEN_DOORS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE",
    "GDAL_PAM_ENABLED": "YES",
    "GDAL_GEOREF_SOURCES": "PAM,WORLDFILE,INTERNAL",
}


def seen(image: Path, **changed: str) -> tuple[bool, str | None, float]:
    told = probe(image, **changed)[0]["image"]
    return told["masked"], told["heard"], told["transform"][0]


def test_what_lies_beside_an_image_is_read_without_the_guards_and_never_with_them(besieged: Path) -> None:
    assert seen(besieged) == (False, None, 10)
    assert seen(besieged, **OPEN_DOORS) == (True, "yes", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("GDAL_DISABLE_READDIR_ON_OPEN", (False, None, 10)),
        ("GDAL_PAM_ENABLED", (True, None, 1)),
        ("GDAL_GEOREF_SOURCES", (True, None, 10)),
    ],
)
def test_each_guard_by_itself_keeps_some_neighbours_out(
    besieged: Path, kept: str, expected: tuple[bool, str | None, float]
) -> None:
    others = {name: value for name, value in OPEN_DOORS.items() if name != kept}
    assert seen(besieged, **others) == expected


def test_formats_that_are_not_skipped_are_there() -> None:
    told, _ = probe(GDAL_SKIP="", OGR_SKIP="")
    assert {"VRT", "WMS", "HTTP", "PNG"} <= set(told["raster"])
    assert {"OGR_VRT", "WFS", "GeoJSON", "SQLite"} <= set(told["vector"])


@pytest.mark.parametrize("force", [False, True])
def test_the_owner_of_the_machine_may_choose_otherwise_but_not_for_the_child(force: bool) -> None:
    environment = {"GDAL_PAM_ENABLED": "YES", "HOME": "/home/somebody"}
    guard_gdal(environment, force=force)
    assert environment["GDAL_PAM_ENABLED"] == ("NO" if force else "YES")
    assert environment["HOME"] == "/home/somebody"
    assert environment.items() >= {k: v for k, v in GDAL.items() if k != "GDAL_PAM_ENABLED"}.items()


def test_the_lists_hold_each_driver_once_and_none_that_is_used() -> None:
    for listed in (RASTER_DRIVERS_OFF.split(), VECTOR_DRIVERS_OFF.split(",")):
        assert len(set(listed)) == len(listed)
        assert not {"GTiff", "COG", "MEM", "GPKG", "ESRI Shapefile"} & set(listed)
