"""Which TIFF files are opened at all: what is checked before the first pixel is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError  # not all of these are wrapped, and there is no public name
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from minedetect.config import LimitSettings
from minedetect.errors import BadInput
from minedetect.grid import on_earth

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SIDECARS = (".ovr", ".msk", ".aux.xml")
POINTING_DOMAINS = {"OVERVIEWS", "GEOLOCATION", "ProxyOverviewRequest"}
"""Metadata by which a TIFF makes GDAL open another file in its place."""
MAX_BANDS = 64
MAX_BLOCK_BYTES = 64 * 2**20
HEADER_BYTES = 8
SAMPLE_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@dataclass(frozen=True)
class Limits:
    """The largest image that is read.

    Args:
        side_px: most rows or columns.
        image_bytes: most bytes when unpacked.
    """

    side_px: int = 30_000
    image_bytes: int = 4 * 2**30

    @classmethod
    def of(cls, settings: LimitSettings) -> Limits:
        return cls(settings.max_side_px, int(settings.max_image_gib * 2**30))


UNLIMITED = Limits(2**31, 2**63)
"""For files that this program wrote, or examined before."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A rasterio dataset of a GeoTIFF, every failure turned into a sentence.

    Raises:
        BadInput: it cannot be read, is empty, is no TIFF whatever its name says, or is damaged.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise BadInput("NOT_FOUND", f"{path} cannot be read: {error.strerror}. Check the path.") from error
    if not magic:
        raise BadInput("EMPTY", f"{path} is empty. Copy or export it again.")
    if magic not in TIFF_MAGIC:
        raise BadInput("NOT_TIFF", f"{path} is not a TIFF file, whatever its name says. Export it as GeoTIFF.")
    try:
        with rasterio.open(path.absolute(), driver="GTiff") as dataset:
            yield dataset
    except (RasterioError, CPLE_BaseError) as error:
        raise BadInput("CORRUPT", f"{path} is damaged or cut short ({error}). Copy or export it again.") from error


def check_header(path: Path, dataset: Any, limits: Limits) -> None:
    """Refuse what cannot be an image of the ground, before any pixel is read.

    Raises:
        BadInput: too large, of an unfit sample type, a palette, or without a place on the Earth.
    """
    if POINTING_DOMAINS & set(dataset.tag_namespaces()):
        raise BadInput("OVERVIEWS", f"{path} names other files in its metadata. Export it as a plain GeoTIFF.")
    _check_size(path, dataset, limits)
    _check_samples(path, dataset)
    _check_place(path, dataset)


def _check_size(path: Path, dataset: Any, limits: Limits) -> None:
    if dataset.count > MAX_BANDS:
        raise BadInput("BAND_COUNT", f"{path} has {dataset.count} bands; at most {MAX_BANDS} are read.")
    sample_bytes = np.dtype(_known_type(path, dataset)).itemsize
    if max(dataset.shape) > limits.side_px:
        raise BadInput(
            "TOO_BIG",
            f"{path} claims {dataset.height} x {dataset.width} px; at most {limits.side_px} a side are read. "
            "Crop it, or raise --max-side-px.",
        )
    unpacked = dataset.height * dataset.width * dataset.count * sample_bytes
    if unpacked > limits.image_bytes:
        raise BadInput(
            "TOO_BIG",
            f"{path} unpacks to {unpacked / 2**30:.1f} GiB; at most {limits.image_bytes / 2**30:g} GiB are read. "
            "Crop it, or raise --max-image-gib.",
        )
    together = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
    block = max(rows * cols for rows, cols in dataset.block_shapes) * sample_bytes * together
    if block > MAX_BLOCK_BYTES:
        raise BadInput(
            "BLOCK_TOO_BIG",
            f"{path} is stored in blocks of {block / 2**20:,.0f} MiB; at most {MAX_BLOCK_BYTES // 2**20} MiB are "
            "read. Store it in tiles: gdal_translate -co TILED=YES.",
        )


def _known_type(path: Path, dataset: Any) -> str:
    for name in dataset.dtypes:
        if name not in SAMPLE_TYPES:
            raise BadInput("DTYPE", f"{path} holds {name} samples. Export whole numbers or floats.")
    return str(dataset.dtypes[0])


