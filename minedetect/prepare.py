"""From labelled scenes to what training needs: masks, checks, pictures, the split, the scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minedetect import quality
from minedetect.bands import BandContract, sample_pixels, value_limits
from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.errors import BadInput
from minedetect.exclusion import drawn_mask, own_numbers
from minedetect.figures import PANEL_PX, Rgb, Stretch, shown_bands
from minedetect.files import require_other_files, sha256_once
from minedetect.findings import Check
from minedetect.grid import pixel_size_m
from minedetect.intake import open_image
from minedetect.labels import outline_zones
from minedetect.layout import ScenePicture, draw_places, draw_split, split_areas
from minedetect.mask_figures import CloseUp, closeup_window, draw_edges, draw_mask
from minedetect.measure import hectares, zone_hectares
from minedetect.pair import PairQuality
from minedetect.raster import IGNORE, MINE
from minedetect.runs import EDGE_PICTURE, MASK, MASK_PICTURE, QUALITY, SPLIT, SPLIT_AREAS, SPLIT_PICTURE, Progress, Run
from minedetect.scenes import Scene, SceneFiles, admit_scenes, labels_of, load_scene, require_alike, require_unblocked
from minedetect.shared_labels import completed
from minedetect.split import Split, make_split, training_area
from minedetect.tiff import Limits


@dataclass(frozen=True)
class Prepared:
    """All scenes with the split between them and the contract fitted on their training pixels.

    Args:
        scenes: their labels completed where scenes show the same picture.
        split: which of their ground learns and which judges.
        contract: bands and scaling.
        doubts: sentences on labels that contradict each other.
    """

    scenes: tuple[Scene, ...]
    split: Split
    contract: BandContract
    doubts: tuple[str, ...]


def prepare(run: Run, files: Sequence[SceneFiles], settings: Settings, progress: Progress) -> Prepared:
    """Make masks, checks, pictures, split and scaling, and write them into the run.

    Raises:
        BadInput: a check is blocking.
        BandMismatch: scenes disagree in bands, unit or pixel size.
        SplitError: training and validation cannot be kept apart.
    """
    admit_scenes(files, settings)
    loaded: list[Scene] = []
    for number, one in enumerate(files, start=1):
        scene = load_scene(one, settings, loaded[0].names if loaded else None)
        if scene.quality.blocking:
            write_scene(scene, scene_folder(run, one, len(files)), run)
        require_unblocked(scene)
        loaded.append(scene)
        progress(number, 2 * len(files))
    require_alike(loaded)
    scenes, doubts = completed(loaded, settings.share_labels)
    for number, scene in enumerate(scenes, start=len(files) + 1):
        write_scene(scene, scene_folder(run, scene.files, len(files)), run)
        progress(number, 2 * len(files))
    grids = [s.raster.grid for s in scenes]
    split = make_split(grids, [s.known for s in scenes], settings, settings.seed, mine_numbers(scenes, settings))
    write_split(run, scenes, split)
    return Prepared(tuple(scenes), split, fit_contract(scenes, split, settings.seed), doubts)


def mine_numbers(scenes: Sequence[Scene], settings: Settings) -> list[npt.NDArray[np.int32]] | None:
    """Number of the outline on each pixel, going on from scene to scene, where one mine is to be left out."""
    if not settings.leave_mine_out or any(s.labels.is_mask for s in scenes):
        return None
    zones, before = [], 0
    for scene in scenes:
        numbered = own_numbers(scene.labels)[outline_zones(scene.labels, scene.raster.grid)]
        zones.append(np.where(numbered > 0, numbered + before, 0).astype(np.int32))
        before += len(scene.labels.outlines) + len(scene.labels.left_out)
    return zones


def write_split(run: Run, scenes: Sequence[Scene], split: Split) -> None:
    """Write the split as figures, as areas for a map, and as a picture."""
    names, grids = [s.files.name for s in scenes], [s.raster.grid for s in scenes]
    run.write_json(SPLIT, split.to_json(names))
    run.write_geojson(SPLIT_AREAS, split_areas(grids, names, split))
    if len(scenes) == 1:
        picture = ScenePicture(shown(scenes[0]), scenes[0].known, grids[0], names[0])
        draw_split(run.path(SPLIT_PICTURE), picture, split.scenes[0], split.gap_px)
    else:
        draw_places(run.path(SPLIT_PICTURE), grids, names, split)


def shown(scene: Scene) -> Rgb:
    """A scene in display colours, thinned."""
    small = scene.reading.sample(scene.raster, PANEL_PX, shown_bands(scene.names))
    return Stretch.of(small)(small)


def scene_folder(run: Run, files: SceneFiles, count: int) -> Path:
    """Where a scene's prepare files lie: the run itself, or `scenes/NAME` of several."""
    return run.root if count == 1 else run.root / "scenes" / files.name


