"""Findings on a second date: by itself, and beside a scene that is only to be checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minedetect.band_names import bands_to_check
from minedetect.bands import Reading, reading_of
from minedetect.config import Settings
from minedetect.errors import BandMismatch
from minedetect.findings import Check
from minedetect.grid import pixel_size_m, same_grid
from minedetect.intake import open_image
from minedetect.pair import PairQuality, PairSubject, Source, measure_pair
from minedetect.raster import Raster, onto_first
from minedetect.scenes import Scene, survey
from minedetect.season import acquired
from minedetect.tiff import Limits


def check_pair(scene: Scene, after_path: Path, settings: Settings) -> tuple[tuple[Check, ...], PairQuality]:
    """Findings on a second date beside a scene that is only to be checked.

    Returns:
        Findings on the second image by itself, and on the pair.

    Raises:
        MinedetectError: the pair cannot be compared.
    """
    after = open_image(after_path, Limits.of(settings))
    stored_m = None if same_grid(scene.raster.grid, after.grid) else pixel_size_m(after.grid)
    after, grid_note = onto_first(scene.raster, after)
    names, missing = bands_to_check(after, settings.bands, scene.names)
    reading = reading_of(after, names, scene.names, settings.reflectance_offset_after)
    if reading.unit != scene.reading.unit:
        raise BandMismatch(
            f"{scene.raster.path.name} holds {scene.reading.unit} values, {after_path.name} {reading.unit}. "
            "Compare two images of one kind."
        )
    subject = PairSubject(
        first=Source(scene.raster, scene.reading),
        second=Source(after, reading),
        names=scene.names,
        mask=scene.mask,
        days=(acquired(settings.acquired, scene.raster.path), acquired(settings.acquired_after, after_path)),
        second_pixel_m=stored_m,
    )
    pair = measure_pair(subject, settings)
    told = [Check("bands_after", "warning", missing)] if missing else []
    told += [Check("grid_after", "ok", grid_note)]
    told += [Check("image_after", "warning" if note in after.notes else "ok", note) for note in reading.notes]
    told += second_date_checks(scene.raster, after, reading, scene.names)
    return tuple(told), pair


def second_date_checks(before: Raster, after: Raster, reading: Reading, names: Sequence[str]) -> list[Check]:
    """What the second image's values look like, and whether both images say what marks missing ground."""
    tags = before.nodata is not None, after.nodata is not None
    found = []
    if tags[0] != tags[1]:
        which, other = (before, after) if tags[0] else (after, before)
        found.append(
            Check(
                "nodata_tags",
                "warning",
                f"{which.path.name} names {which.nodata:g} as its nodata value, {other.path.name} names none. If both "
                "were made alike, missing ground counts as observed there: give it the same nodata value.",
            )
        )
    _, tally = survey(after, reading, names)
    found += [Check(f"{c.name}_after", c.verdict, f"Second date: {c.message}") for c in tally.checks()]
    return found
