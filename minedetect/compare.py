"""Two predicted dates to a judged answer: change rasters, ledger, verdict, pictures, report."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minedetect.about import facts
from minedetect.change import per_mine, ring_width_px, told_apart
from minedetect.config import Settings
from minedetect.evidence import Comparison, evidence_of, scores_against_labels
from minedetect.figures import Stretch, shown_bands
from minedetect.journal import Journal
from minedetect.labels import outline_zones
from minedetect.map_layers import write_map_layers
from minedetect.measure import hectares
from minedetect.plausible import VERDICT_WORDS, Gate, judge
from minedetect.products import Grounds, Written, write_change, write_mines
from minedetect.raster import MINE, open_raster, read, read_classes
from minedetect.report import Summary, write_summary
from minedetect.report_page import write_report
from minedetect.result_figures import ResultPicture, draw_results
from minedetect.runs import RESULTS_PICTURE, Run, probability_name, unmatched_name
from minedetect.scenes import Scene
from minedetect.sensitivity import Compared, Cut, by_border, by_matching, by_threshold, kinds_near, ranges
from minedetect.suspects import Suspect, find_suspects, sentence, write_suspects

PREVIEW_PX = 900
EVERY_LABEL = ("all labelled mines", "")
"""A mask says where mines are and not which is which."""


def compare(journal: Journal, comparison: Comparison, settings: Settings) -> dict[str, Any]:
    """Write change, polygons, summary, picture and report of a run; returns `summary.json`."""
    run, (before, after) = journal.run, comparison.classes
    with journal.step("change"):
        grounds = grounds_of(comparison, run, settings)
        for year, classes, probability in zip(
            comparison.years, comparison.classes, grounds.probabilities or (), strict=True
        ):
            write_mines(run, year, classes, comparison.grid, probability)
        written = write_change(run, comparison.years, (before, after), comparison.grid, grounds)
        found = written.ledger
        rows = per_mine(*labelled_mines(comparison.scene), before, after, comparison.grid)
        gate = judge(evidence_of(comparison, found), settings)
        sensitivity = sensitivity_of(run, comparison, written, settings)
    with journal.step("report"):
        stretch = Stretch.of(_colours(comparison, 0, PREVIEW_PX))
        suspects = suspects_of(run, comparison, settings, stretch)
        summary = Summary(
            run_id=run.name,
            years=comparison.years,
            ledger=found,
            observed_ha=(comparison.predictions[0].mine_ha, comparison.predictions[1].mine_ha),
            gate=gate,
            mine_definition=settings.mine_definition,
            notes=(*comparison.notes, *sentence(suspects), *grounds.notes),
            per_mine=tuple(rows),
            extra={
                **scores_against_labels(comparison),
                "sensitivity": sensitivity,
                "suspected_missing": [suspect.to_json() for suspect in suspects],
                "about": facts(comparison, settings),
            },
        )
        content = write_summary(run, summary)
        picture = picture_of(comparison, written, gate, stretch)
        draw_results(run.path(RESULTS_PICTURE), picture, comparison.grid)
        write_report(run)
        write_map_layers(run, comparison, rows, settings.threshold or comparison.detector.calibration.threshold)
    return content


def suspects_of(run: Run, comparison: Comparison, settings: Settings, stretch: Stretch) -> tuple[Suspect, ...]:
    """Find and write what the labels of the first date may miss."""
    probability = open_raster(run.path(probability_name(comparison.years[0])))
    reading = comparison.readings[0].only(shown_bands(comparison.detector.contract.names))
    found = find_suspects(
        comparison.classes[0],
        comparison.scene.mask,
        comparison.grid,
        lambda band: read(probability, band)[0],
        settings,
    )
    write_suspects(run, found, comparison.grid, lambda window: stretch(reading.read(comparison.rasters[0], window)))
    return found


def grounds_of(comparison: Comparison, run: Run, settings: Settings) -> Grounds:
    """What tells kinds of change apart in a run: its own probabilities, threshold and measured shift."""
    first, second = (open_raster(run.path(probability_name(year))) for year in comparison.years)
    threshold = settings.threshold or comparison.detector.calibration.threshold
    return Grounds(settings.min_probability_change, comparison.pair.shift_px, (first, second), (threshold, threshold))


def labelled_mines(scene: Scene) -> tuple[list[tuple[str, str]], npt.NDArray[np.int32]]:
    """Name and status of each labelled mine, and int32 (H, W), its number over each pixel; 0 outside all."""
    if scene.labels.is_mask:
        return [EVERY_LABEL], (scene.mask == MINE).astype(np.int32)
    return told_apart(scene.labels.outlines), outline_zones(scene.labels, scene.raster.grid)


def sensitivity_of(run: Run, comparison: Comparison, written: Written, settings: Settings) -> dict[str, Any]:
    """How far hectares move with the threshold, one pixel of border, and matching where it was measured."""
    first, second = comparison.years
    kinds = kinds_near(written.change, written.kind, ring_width_px(comparison.pair.shift_px))
    compared = Compared(comparison.classes, comparison.grid, kinds, written.ledger)
    probabilities = open_raster(run.path(probability_name(first))), open_raster(run.path(probability_name(second)))
    threshold = settings.threshold or comparison.detector.calibration.threshold
    cut = Cut(threshold, settings.sensitivity_threshold, settings.min_patch_ha)
    parts = {"threshold": by_threshold(compared, probabilities, cut), "border": by_border(compared)}
    if "matching" in comparison.extra:
        unmatched = read_classes(open_raster(run.path(unmatched_name(second)))).astype(np.uint8)
        parts["matching"] = by_matching(compared, unmatched)
    return ranges(comparison.years, written.ledger, parts)


def picture_of(comparison: Comparison, written: Written, gate: Gate, stretch: Stretch) -> ResultPicture:
    """What `inference_results.png` shows; both dates are stretched by the first one's limits."""
    (first, second), found = comparison.years, written.ledger
    return ResultPicture(
        years=comparison.years,
        rgb=(stretch(_colours(comparison, 0, PREVIEW_PX)), stretch(_colours(comparison, 1, PREVIEW_PX))),
        classes=comparison.classes,
        labels=comparison.scene.mask,
        change=written.change,
        kind=written.kind,
        hectares=(found.before_ha, found.after_ha),
        labelled_ha=hectares(comparison.scene.mask, comparison.grid, MINE),
        firm_ha=(found.new["firm"], found.gone["firm"]),
        headline=(f"Mining {first} to {second}", VERDICT_WORDS[gate.verdict]),
    )


def _colours(comparison: Comparison, date: int, most_px: int) -> npt.NDArray[np.float32]:
    """Red, green and blue of one date in the model's unit, thinned: float32 (3, h, w)."""
    reading = comparison.readings[date]
    shown = shown_bands(comparison.detector.contract.names)
    return reading.sample(comparison.rasters[date], most_px, shown)
