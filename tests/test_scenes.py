"""A labelled scene is its mask, what was observed, and findings; its pixels stay on disk, however they lie there."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from conftest import as_tiff, upside_down

from minedetect.bands import reading_of
from minedetect.config import Settings
from minedetect.errors import BadInput, BandMismatch
from minedetect.findings import Check
from minedetect.grid import Window, whole
from minedetect.intake import admit
from minedetect.measure import hectares, polygon_hectares
from minedetect.raster import IGNORE, MINE, open_raster
from minedetect.scenes import (
    Scene,
    SceneFiles,
    admit_scenes,
    load_scene,
    named_scenes,
    read_scenes_csv,
    require_alike,
    require_unblocked,
    scene_to_check,
    survey,
)
from minedetect.synthetic import BANDS, District, make_district

SETTINGS = Settings(tile_px=64, preset="cpu", device="cpu")
HOLE = (slice(100, 130), slice(40, 90))


def stored(district: District) -> npt.NDArray[np.uint16]:
    """The district's first date as integers times 10000; 0 is nodata, also in a hole."""
    pixels = np.nan_to_num(district.before * 10_000).round().clip(1, 65_535).astype(np.uint16)
    pixels[:, np.isnan(district.before).any(axis=0)] = 0
    pixels[(slice(None), *HOLE)] = 0
    return pixels


LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"blockysize": 3, "interleave": "pixel"},
    "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 16, "interleave": "band", "compress": "deflate"},
    "tall tiles": {"tiled": True, "blockxsize": 16, "blockysize": 256, "interleave": "pixel", "compress": "zstd"},
}


