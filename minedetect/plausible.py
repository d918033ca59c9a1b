"""The gate: may this figure be called a result?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from minedetect.config import GateSettings

Verdict = Literal["plausible", "review", "implausible", "unknown"]

LIKE_EVERYTHING_SHARE = 0.9
DRIFT_SHARE = 0.05
UNOBSERVED_SHARE = 0.5
EDGE_EXCESS = 3.0
EDGE_MIN_SHARE = 0.05


@dataclass(frozen=True)
class Ratio:
    """Predicted against labelled hectares on the same pixels."""

    predicted_ha: float
    labelled_ha: float

    @property
    def value(self) -> float:
        return self.predicted_ha / self.labelled_ha if self.labelled_ha else float("inf")


@dataclass(frozen=True)
class Evidence:
    """What the gate looks at; None or empty where it is not known.

    Args:
        validation: hectares on validation blocks.
        labelled_date: hectares on all labelled pixels of the labelled date.
        mine_share: share of observed pixels that are mine, by date label.
        rim_share: share that is mine of a scene's outermost pixels and of the ring just inside, by date label.
        before_ha: mine on the first date, common ground.
        after_ha: mine on the second date, common ground.
        drift: per date label, the largest share over the bands of values outside the training's limits.
        shift_px: shift between the dates as compared; None where it is not certain.
        band_drift: drift of each band between the dates on invariant pixels, as a share of its value span.
        matching_ha: mine on the second date with and without matching; None where nothing was matched.
        unobserved_share: share of the labelled hectares without observation on either date.
    """

    validation: Ratio | None
    labelled_date: Ratio | None
    mine_share: Mapping[str, float]
    rim_share: Mapping[str, tuple[float, float]]
    before_ha: float
    after_ha: float
    drift: Mapping[str, float]
    shift_px: float | None
    band_drift: Mapping[str, float]
    matching_ha: tuple[float, float] | None
    unobserved_share: float


@dataclass(frozen=True)
class Gate:
    """The verdict and the reasons for it, with figures."""

    verdict: Verdict
    reasons: tuple[str, ...]

    @property
    def plausible(self) -> bool | None:
        """False when implausible, None when unknown."""
        return None if self.verdict == "unknown" else self.verdict != "implausible"


def judge(evidence: Evidence, limits: GateSettings) -> Gate:
    """Weigh the evidence: implausible if any hard sign shows, else review, else plausible.

    Without labels to compare with, the verdict is unknown unless a hard sign shows.
    """
    hard = [*_ratios(evidence, limits), *_one_class(evidence), *_edge_artefacts(evidence)]
    if hard:
        return Gate("implausible", tuple(hard))
    soft = [*_growth(evidence, limits), *_drift(evidence), *_pair(evidence, limits), *_unobserved(evidence)]
    if soft:
        return Gate("review", tuple(soft))
    if evidence.validation is None and evidence.labelled_date is None:
        return Gate("unknown", ("There are no labels to compare the prediction with.",))
    return Gate("plausible", ())


def _ratios(evidence: Evidence, limits: GateSettings) -> list[str]:
    reasons = []
    for where, ratio in (
        ("on the validation blocks", evidence.validation),
        ("on the whole labelled date", evidence.labelled_date),
    ):
        if ratio is not None and not limits.gate_low <= ratio.value <= limits.gate_high:
            reasons.append(
                f"Predicted {ratio.predicted_ha:,.1f} ha against {ratio.labelled_ha:,.1f} ha labelled {where}: "
                f"{ratio.value:.2f} times; {limits.gate_low:g} to {limits.gate_high:g} is plausible."
            )
    return reasons


def _one_class(evidence: Evidence) -> list[str]:
    return [
        f"{share:.1%} of {date} is called mine: the prediction holds one class almost everywhere."
        for date, share in evidence.mine_share.items()
        if share == 0 or share > LIKE_EVERYTHING_SHARE
    ]


def _edge_artefacts(evidence: Evidence) -> list[str]:
    return [
        f"{rim:.1%} of the outermost pixels of {date} are called mine, but {inside:.1%} just inside: "
        "an artefact of the scene's edge."
        for date, (rim, inside) in evidence.rim_share.items()
        if rim > EDGE_MIN_SHARE and rim > EDGE_EXCESS * inside
    ]


def _growth(evidence: Evidence, limits: GateSettings) -> list[str]:
    before, after, most = evidence.before_ha, evidence.after_ha, limits.review_growth
    if before / most <= after <= before * most:
        return []
    times = after / before if before else float("inf")
    return [
        f"Mine area went from {before:,.1f} to {after:,.1f} ha, {times:.2f} times; "
        f"look at the pictures before you publish a change beyond {most:g} times."
    ]


def _drift(evidence: Evidence) -> list[str]:
    return [
        f"{share:.1%} of the values of {date} in one band lie far outside what the model learned: "
        "another season, sensor or unit? Look at the prediction."
        for date, share in evidence.drift.items()
        if share > DRIFT_SHARE
    ]


def _pair(evidence: Evidence, limits: GateSettings) -> list[str]:
    reasons = []
    if evidence.shift_px is not None and evidence.shift_px > limits.review_shift_px:
        reasons.append(
            f"The dates lie {evidence.shift_px:.2f} px apart; beyond {limits.review_shift_px:g} px every mine's rim "
            "turns into change. Add --correct-shift."
        )
    far = {band: share for band, share in evidence.band_drift.items() if abs(share) > limits.review_drift}
    if far:
        told = ", ".join(f"{band} {share:+.0%}" for band, share in far.items())
        reasons.append(
            f"Ground that did not change differs between the dates by more than {limits.review_drift:.0%} of the value "
            f"span ({told}): another season, product or offset? Try --match-radiometry and compare the hectares."
        )
    if evidence.matching_ha is not None:
        matched, plain = evidence.matching_ha
        if abs(matched - plain) > limits.review_matching * plain:
            reasons.append(
                f"Matching the second date changes its mine area from {plain:,.1f} to {matched:,.1f} ha, by more than "
                f"{limits.review_matching:.0%}: where the season changed, it follows the vegetation and bends bare "
                "ground. Compare both predictions with the image before you choose."
            )
    return reasons


def _unobserved(evidence: Evidence) -> list[str]:
    if evidence.unobserved_share <= UNOBSERVED_SHARE:
        return []
    return [
        f"{evidence.unobserved_share:.0%} of the labelled hectares are hidden on one of the dates; "
        "change there cannot be told."
    ]
