"""What several tests share: deterministic examples, little GeoTIFFs and GeoJSON files on disk."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

hypothesis.settings.register_profile("laws", derandomize=True, database=None, deadline=None, max_examples=20)
hypothesis.settings.load_profile("laws")

# Files that begin first, where workers take files in this order (--no-loadscope-reorder).
FIRST = {"test_fuzz": 0, "test_hostile": 1, "test_demo": 2, "test_resume": 3, "test_browser": 4}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that fork go first, while there is little to copy, then the longest, so that none is left for the end."""
    items.sort(key=lambda item: FIRST.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session", autouse=True)
def own_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trainings of other tests, in another process at the same time, hold up none of these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        patch.setattr(tempfile, "tempdir", None)
        yield


WriteTiff = Callable[..., Path]
WriteGeojson = Callable[..., Path]


def as_tiff(pixels: npt.NDArray[Any], grid: GeoBox, *, bands: Sequence[str] = (), **options: Any) -> bytes:
    """(C, H, W) pixels on a grid as the bytes of a GeoTIFF; options go to rasterio."""
    count, height, width = pixels.shape
    header = {"crs": str(grid.crs), "transform": grid.transform, "dtype": pixels.dtype, **options}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=count, height=height, width=width, **header) as file:
            for number, band in enumerate(bands, start=1):
                file.set_band_description(number, band)
            file.write(pixels)
        return bytes(memory.read())


def upside_down(grid: GeoBox) -> GeoBox:
    """The same ground with its south on top."""
    return GeoBox(grid.shape, grid.transform @ Affine.translation(0, grid.shape[0]) @ Affine.scale(1, -1), grid.crs)


@pytest.fixture
def write_tiff(tmp_path: Path) -> WriteTiff:
    """Write (H, W) or (C, H, W) pixels on a grid as a plain GeoTIFF; options go to rasterio."""

    def write(
        pixels: npt.NDArray[Any],
        grid: GeoBox,
        name: str = "image.tif",
        *,
        bands: Sequence[str] = (),
        mask: npt.NDArray[np.bool_] | None = None,
        alpha: npt.NDArray[np.bool_] | None = None,
        colours: dict[int, tuple[int, int, int]] | None = None,
        **options: Any,
    ) -> Path:
        stack = pixels[None] if pixels.ndim == 2 else pixels
        if alpha is not None:
            full = np.iinfo(stack.dtype).max
            stack = np.concatenate([stack, np.where(alpha, full, 0).astype(stack.dtype)[None]])
        path = tmp_path / name
        header = {"crs": str(grid.crs) if grid.crs else None, "transform": grid.transform, **options}
        count, height, width = stack.shape
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", driver="GTiff", count=count, height=height, width=width, dtype=stack.dtype, **header
            ) as file,
        ):
            if alpha is not None:
                file.colorinterp = [*[ColorInterp.undefined] * (count - 1), ColorInterp.alpha]
            if colours is not None:
                file.write_colormap(1, colours)
            for number, band in enumerate(bands, start=1):
                file.set_band_description(number, band)
            file.write(stack)
            if mask is not None:
                file.write_mask(mask)
        return path

    return write


@pytest.fixture
def write_geojson(tmp_path: Path) -> WriteGeojson:
    """Write geometries (GeoJSON objects) with their properties as a FeatureCollection."""

    def write(
        geometries: Sequence[Any],
        properties: Sequence[dict[str, Any]] = (),
        name: str = "mines.geojson",
        **members: Any,
    ) -> Path:
        told = [*properties, *[{}] * (len(geometries) - len(properties))]
        features = [{"type": "Feature", "properties": p, "geometry": g} for g, p in zip(geometries, told, strict=True)]
        path = tmp_path / name
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **members}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def pixel_coordinates() -> Callable[[GeoBox], npt.NDArray[np.float32]]:
    """Pixels that say where they lie: float32 (2, H, W), column and row of each pixel's centre."""

    def make(grid: GeoBox) -> npt.NDArray[np.float32]:
        rows, cols = np.indices(tuple(grid.shape), dtype=np.float32) + np.float32(0.5)
        return np.stack([cols, rows])

    return make
