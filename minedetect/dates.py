"""The two dates of a comparison: opened and checked before any work, aligned and matched where asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from minedetect import model
from minedetect.band_names import name_bands, training_bands
from minedetect.bands import Reading, reading_of
from minedetect.config import Settings
from minedetect.errors import BadInput, BandMismatch
from minedetect.findings import Check
from minedetect.grid import describe, pixel_size_m, same_grid
from minedetect.intake import admit, open_image, open_user_labels
from minedetect.labels import Labels, mask_on
from minedetect.model import Detector
from minedetect.pair import SHIFT_WARNING_PX, PairQuality, PairSubject, Source, measure_pair
from minedetect.raster import Mask, Raster, onto_first, open_raster, overlap
from minedetect.scenes import Scene, SceneFiles, labels_of
from minedetect.season import acquired
from minedetect.second import second_date_checks
from minedetect.tiff import UNLIMITED, Limits

UNEVEN_GAIN = 1.15
"""Sensors and haze change the bands much alike; plants turning green or dry do not."""


@dataclass(frozen=True)
class DateFiles:
    """The files of a comparison.

    Args:
        labelled: image and labels of the first date.
        after: image of the second date.
        labels_after: labels of the second date, or None.
        model: a model to apply, or None to train one.
    """

    labelled: SceneFiles
    after: Path
    labels_after: Path | None = None
    model: Path | None = None


@dataclass(frozen=True)
class Dates:
    """Both images and what comes with them, opened and checked before any work is done.

    Args:
        before: the first date, perhaps resampled to a given model's pixel size.
        after: the second date on the first one's grid.
        readings: how each is read.
        names: of the bands that are read, in order.
        given: the model to apply, or None to train one.
        labels_after: labels of the second date as they were given, or None.
        mask_after: those labels on the first one's grid, or None.
        after_pixel_m: pixel size of the second image as stored in metres, where it is warped; else None.
        notes: sentences on what was done.
    """

    before: Raster
    after: Raster
    readings: tuple[Reading, Reading]
    names: tuple[str, ...]
    given: Detector | None
    labels_after: Labels | None
    mask_after: Mask | None
    after_pixel_m: float | None
    notes: tuple[str, ...]


def open_dates(files: DateFiles, settings: Settings) -> Dates:
    """Open and check everything a comparison needs.

    Raises:
        MinedetectError: something the user can mend.
    """
    first, limits = files.labelled, Limits.of(settings)
    given = model.load(files.model) if files.model else None
    admit([p for p in (first.image, files.after, first.labels, files.labels_after) if p], limits, settings.layer)
    before, after = open_image(first.image, limits), open_image(files.after, limits)
    labels_of(first, settings)
    notes: tuple[str, ...] = ()
    if given is not None:
        before, one = given.contract.at_pixel_size(before, settings.resample)
        after, other = given.contract.at_pixel_size(after, settings.resample)
        notes = (*one, *other)
    names = given.contract.names if given else training_bands(before, settings.bands)
    stored_m = None if same_grid(before.grid, after.grid) else pixel_size_m(after.grid)
    after, grid_note = onto_first(before, after)
    readings = (
        reading_of(before, name_bands(before, settings.bands), names, settings.reflectance_offset),
        reading_of(after, name_bands(after, settings.bands), names, settings.reflectance_offset_after),
    )
    units = {reading.unit for reading in readings}
    if len(units) > 1:
        raise BandMismatch(
            f"{first.image.name} and {files.after.name} hold values of different kinds: {sorted(units)}."
        )
    if given is not None and given.contract.unit not in units:
        raise BandMismatch(f"{first.image.name} holds {units.pop()} values; the model learned {given.contract.unit}.")
    labels_after = _labels_after(files, settings)
    label_note = _label_note(labels_after, before)
    mask_after = mask_on(labels_after, before.grid, warp=True) if labels_after else None
    return Dates(
        before, after, readings, names, given, labels_after, mask_after, stored_m, (*notes, grid_note, *label_note)
    )


def _labels_after(files: DateFiles, settings: Settings) -> Labels | None:
    if files.labels_after is None:
        return None
    labels = open_user_labels(files.labels_after, files.labelled.mine_classes, settings.layer, Limits.of(settings))
    if labels.undecided:
        raise BadInput("LAYER", labels.undecided)
    return labels


def _label_note(labels: Labels | None, before: Raster) -> tuple[str, ...]:
    """What is done to a mask raster of the second date that lies on another grid.

    Raises:
        BadInput: it shows other ground.
    """
    if labels is None or not labels.is_mask:
        return ()
    grid, name = open_raster(labels.path, UNLIMITED).grid, labels.path.name
    if same_grid(grid, before.grid):
        return ()
    if overlap(before.grid, grid) <= 0:
        raise BadInput("NO_OVERLAP", f"{name} and {before.path.name} do not overlap. Check that both show one place.")
    return (f"{name} ({describe(grid)}) was warped onto the grid of {before.path.name} (nearest neighbour).",)


@dataclass(frozen=True)
class Aligned:
    """Both dates as they are compared, and what was measured on them.

    Args:
        dates: the second one moved and matched where that was asked for and possible.
        measured: the pair as it was given.
        left: the pair as it is compared; `measured` itself where nothing was moved.
        second: findings on the second image by itself.
        notes: sentences on what was moved or matched, or why not.
    """

    dates: Dates
    measured: PairQuality
    left: PairQuality
    second: tuple[Check, ...]
    notes: tuple[str, ...]


def align(dates: Dates, scene: Scene, settings: Settings) -> Aligned:
    """Measure the pair; move and match the second date where asked.

    Args:
        dates: as they were opened.
        scene: the labelled first date.
        settings: what to correct, acquisition days, limits of warnings.

    Raises:
        BadInput: the dates share no observed ground.
    """
    subject = PairSubject(
        first=Source(dates.before, dates.readings[0]),
        second=Source(dates.after, dates.readings[1]),
        names=dates.names,
        mask=scene.mask,
        days=(acquired(settings.acquired, dates.before.path), acquired(settings.acquired_after, dates.after.path)),
        second_pixel_m=dates.after_pixel_m,
    )
    measured = left = measure_pair(subject, settings)
    notes: tuple[str, ...] = ()
    if settings.correct_shift:
        dates, note = _moved(dates, measured)
        notes = (note,)
        if dates.after is not subject.second.raster:
            left = measure_pair(replace(subject, second=Source(dates.after, dates.readings[1])), settings)
    if settings.match_radiometry:
        dates, note = _matched(dates, left)
        notes = (*notes, note)
    second = second_date_checks(dates.before, subject.second.raster, subject.second.reading, dates.names)
    return Aligned(dates, measured, left, tuple(second), notes)


def _moved(dates: Dates, measured: PairQuality) -> tuple[Dates, str]:
    """Undo the measured shift; labels of the second date were drawn on its image, so they move with it."""
    shift, name = measured.shift, dates.after.path.name
    if not shift.certain:
        return dates, f"{name} was not moved: the shift between the dates could not be measured with certainty."
    if shift.length_px <= SHIFT_WARNING_PX:
        return dates, f"{name} was not moved: the shift of {shift.length_px:.2f} px is below {SHIFT_WARNING_PX} px."
    grid = dates.before.grid.translate_pix(shift.cols_px, shift.rows_px)
    mask = mask_on(dates.labels_after, grid, warp=True) if dates.labels_after else None
    moved = replace(dates, after=dates.after.moved(shift.rows_px, shift.cols_px), mask_after=mask)
    return moved, (
        f"{name} was moved by {-shift.rows_px:+.2f} px down and {-shift.cols_px:+.2f} px right "
        f"to undo the measured shift{', and its labels with it' if dates.labels_after else ''}."
    )


def _matched(dates: Dates, pair: PairQuality) -> tuple[Dates, str]:
    matching, name = pair.radiometry.matching, dates.after.path.name
    if matching is None:
        return dates, f"{name} was not matched to the first date: {pair.radiometry.reason}."
    reading = replace(dates.readings[1], matching=tuple(zip(matching.gain, matching.bias, strict=True)))
    told = ", ".join(
        f"{band} x {gain:.3f} {bias:+.4f}"
        for band, gain, bias in zip(dates.names, matching.gain, matching.bias, strict=True)
    )
    note = f"{name} was matched to the first date on {matching.pixels:,} invariant pixels (IR-MAD): {told}."
    if max(matching.gain) > UNEVEN_GAIN * min(matching.gain):
        note += " The bands' gains differ much, as a change of season makes them: bare ground may be bent by it."
    return replace(dates, readings=(dates.readings[0], reading)), note
