"""What a model's scores are, what they rest on, and what they are worth: the content of `evaluation.json`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minedetect.calibrate import Calibration, Cuts, Tenths
from minedetect.findings import counted
from minedetect.measure import BLOCKS_FOR_INTERVAL, Counts, IndexBaseline, block_interval

FAR_HECTARES = 1.25
"""Predicted over labelled hectares beyond this, or under one over this, is told: far stricter than the gate."""
FAR_CALIBRATION = 0.25
"""Expected calibration error, as a share of the mine share, from which probabilities are called unreliable."""
DIGITS = 4
FINE_DIGITS = 6
"""Of calibration figures: where 2 % is mine, an error of 0.001 matters."""


@dataclass(frozen=True)
class Ground:
    """One block or whole scene, counted.

    Args:
        cuts: its known pixels by calibrated probability.
        before: the same by tenth of the network's own probability.
        after: by tenth of calibrated probability.
        mines: labelled patches.
    """

    cuts: Cuts
    before: Tenths
    after: Tenths
    mines: int


@dataclass(frozen=True)
class Evidence:
    """All ground that was scored.

    Args:
        blocks: at least one; all with the same edges.
        places: positions of `blocks`, those that show the same ground together.
        baseline: the best single index on the same pixels.
    """

    blocks: Sequence[Ground]
    places: Sequence[Sequence[int]]
    baseline: IndexBaseline

    def pooled(self) -> Ground:
        """Everything together. Views of one place show the same mines: there the richest view counts."""
        first, *rest = self.blocks
        cuts, before, after = first.cuts, first.before, first.after
        for block in rest:
            cuts, before, after = cuts + block.cuts, before + block.before, after + block.after
        mines = sum(max(self.blocks[i].mines for i in place) for place in self.places)
        return Ground(cuts, before, after, mines)


def content_of(evidence: Evidence, threshold: float, calibration: Calibration) -> dict[str, Any]:
    """Scores at a threshold, at all others, and what simple rules reach on the same pixels.

    Args:
        evidence: what was counted.
        threshold: from which a pixel is mine; one of the edges.
        calibration: what made the probabilities.
    """
    pooled = evidence.pooled()
    at = pooled.cuts.place_of(threshold)
    counts, predicted_ha = pooled.cuts.counts()[at], pooled.cuts.predicted_ha()[at]
    content = {
        **_scores(counts),
        **_beside(evidence.baseline, pooled.after.mine_share, counts),
        **_ground(evidence, at),
        "threshold": round(threshold, DIGITS),
        "pixels": counts.pixels,
        "mines": pooled.mines,
        "predicted_ha": round(predicted_ha, 2),
        "labelled_ha": round(pooled.cuts.labelled_ha, 2),
        "calibration": calibration.to_json(),
        "calibration_quality": _calibration_quality(pooled),
        "reliability": pooled.after.rows(),
        "reliability_before": pooled.before.rows(),
        "thresholds": _table(pooled.cuts, at),
    }
    return {**content, "independence": _independence(content), "warnings": _warnings(content)}


def _beside(index: IndexBaseline, mine_share: float, counts: Counts) -> dict[str, Any]:
    """What simple rules reach, and what the model gains over the best of them."""
    baselines = _baselines(index, mine_share)
    return {
        "baseline_iou": baselines["best_single_index"]["iou"],
        "baseline": _rule(index),
        "all_background_iou": baselines["all_background"]["iou"],
        "all_mine_iou": baselines["all_mine"]["iou"],
        "baselines": baselines,
        "gain_over_baseline": _rounded(counts.iou - max(b["iou"] for b in baselines.values())),
    }


def _ground(evidence: Evidence, at: int) -> dict[str, Any]:
    """Blocks and separate pieces of ground, and how far chance among the latter moves the IoU at an edge."""
    blocks = [block.cuts.counts()[at] for block in evidence.blocks]
    places = [sum((blocks[i] for i in place), Counts()) for place in evidence.places]
    interval = block_interval(places, seed=0)
    return {
        "ci95": None if interval is None else [_rounded(interval[0]), _rounded(interval[1])],
        "blocks": len(blocks),
        "blocks_with_mines": sum(c.tp + c.fn > 0 for c in blocks),
        "places": len(places),
        "places_with_mines": sum(c.tp + c.fn > 0 for c in places),
    }


def _rounded(value: float, digits: int = DIGITS) -> float | None:
    return None if math.isnan(value) else round(value, digits)


def _scores(counts: Counts) -> dict[str, float | None]:
    return {key: _rounded(getattr(counts, key)) for key in ("iou", "dice", "precision", "recall")}


def _table(cuts: Cuts, chosen: int) -> list[dict[str, Any]]:
    """One row a threshold, rising; `chosen` marks the one that headlines stand on."""
    rows = zip(cuts.edges.tolist(), cuts.counts(), cuts.predicted_ha(), strict=True)
    return [
        {
            "threshold": round(edge, DIGITS),
            "chosen": place == chosen,
            **_scores(counts),
            "predicted_ha": round(hectares, 2),
        }
        for place, (edge, counts, hectares) in enumerate(rows)
    ]


def _rule(baseline: IndexBaseline) -> str:
    return f"{baseline.name} {'>=' if baseline.above else '<='} {baseline.threshold:.4g}"


def _baselines(index: IndexBaseline, mine_share: float) -> dict[str, dict[str, Any]]:
    """What needs no network. IoU of calling everything mine is the share that is mine."""
    return {
        "all_background": {"iou": 0.0, "words": "A map without any mine scores IoU 0."},
        "all_mine": {
            "iou": round(mine_share, DIGITS),
            "words": f"A guess that calls everything mine reaches IoU {mine_share:.3f}, the share that is mine here.",
        },
        "best_single_index": {
            "iou": round(index.iou, DIGITS),
            "words": f"The best rule on a single index ({_rule(index)}) reaches IoU {index.iou:.3f}, "
            "fitted to this very ground.",
        },
    }


def _calibration_quality(pooled: Ground) -> dict[str, Any]:
    """Errors of the probabilities before and after Platt scaling, and of naming the mine share everywhere."""
    share = pooled.after.mine_share
    sides = {"before": pooled.before, "after": pooled.after}
    return {
        "mine_share": round(share, FINE_DIGITS),
        "brier_of_mine_share": round(share * (1 - share), FINE_DIGITS),
        **{side: {"ece": round(t.ece, FINE_DIGITS), "brier": round(t.brier, FINE_DIGITS)} for side, t in sides.items()},
    }


def _independence(content: dict[str, Any]) -> str:
    """How many independent pieces of ground and mines the scores rest on, and what follows."""
    blocks, places, mined = content["blocks"], content["places"], content["places_with_mines"]
    ground = f"{counted(blocks, 'separate block')} of ground"
    if places < blocks:
        ground = f"{counted(blocks, 'block')} that show {counted(places, 'separate piece')} of ground"
    with_mines = f", {mined} of them with mines" if places > 1 else ""
    rests = f"The scores rest on {counted(content['mines'], 'labelled mine patch')} in {ground}{with_mines}"
    if content["ci95"] is None:
        few = f"fewer than {BLOCKS_FOR_INTERVAL} pieces of ground with mines say too little about chance"
        return f"{rests}: {few}, so there is no 95 % interval."
    low, high = content["ci95"]
    return f"{rests}: drawing these anew again and again, 95 % of the IoU lie between {low:.2f} and {high:.2f}."


def _warnings(content: dict[str, Any]) -> list[str]:
    """What is so far off that hectares or probabilities should not be quoted as they stand."""
    predicted, labelled, quality = content["predicted_ha"], content["labelled_ha"], content["calibration_quality"]
    if not labelled:
        return [f"No mine is labelled on this ground, where {predicted:,.1f} ha are called mine: IoU says little here."]
    found, ratio, error = [], predicted / labelled, quality["after"]["ece"] / quality["mine_share"]
    if not 1 / FAR_HECTARES <= ratio <= FAR_HECTARES:
        found.append(
            f"{predicted:,.1f} ha are called mine where {labelled:,.1f} ha are labelled, {ratio:.2f} times as much: "
            "the threshold does not suit this ground."
        )
    gain = content["gain_over_baseline"]
    if gain is not None and gain <= 0:
        found.append("The model is no better than a rule that needs no network: do not rely on it.")
    if error > FAR_CALIBRATION:
        found.append(
            f"The probabilities are off by {100 * quality['after']['ece']:.2g} percentage points on average, where "
            f"only {100 * quality['mine_share']:.2g} % of the ground is mine: take them as an order, not as odds."
        )
    return found


def choice_note(chosen: Sequence[str], test: dict[str, Any] | None) -> str:
    """What validation chose, what that does to its score, and which score to quote.

    Args:
        chosen: what was decided on validation ground, such as epoch, calibration, threshold.
        test: the content of the test part, where one was kept.
    """
    *most, last = (f"the {what}" for what in chosen)
    listed = f"{', '.join(most)} and {last}" if most else last
    flatters = f"Validation ground also chose {listed}, so its score flatters the model"
    if test is None:
        return f"{flatters}: expect a lower one elsewhere, and keep a test part (--test-share) for a score to quote."
    iou = "undefined" if test["iou"] is None else f"{test['iou']:.3f}"
    return f"{flatters}: quote the score of the test part, which chose nothing: IoU {iou}."
