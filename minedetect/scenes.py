"""Labelled scenes: the image's header, its labels on the grid, what was observed, and what the checks found."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minedetect import quality
from minedetect.band_names import bands_to_check, name_bands, training_bands
from minedetect.bands import PIXEL_SIZE_TOLERANCE, Reading, reading_of
from minedetect.config import Settings
from minedetect.errors import BadInput, BandMismatch, SettingError
from minedetect.exclusion import drawn_mask, sentence, without
from minedetect.findings import Check
from minedetect.grid import Window, pixel_size_m, row_bands
from minedetect.intake import admit, open_image, open_user_labels
from minedetect.labels import Labels, outline_zones
from minedetect.raster import IGNORE, Float, Mask, Raster, valid
from minedetect.tiff import Limits
from minedetect.values import ValueTally


@dataclass(frozen=True)
class SceneFiles:
    """One labelled scene on disk.

    Args:
        image: GeoTIFF.
        labels: polygons or a mask GeoTIFF.
        name: names its folder when there are several.
        mine_classes: which values of a class raster are mines.
    """

    image: Path
    labels: Path
    name: str
    mine_classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One labelled scene; its pixels stay on disk and are read by window.

    Args:
        files: where it came from.
        raster: header of the image.
        reading: how it is read.
        names: canonical names of the bands that are read.
        labels: what the mask was made of.
        mask: uint8 (H, W), 0, 1 or 255.
        observed: bool (H, W), where every band was observed.
        quality: the findings.
    """

    files: SceneFiles
    raster: Raster
    reading: Reading
    names: tuple[str, ...]
    labels: Labels
    mask: Mask
    observed: npt.NDArray[np.bool_]
    quality: quality.Quality

    def read(self, window: Window) -> Float:
        """Pixels of one window in the reading's unit: float32 (C, H, W), NaN where unobserved."""
        return self.reading.read(self.raster, window)

    @property
    def known(self) -> Mask:
        """The mask with IGNORE where the image holds no observation: uint8 (H, W)."""
        return np.where(self.observed, self.mask, np.uint8(IGNORE))


def read_scenes_csv(path: Path) -> list[tuple[Path, Path]]:
    """Images and labels listed in a CSV with the columns image and labels, paths relative to the file.

    Raises:
        BadInput: the file or a column is missing, or it lists nothing.
    """
    rows = _rows(path, ("image", "labels"))
    return [(path.parent / row["image"], path.parent / row["labels"]) for row in rows]


def read_images_csv(path: Path) -> list[Path]:
    """Images listed in a CSV with the column image, paths relative to the file.

    Raises:
        BadInput: the file or the column is missing, or it lists nothing.
    """
    return [path.parent / row["image"] for row in _rows(path, ("image",))]


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    wanted = ",".join(columns)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput("NOT_FOUND", f"{path} cannot be read. Give a CSV with the columns {wanted}.") from error
    if not rows or not set(columns) <= rows[0].keys():
        raise BadInput("CSV", f"{path} needs the columns {wanted} and at least one row.")
    for line, row in enumerate(rows, start=2):
        missing = [column for column in columns if not row[column]]
        if missing:
            raise BadInput("CSV", f"Line {line} of {path} lacks its {missing[0]}.")
    return rows


def named_scenes(pairs: Iterable[tuple[Path, Path]], mine_classes: Sequence[int] = ()) -> list[SceneFiles]:
    """Name scenes after their images; a repeated name gets a number."""
    listed = list(pairs)
    names = unique_names([image for image, _ in listed])
    return [
        SceneFiles(image, labels, name, tuple(mine_classes))
        for name, (image, labels) in zip(names, listed, strict=True)
    ]


