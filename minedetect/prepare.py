"""From files to scenes that can teach: read, check, mask, split, scale; and the pictures of it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minedetect import quality
from minedetect.bands import (
    PIXEL_SIZE_TOLERANCE,
    BandContract,
    Reading,
    name_bands,
    reading_of,
    training_bands,
    training_sample,
    value_limits,
)
from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.errors import BadInput, BandMismatch
from minedetect.figures import Stretch, draw_edges, draw_mask, shown_bands, thinned
from minedetect.grid import pixel_size_m, row_bands
from minedetect.labels import Labels, mask_on, open_labels, outline_zones
from minedetect.measure import hectares, zone_hectares
from minedetect.raster import IGNORE, MINE, Float, Mask, Raster, open_raster, valid
from minedetect.runs import EDGE_PICTURE, MASK, MASK_PICTURE, QUALITY, SPLIT, Progress, Run, require_other_files
from minedetect.split import Split, make_split, training_area


@dataclass(frozen=True)
class SceneFiles:
    """One labelled scene on disk.

    Args:
        image: GeoTIFF.
        labels: polygons or a mask GeoTIFF.
        name: names its folder when there are several.
    """

    image: Path
    labels: Path
    name: str


@dataclass(frozen=True)
class Scene:
    """One labelled scene in memory.

    Args:
        files: where it came from.
        raster: header of the image.
        reading: how it is read.
        names: canonical names of the bands that are read.
        pixels: float32 (C, H, W) in the reading's unit, NaN where unobserved.
        labels: what the mask was made of.
        mask: uint8 (H, W), 0, 1 or 255.
        quality: the findings.
    """

    files: SceneFiles
    raster: Raster
    reading: Reading
    names: tuple[str, ...]
    pixels: Float
    labels: Labels
    mask: Mask
    quality: quality.Quality


@dataclass(frozen=True)
class Prepared:
    """All scenes with the split between them and the contract fitted on their training pixels."""

    scenes: tuple[Scene, ...]
    split: Split
    contract: BandContract
    notes: tuple[str, ...]


def read_scenes_csv(path: Path) -> list[SceneFiles]:
    """Scenes listed in a CSV with the columns image and labels, paths relative to the file.

    Raises:
        BadInput: the file or a column is missing, or it lists nothing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("NOT_FOUND", f"{path} cannot be read. Give a CSV with the columns image,labels.") from error
    if not rows or not {"image", "labels"} <= rows[0].keys():
        raise BadInput("CSV", f"{path} needs the columns image,labels and at least one row.")
    for line, row in enumerate(rows, start=2):
        if not row["image"] or not row["labels"]:
            raise BadInput("CSV", f"Line {line} of {path} lacks an image or its labels.")
    folder = path.parent
    return named_scenes([(folder / row["image"], folder / row["labels"]) for row in rows])


def named_scenes(pairs: Sequence[tuple[Path, Path]]) -> list[SceneFiles]:
    """Name scenes after their images; a repeated name gets a number."""
    seen: dict[str, int] = {}
    scenes = []
    for image, labels in pairs:
        count = seen[image.stem] = seen.get(image.stem, 0) + 1
        scenes.append(SceneFiles(image, labels, image.stem if count == 1 else f"{image.stem}_{count}"))
    return scenes


def read_whole(raster: Raster, reading: Reading) -> Float:
    """A whole image in its reading's unit: float32 (C, H, W), NaN where unobserved."""
    pixels = np.empty((len(reading.positions), *raster.shape), np.float32)
    for band in row_bands(raster.shape):
        pixels[:, band.rows] = reading.read(raster, band)
    return pixels


def load_scene(
    files: SceneFiles,
    wanted: Sequence[str],
    settings: Settings,
    mine_classes: Sequence[int] = (),
    raster: Raster | None = None,
) -> Scene:
    """Read one labelled scene and check it.

    Args:
        files: image and labels.
        wanted: band names in the order to read.
        settings: of the run.
        mine_classes: which values of a class raster are mines.
        raster: the image as opened before, perhaps on another grid; None to open it.

    Raises:
        BadInput, BandMismatch, GridMismatch: something the user can mend.
    """
    raster = raster or open_raster(files.image)
    reading = reading_of(raster, name_bands(raster, settings.bands), wanted, settings.reflectance_offset)
    labels = open_labels(files.labels, mine_classes)
    mask = mask_on(labels, raster.grid)
    pixels = read_whole(raster, reading)
    subject = quality.Subject(raster.grid, valid(pixels), mask, labels, settings.tile_px)
    return Scene(files, raster, reading, tuple(wanted), pixels, labels, mask, quality.check(subject))