def fit_contract(scenes: Sequence[Scene], split: Split, seed: int) -> BandContract:
    """Fit the scaling on valid training pixels of all scenes and folds together."""
    samples = [
        sample_pixels(scene.read, training_area(scene.mask.shape, tiles) & scene.observed, seed)
        for number, scene in enumerate(scenes)
        if (tiles := [tile for fold in split.folds for tile in fold.scenes[number].training])
    ]
    samples = [sample for sample in samples if sample.size]
    if not samples:
        raise BadInput("NO_VALID_PIXELS", "The training tiles hold no valid pixel. Check the images' nodata value.")
    low, high = value_limits(samples)
    first = scenes[0]
    pixel_m = float(np.mean([pixel_size_m(s.raster.grid) for s in scenes]))
    return BandContract(first.names, first.reading.unit, low, high, pixel_m)


def write_scene(scene: Scene, folder: Path, run: Run) -> None:
    """Write mask, its two pictures and the findings of one scene."""
    grid = scene.raster.grid
    require_other_files(folder / MASK, (scene.files.image, scene.files.labels))
    tags = {"run_id": run.name, **_hashes(scene.files)}
    write_cog(folder / MASK, scene.mask, grid, CogProfile("uint8", IGNORE, ("mine",), tags))
    run.write_json(str((folder / QUALITY).relative_to(run.root)), findings_json(scene))
    bands = shown_bands(scene.names)
    small = scene.reading.sample(scene.raster, PANEL_PX, bands)
    stretch = Stretch.of(small)
    rgb = stretch(small)
    draw_mask(folder / MASK_PICTURE, rgb, scene.mask, grid, scene.files.name, scene.observed)
    window = closeup_window(scene.mask)
    near = CloseUp(window, stretch(scene.reading.only(bands).read(scene.raster, window))) if window else None
    draw_edges(folder / EDGE_PICTURE, rgb, scene.mask, grid, near, scene.observed)


def _hashes(files: SceneFiles) -> dict[str, str]:
    return {"image_sha256": sha256_once(files.image), "labels_sha256": sha256_once(files.labels)}


def findings_json(scene: Scene, pair: PairQuality | None = None, second: Sequence[Check] = ()) -> dict[str, Any]:
    """What `quality.json` holds: verdict, checks and figures of a scene, and of a pair of dates.

    Args:
        scene: the labelled date.
        pair: what was measured on both dates.
        second: findings on the second date by itself.
    """
    if pair is None:
        return scene.quality.to_json()
    both = quality.Quality((*scene.quality.checks, *second, *pair.checks), scene.quality.figures)
    return both.to_json() | {"pair": pair.figures}


def write_mask(files: SceneFiles, out: Path, settings: Settings) -> dict[str, Any]:
    """Draw labels on an image's grid, write them, and measure them.

    Returns:
        What `mask --json` prints: `mine_ha`, `share`, and per outline its hectares as drawn and on the mask.
    """
    require_other_files(out, (files.image, files.labels))
    grid = open_image(files.image, Limits.of(settings)).grid
    labels = labels_of(files, settings)
    mask = drawn_mask(labels, grid)
    write_cog(out, mask, grid, CogProfile("uint8", IGNORE, ("mine",), {"labels": files.labels.name, **_hashes(files)}))
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