def unique_names(images: Iterable[Path]) -> list[str]:
    """A name for each image, its file's stem; a repeated one gets a number."""
    names: list[str] = []
    taken: set[str] = set()
    for image in images:
        numbered = (image.stem if n == 1 else f"{image.stem}_{n}" for n in count(1))
        names.append(next(n for n in numbered if n.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names


def admit_scenes(files: Sequence[SceneFiles], settings: Settings) -> None:
    """Have all files of some scenes examined in one child process.

    Raises:
        BadInput: the first that cannot be used.
        SettingError: outlines are to be left out, and of several scenes nobody could say of which.
    """
    if settings.exclude_mine and len(files) > 1:
        raise SettingError("--exclude-mine numbers the outlines of one scene; of several, leave them out of the files.")
    admit([path for one in files for path in (one.image, one.labels)], Limits.of(settings), settings.layer)


def labels_of(files: SceneFiles, settings: Settings, to_check: bool = False) -> Labels:
    """A scene's labels; unless they are only to be checked, every choice about them must have been made.

    Raises:
        BadInput: they cannot be used, or somebody must choose a layer first.
        SettingError: outlines to be left out are not there.
    """
    labels = open_user_labels(files.labels, files.mine_classes, settings.layer, Limits.of(settings))
    if labels.undecided and not to_check:
        raise BadInput("LAYER", labels.undecided)
    return without(labels, settings.exclude_mine)


def scene_to_check(files: SceneFiles, settings: Settings) -> Scene:
    """A labelled scene for `check`: where a choice is missing it goes on and says so.

    Raises:
        BadInput, BandMismatch, GridMismatch: something the user can mend.
    """
    raster = open_image(files.image, Limits.of(settings))
    every, missing = bands_to_check(raster, settings.bands)
    names = every if missing else training_bands(raster, settings.bands)
    told = Check("bands", "warning", missing) if missing else Check("bands", "ok", f"Bands: {', '.join(names)}.")
    reading = reading_of(raster, every, names, settings.reflectance_offset)
    labels = labels_of(files, settings, to_check=True)
    choices = [told] + ([Check("layer", "warning", labels.undecided)] if labels.undecided else [])
    return _surveyed(files, raster, reading, names, labels, settings, choices)


def load_scene(
    files: SceneFiles, settings: Settings, wanted: Sequence[str] | None = None, raster: Raster | None = None
) -> Scene:
    """Read and check one labelled scene for training, scoring or comparing.

    Args:
        files: image and labels.
        settings: of the run.
        wanted: band names in the order to read; None for those training uses.
        raster: the image as opened before, perhaps on another grid; None to open it.

    Raises:
        BadInput, BandMismatch, GridMismatch: something the user can mend.
    """
    raster = raster or open_image(files.image, Limits.of(settings))
    names = tuple(wanted) if wanted else training_bands(raster, settings.bands)
    reading = reading_of(raster, name_bands(raster, settings.bands), names, settings.reflectance_offset)
    told = Check("bands", "ok", f"Bands: {', '.join(names)}.")
    return _surveyed(files, raster, reading, names, labels_of(files, settings), settings, [told])


def survey(raster: Raster, reading: Reading, names: Sequence[str]) -> tuple[npt.NDArray[np.bool_], ValueTally]:
    """Read a whole image once.

    Returns:
        Where every band was observed, bool (H, W), and what the values look like.
    """
    observed = np.empty(raster.shape, np.bool_)
    whole_numbers = np.issubdtype(np.dtype(raster.dtype), np.integer)
    full = (np.iinfo(raster.dtype).max - reading.offset) / reading.scale if whole_numbers else None
    tally = ValueTally(names, reading.unit, ((0.0 - reading.offset) / reading.scale,) * len(names), full)
    for band in row_bands(raster.shape):
        pixels = reading.read(raster, band)
        observed[band.rows] = valid(pixels)
        tally.add(pixels)
    return observed, tally


def _surveyed(
    files: SceneFiles,
    raster: Raster,
    reading: Reading,
    names: tuple[str, ...],
    labels: Labels,
    settings: Settings,
    choices: list[Check],
) -> Scene:
    """Draw the mask, and read the whole image once: what is observed, and what its values look like."""
    mask = drawn_mask(labels, raster.grid)
    observed, tally = survey(raster, reading, names)
    subject = quality.Subject(
        raster.grid,
        observed,
        mask,
        labels,
        settings.tile_px,
        zones=None if labels.is_mask else outline_zones(labels, raster.grid),
        mine_definition=settings.mine_definition,
    )
    found = quality.check(subject)
    notes = [Check("image", "warning", note) for note in raster.notes]
    notes += [Check("left_out", "ok", sentence(labels))] if labels.left_out else []
    whole = quality.Quality(
        (*choices, *notes, *tally.checks(), *found.checks), {**found.figures, "values": tally.figures()}
    )
    return Scene(files, raster, reading, names, labels, mask, observed, whole)


def require_unblocked(scene: Scene, more: Sequence[Check] = ()) -> None:
    """Raise when a check of a scene, or of what was measured beside it, is blocking.

    Raises:
        BadInput: with the first blocking finding.
    """
    for check in (*scene.quality.checks, *more):
        if check.verdict == "blocking":
            raise BadInput("QUALITY", f"{scene.files.image.name}: {check.message}")


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