def prepare(
    run: Run,
    files: Sequence[SceneFiles],
    settings: Settings,
    progress: Progress,
    mine_classes: Sequence[int] = (),
) -> Prepared:
    """Make masks, checks, pictures, split and scaling, and write them into the run.

    Raises:
        BadInput: a check is blocking.
        BandMismatch: scenes disagree in bands, unit or pixel size.
        SplitError: training and validation cannot be kept apart.
    """
    wanted = training_bands(open_raster(files[0].image), settings.bands)
    scenes: list[Scene] = []
    for number, one in enumerate(files, start=1):
        scene = load_scene(one, wanted, settings, mine_classes)
        write_scene(scene, scene_folder(run, one, len(files)), run)
        require_unblocked(scene)
        scenes.append(scene)
        progress(number, len(files))
    require_alike(scenes)
    split = make_split([s.raster.grid for s in scenes], [observed_mask(s) for s in scenes], settings, settings.seed)
    run.write_json(SPLIT, split.to_json([s.files.name for s in scenes]))
    notes = tuple(dict.fromkeys(note for s in scenes for note in s.reading.notes))
    return Prepared(tuple(scenes), split, fit_contract(scenes, split, wanted, settings.seed), notes)


def observed_mask(scene: Scene) -> Mask:
    """The mask with IGNORE where the image holds no observation."""
    return np.where(valid(scene.pixels), scene.mask, np.uint8(IGNORE))


def scene_folder(run: Run, files: SceneFiles, count: int) -> Path:
    """Where a scene's prepare files lie: the run itself, or `scenes/NAME` of several."""
    return run.root if count == 1 else run.root / "scenes" / files.name


def require_unblocked(scene: Scene) -> None:
    """Raise when a check of a scene is blocking.

    Raises:
        BadInput: with the first blocking finding.
    """
    if scene.quality.blocking:
        raise BadInput("QUALITY", f"{scene.files.image.name}: {scene.quality.blocking[0].message}")


def require_alike(scenes: Sequence[Scene]) -> None:
    """Raise unless all scenes hold one unit and one pixel size.

    Raises:
        BandMismatch: naming the first scene that differs.
    """
    first = scenes[0]
    size_m = pixel_size_m(first.raster.grid)
    for scene in scenes[1:]:
        other_m = pixel_size_m(scene.raster.grid)
        if scene.reading.unit != first.reading.unit:
            raise BandMismatch(
                f"{scene.files.image.name} holds {scene.reading.unit} values, {first.files.image.name} "
                f"{first.reading.unit}. Train on images of one kind."
            )
        if abs(other_m / size_m - 1) > PIXEL_SIZE_TOLERANCE:
            raise BandMismatch(
                f"{scene.files.image.name} has {other_m:.1f} m pixels, {first.files.image.name} {size_m:.1f} m. "
                "Bring all training images to one resolution."
            )


def fit_contract(scenes: Sequence[Scene], split: Split, names: Sequence[str], seed: int) -> BandContract:
    """Fit the scaling on valid training pixels of all scenes together."""
    samples = [
        training_sample(scene.pixels, training_area(scene.mask.shape, part.training), seed)
        for scene, part in zip(scenes, split.scenes, strict=True)
        if part.training
    ]
    if not any(sample.size for sample in samples):
        raise BadInput("NO_VALID_PIXELS", "The training tiles hold no valid pixel. Check the images' nodata value.")
    low, high = value_limits(samples)
    return BandContract(
        tuple(names), scenes[0].reading.unit, low, high, float(np.mean([pixel_size_m(s.raster.grid) for s in scenes]))
    )


def write_scene(scene: Scene, folder: Path, run: Run) -> None:
    """Write mask, its two pictures and the findings of one scene."""
    grid = scene.raster.grid
    write_cog(folder / MASK, scene.mask, grid, CogProfile("uint8", IGNORE, ("mine",), {"run_id": run.name}))
    Run(folder).write_json(QUALITY, scene.quality.to_json())
    shown = list(shown_bands(scene.names))
    small = thinned(scene.pixels[shown])
    rgb = Stretch.of(small)(small)
    draw_mask(folder / MASK_PICTURE, rgb, scene.mask, grid, scene.files.name)
    draw_edges(folder / EDGE_PICTURE, rgb, scene.mask, grid)


def write_mask(image: Path, labels_path: Path, out: Path, mine_classes: Sequence[int]) -> dict[str, Any]:
    """Draw labels on an image's grid, write them, and measure them.

    Returns:
        What `mask --json` prints: `mine_ha`, `share`, and per outline its hectares as drawn and on the mask.
    """
    require_other_files(out, (image, labels_path))
    grid = open_raster(image).grid
    labels = open_labels(labels_path, mine_classes)
    mask = mask_on(labels, grid)
    write_cog(out, mask, grid, CogProfile("uint8", IGNORE, ("mine",), {"labels": labels_path.name}))
    on_mask = (
        np.zeros(0)
        if labels.is_mask
        else zone_hectares(outline_zones(labels, grid), grid, len(labels.outlines) + 1)[1:]
    )
    return {
        "mine_ha": round(hectares(mask, grid, MINE), 2),
        "share": round(float((mask == MINE).mean()), 6),
        "mine_px": int((mask == MINE).sum()),
        "polygons": [
            {**quality.outline_json(o), "title": o.title, "mask_ha": round(float(ha), 2)}
            for o, ha in zip(labels.outlines, on_mask, strict=True)
        ],
    }