@dataclass(frozen=True)
class Place:
    folder: Path
    district: District

    @property
    def files(self) -> SceneFiles:
        return self.with_image("plain")

    def with_image(self, name: str) -> SceneFiles:
        return SceneFiles(self.folder / f"{name}.tif", self.folder / "mines.geojson", name)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A small district in several files, all examined at once."""
    folder, district = tmp_path_factory.mktemp("place"), make_district((256, 192), 0)
    pixels, grid = stored(district), district.grid
    made = {name: as_tiff(pixels, grid, bands=BANDS, nodata=0, **options) for name, options in LAYOUTS.items()}
    made["plain"] = as_tiff(pixels, grid, bands=BANDS, nodata=0)
    made["nameless"] = as_tiff(pixels, grid, nodata=0)
    made["south up"] = as_tiff(pixels[:, ::-1], upside_down(grid), bands=BANDS, nodata=0)
    for name, content in made.items():
        (folder / f"{name}.tif").write_bytes(content)
    (folder / "mines.geojson").write_text(json.dumps(district.outlines))
    frame = gpd.GeoDataFrame.from_features(district.outlines["features"], crs="EPSG:4326")[["name", "geometry"]]
    for layer in ("old", "new"):
        frame.to_file(folder / "two.gpkg", layer=layer)
    admit(sorted(folder.iterdir()))
    return Place(folder, district)


def only(checks: Any, name: str) -> Check:
    (found,) = [c for c in checks if c.name == name]
    return found


def test_the_same_scene_twice_is_the_same(place: Place) -> None:
    first, second = (load_scene(place.files, SETTINGS) for _ in range(2))
    assert np.array_equal(first.mask, second.mask)
    assert np.array_equal(first.observed, second.observed)
    assert first.quality == second.quality
    assert (first.raster, first.reading, first.names, first.labels) == (
        second.raster,
        second.reading,
        second.names,
        second.labels,
    )


def test_a_scene_holds_no_pixels_and_reads_them_by_window(place: Place) -> None:
    scene = load_scene(place.files, SETTINGS)
    held = [getattr(scene, field.name) for field in fields(scene)]
    assert [v.dtype for v in held if isinstance(v, np.ndarray)] == [np.uint8, bool]
    every = scene.read(whole(scene.raster.shape))
    window = Window(70, 30, 80, 100)
    assert np.array_equal(scene.read(window), every[:, window.rows, window.cols], equal_nan=True)
    assert every.dtype == np.float32
    assert np.nanmax(every) < 2


def test_what_is_not_observed_is_not_known(place: Place) -> None:
    scene = load_scene(place.files, SETTINGS)
    seen = ~np.isnan(place.district.before).any(axis=0)
    seen[HOLE] = False
    assert np.array_equal(scene.observed, seen)
    assert np.array_equal(scene.observed, ~np.isnan(scene.read(whole(seen.shape))).any(axis=0))
    assert (scene.known[~seen] == IGNORE).all()
    assert np.array_equal(scene.known[seen], scene.mask[seen])
    assert set(np.unique(scene.mask)) == {0, MINE}


def test_the_mask_has_the_hectares_of_the_outlines_together(place: Place) -> None:
    scene = load_scene(place.files, SETTINGS)
    drawn_ha = polygon_hectares(shapely.union_all([o.geometry for o in scene.labels.outlines]))
    assert hectares(scene.mask, scene.raster.grid, MINE) == pytest.approx(drawn_ha, rel=0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_scene_does_not_depend_on_how_it_is_stored(place: Place, layout: str) -> None:
    plain, other = (load_scene(place.with_image(name), SETTINGS) for name in ("plain", layout))
    assert np.array_equal(plain.mask, other.mask)
    assert np.array_equal(plain.observed, other.observed)
    assert plain.quality == other.quality
    seen, tally = survey(other.raster, other.reading, other.names)
    assert np.array_equal(seen, plain.observed)
    assert tally.figures() == plain.quality.figures["values"]


def test_a_scene_stored_with_its_south_on_top_is_flipped_and_that_is_said(place: Place) -> None:
    plain, other = (load_scene(place.with_image(name), SETTINGS) for name in ("plain", "south up"))
    assert np.array_equal(plain.mask, other.mask)
    assert np.array_equal(plain.observed, other.observed)
    assert plain.quality.figures == other.quality.figures
    told = only(other.quality.checks, "image")
    assert told.verdict == "warning"
    assert "flipped" in told.message


def test_a_check_goes_on_where_training_stops_for_names(place: Place) -> None:
    nameless = place.with_image("nameless")
    with pytest.raises(BandMismatch, match="--bands B2,B3,B4,B8,B11"):
        load_scene(nameless, SETTINGS)
    checked, plain = scene_to_check(nameless, SETTINGS), scene_to_check(place.files, SETTINGS)
    told = only(checked.quality.checks, "bands")
    assert told.verdict == "warning"
    assert "--bands" in told.message
    assert only(plain.quality.checks, "bands").verdict == "ok"
    assert np.array_equal(checked.mask, plain.mask)
    assert np.array_equal(checked.observed, plain.observed)
    given = load_scene(nameless, SETTINGS.model_copy(update={"bands": ",".join(BANDS)}))
    assert given.names == BANDS


def test_a_check_goes_on_where_training_stops_for_a_layer(place: Place) -> None:
    files = SceneFiles(place.files.image, place.folder / "two.gpkg", "two")
    with pytest.raises(BadInput, match="--layer") as fault:
        load_scene(files, SETTINGS)
    assert fault.value.code == "LAYER"
    checked = scene_to_check(files, SETTINGS)
    assert only(checked.quality.checks, "layer").verdict == "warning"
    chosen = load_scene(files, SETTINGS.model_copy(update={"layer": "new"}))
    assert not [c for c in chosen.quality.checks if c.name == "layer"]
    assert np.array_equal(chosen.mask, checked.mask)


def test_bands_are_read_in_the_order_wanted(place: Place) -> None:
    window = Window(0, 0, 20, 20)
    scene = load_scene(place.files, SETTINGS)
    turned = load_scene(place.files, SETTINGS, wanted=("B11", "B2"))
    assert turned.names == ("B11", "B2")
    picked = scene.read(window)[[BANDS.index("B11"), BANDS.index("B2")]]
    assert np.array_equal(turned.read(window), picked, equal_nan=True)
    assert load_scene(place.files, SETTINGS.model_copy(update={"bands": "B4,B3"})).names == ("B4", "B3")


def test_a_scene_on_another_grid_keeps_its_hectares(place: Place) -> None:
    scene = load_scene(place.files, SETTINGS)
    coarse = scene.raster.onto(scene.raster.grid.zoom_out(1.5))
    resampled = load_scene(place.files, SETTINGS, raster=coarse)
    assert resampled.mask.shape == coarse.shape
    assert hectares(resampled.mask, coarse.grid, 1) == pytest.approx(
        hectares(scene.mask, scene.raster.grid, 1), rel=0.03
    )


def test_a_blocking_finding_stops_and_names_the_image(place: Place) -> None:
    scene = load_scene(place.files, SETTINGS)
    require_unblocked(scene)
    require_unblocked(scene, [Check("shift", "warning", "Look.")])
    with pytest.raises(BadInput, match=r"plain\.tif: No ground\.") as fault:
        require_unblocked(scene, [Check("common_ground", "blocking", "No ground.")])
    assert fault.value.code == "QUALITY"


def another(scene: Scene, **changed: Any) -> Scene:
    return Scene(**{**{f.name: getattr(scene, f.name) for f in fields(scene)}, **changed})


def test_scenes_of_one_kind_and_pixel_size_are_alike(place: Place) -> None:
    scene = load_scene(place.files, SETTINGS)
    require_alike([scene, scene])
    grey = reading_of(open_raster(place.files.image), BANDS, BANDS)
    with pytest.raises(BandMismatch, match="one kind"):
        require_alike([scene, another(scene, reading=type(grey)(grey.positions, "uint8", 255.0, 0.0))])
    for zoom, alike in ((1.15, True), (1.25, False), (0.75, False)):
        other = another(scene, raster=scene.raster.onto(scene.raster.grid.zoom_out(zoom)))
        if alike:
            require_alike([scene, other])
        else:
            with pytest.raises(BandMismatch, match="one resolution"):
                require_alike([scene, other])


def test_scenes_are_named_after_their_images_once() -> None:
    pairs = [(Path("a/x.tif"), Path("l")), (Path("b/x.tif"), Path("l")), (Path("y.tif"), Path("l"))]
    found = named_scenes(pairs, (5,))
    assert [s.name for s in found] == ["x", "x_2", "y"]
    assert {s.mine_classes for s in found} == {(5,)}


@pytest.mark.parametrize("written", ["image,labels\n{0},{1}\n", "\ufefflabels,image,note\n{1},{0},x\n"])
def test_a_table_of_scenes_is_relative_to_itself(tmp_path: Path, written: str) -> None:
    (tmp_path / "scenes.csv").write_text(written.format("in/a.tif", "/b.geojson"), encoding="utf-8")
    assert read_scenes_csv(tmp_path / "scenes.csv") == [(tmp_path / "in/a.tif", Path("/b.geojson"))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "at least one row"),
        (b"image,labels\n", "at least one row"),
        (b"a,b\n1,2\n", "columns image,labels"),
        (b"image,labels\na.tif,\n", "Line 2"),
        (b"image,labels\na.tif,b\nc.tif\n", "Line 3"),
        (b"\xff\xfe\x00", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "scenes.csv").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_scenes_csv(tmp_path / "scenes.csv")


def test_the_first_file_that_is_missing_is_named_before_any_work(place: Place) -> None:
    files = [place.files, SceneFiles(Path("none.tif"), place.files.labels, "none")]
    with pytest.raises(BadInput, match=r"none\.tif") as fault:
        admit_scenes(files, SETTINGS)
    assert fault.value.code == "NOT_FOUND"


def test_no_two_scenes_share_a_name() -> None:
    images = [Path(p) for p in ("x/a.tif", "x/a_2.tif", "y/a.tif", "y/A.tif", "z/a_2.tif")]
    names = [scene.name.casefold() for scene in named_scenes([(image, image) for image in images])]
    assert len(set(names)) == len(names)