def _check_samples(path: Path, dataset: Any) -> None:
    if any(c == ColorInterp.palette for c in dataset.colorinterp):
        raise BadInput("PALETTE", f"{path} is a palette picture, not measurements. Export the bands themselves.")
    for index, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True):
        if meaning == ColorInterp.alpha and dataset.descriptions[index - 1]:
            raise BadInput(
                "ALPHA",
                f"{path} flags band {index}, {dataset.descriptions[index - 1]}, as transparency. "
                f"If it holds measurements, clear the flag: gdal_edit.py -colorinterp_{index} undefined.",
            )


def _check_place(path: Path, dataset: Any) -> None:
    transform, crs = dataset.transform, dataset.crs
    if not all(np.isfinite(v) for v in transform) or transform.is_degenerate or transform.is_identity:
        if dataset.gcps[0]:
            raise BadInput(
                "GCP_ONLY",
                f"{path} is placed by ground control points alone. Warp it first: gdalwarp -t_srs EPSG:CODE.",
            )
        if crs is not None or dataset.rpcs is not None:
            raise BadInput("NO_TRANSFORM", f"{path} does not say where its pixels lie. Georeference it first.")
    if crs is None:
        raise BadInput("NO_CRS", f"{path} has no coordinate reference system. Assign one, then try again.")
    if not (crs.is_geographic or crs.is_projected):
        raise BadInput(
            "CRS_UNUSABLE",
            f"{path} has a coordinate system that is not tied to the Earth ({crs.to_string()[:80]}). "
            "Assign the right one, then try again.",
        )
    try:
        inside = on_earth(GeoBox(dataset.shape, transform, crs))
    except ProjError as error:
        raise BadInput(
            "CRS_UNUSABLE",
            f"{path} has a coordinate system that does not lead to longitude and latitude ({crs.to_string()[:80]}). "
            "Assign the right one, then try again.",
        ) from error
    if not inside:
        raise BadInput(
            "OFF_EARTH",
            f"{path} lies outside the Earth by its coordinate system {crs.to_string()[:80]}. "
            "Does it say degrees and mean metres? Assign the right one, then try again.",
        )
    if transform.b or transform.d or transform.a < 0:
        raise BadInput("ROTATED", f"{path} is not north-up. Warp it first, for example with gdalwarp.")


def require_all_written(path: Path, dataset: Any) -> None:
    """Raise when blocks lie beyond the file's end, or were never written and no nodata tag says they may be missing.

    A file whose writer was killed opens without an error and reads as zeros there.

    Raises:
        BadInput: with the number of blocks that are missing.
    """
    missing = lost = total = 0
    length = path.stat().st_size
    bands = [1] if dataset.profile.get("interleave") == "pixel" else dataset.indexes
    for band in bands:
        rows, cols = dataset.block_shapes[band - 1]
        for row in range(-(-dataset.height // rows)):
            for col in range(-(-dataset.width // cols)):
                total += 1
                offset, size = (
                    dataset.get_tag_item(f"{what}_{col}_{row}", "TIFF", bidx=band)
                    for what in ("BLOCK_OFFSET", "BLOCK_SIZE")
                )
                if offset is None:
                    missing += 1
                elif not HEADER_BYTES <= int(offset) <= length - int(size or 0):
                    lost += 1
    if lost or (missing and dataset.nodata is None):
        raise BadInput(
            "CORRUPT",
            f"{path} lacks {missing + lost} of its {total} blocks: whatever wrote it was stopped, or it was cut short. "
            "Copy or export it again. If holes are meant, give it a nodata value.",
        )


def sidecar_notes(path: Path) -> tuple[str, ...]:
    """One sentence on files beside an image that other programs would read with it; they are never opened."""
    beside = [path.name + s for s in SIDECARS if path.with_name(path.name + s).exists()]
    beside += [path.with_suffix(s).name for s in (".tfw", ".tifw", ".wld") if path.with_suffix(s).exists()]
    if not beside:
        return ()
    return (f"{', '.join(beside)} beside {path.name} was ignored: masks, bands and place come from the TIFF alone.",)
