"""A corpus of hostile and odd input files, and what must come of each.

`CASES` is known without writing anything; `write_corpus` makes the files. Nothing in them leaves this machine: every
URL is the caller's own listener, every path lies in the corpus, and code in them makes an empty file and nothing else.

    python tests/hostile.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import rasterio
import shapely
from hostile_archives import ARCHIVES
from hostile_case import Case, Site, write_cases
from hostile_models import MODELS
from hostile_packages import PACKAGES, package
from hostile_rasters import PAIRS, RASTERS
from hostile_tiff import tiff
from hostile_vectors import RING, VECTORS, collection, named_crs, polygon
from pyproj import Transformer

CASES: tuple[Case, ...] = (*RASTERS, *PAIRS, *VECTORS, *PACKAGES, *ARCHIVES, *MODELS)
SECRET_VALUE = 4242
SECRET_WORD = "nobody-may-read-this"


def write_corpus(root: Path, url: str = "http://127.0.0.1:9") -> Site:
    """Write every case below a folder, another user's files that they try to reach, and an outline for each image."""
    site = Site(root, url)
    site.marks.mkdir(parents=True)
    _write_secrets(site)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_cases(CASES, site)
    for case in CASES:
        if case.kind == "raster" and not case.refuse:
            outline_of(case, site).write_text(_outline_on(case.path(site)))
    return site


def outline_of(case: Case, site: Site) -> Path:
    """The outline that lies on an image to be accepted."""
    return site.root / "raster" / f"on_{case.id}.geojson"


def _outline_on(image: Path) -> str:
    """A square in the first quarter of an image, in degrees."""
    with rasterio.open(image, driver="GTiff") as file:
        corners = [(0.1, 0.1), (0.1, 0.4), (0.4, 0.4), (0.4, 0.1), (0.1, 0.1)]
        x, y = np.array([file.transform @ (file.width * c, file.height * r) for c, r in corners]).T
        lon, lat = Transformer.from_crs(file.crs, "EPSG:4326", always_xy=True).transform(x, y)
    ring = np.stack([lon, lat], axis=1)
    assert shapely.Polygon(ring).is_valid
    return collection(polygon(ring.tolist()))


def _write_secrets(site: Site) -> None:
    """Another user's files; their time of access is old, so that a reading shows."""
    site.secret.mkdir()
    (site.secret / "note.txt").write_text(SECRET_WORD)
    tiff(np.full((1, 64, 64), SECRET_VALUE, np.uint16))(site.secret / "image.tif", site)
    (site.secret / "mines.geojson").write_text(collection(polygon(RING), names=(SECRET_WORD,)))
    package(crs="EPSG:4326")(site.secret / "mines.gpkg", site)
    tile = polygon([[600_000, 699_360], [600_640, 699_360], [600_640, 700_000], [600_000, 699_360]])
    index = collection(tile, names=("x",), crs=named_crs("urn:ogc:def:crs:EPSG::32630"))
    located = json.loads(index)
    located["features"][0]["properties"]["location"] = str(site.secret / "image.tif")
    (site.secret / "index.geojson").write_text(json.dumps(located))
    for path in site.secret.iterdir():
        os.utime(path, (0, path.stat().st_mtime))


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]).resolve())
