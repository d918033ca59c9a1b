"""The gate: may this figure be called a result?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from minedetect.config import GateSettings

Verdict = Literal["plausible", "review", "implausible", "unknown"]

VERDICT_WORDS: Mapping[Verdict, str] = {
    "plausible": "Plausible: the figures passed every check.",
    "review": "Review: look at the reasons before you publish these figures.",
    "implausible": "Implausible: do not publish these figures.",
    "unknown": "Unknown: there are no labels to judge these figures by.",
}


@dataclass(frozen=True)
class Agreement:
    """A prediction against labels on the same pixels.

    Args:
        where: the ground, as in "on the validation blocks".
        predicted_ha: ground called mine.
        labelled_ha: ground labelled mine.
        iou: overlap of the two; None where there is neither.
        rule_iou: what the best threshold on a single index reaches, fitted to this very ground.
        guess_iou: what calling everything mine reaches, the best that a guess can do.
    """

    where: str
    predicted_ha: float
    labelled_ha: float
    iou: float | None
    rule_iou: float
    guess_iou: float

    @property
    def ratio(self) -> float:
        """Predicted over labelled hectares; 1 where both are 0."""
        if not self.labelled_ha:
            return float("inf") if self.predicted_ha else 1.0
        return self.predicted_ha / self.labelled_ha

    @classmethod
    def of_scores(cls, where: str, scores: Mapping[str, Any]) -> Agreement:
        """The agreement in the content of `evaluation.json`."""
        return cls(
            where,
            predicted_ha=scores["predicted_ha"],
            labelled_ha=scores["labelled_ha"],
            iou=scores["iou"],
            rule_iou=scores["baseline_iou"],
            guess_iou=scores["all_mine_iou"],
        )


@dataclass(frozen=True)
class Evidence:
    """What the gate looks at; None or empty where it is not known.

    Args:
        agreements: with labels, on each ground where there are some.
        mine_share: share of observed pixels that are mine, by date label, the first date first.
        rim_share: share that is mine of a scene's outermost pixels and of the ring just inside, by date label.
        before_ha: mine on the first date, common ground.
        after_ha: mine on the second date, common ground.
        drift: per date label, the largest share over the bands of values outside the training's limits.
        shift_px: shift between the dates as compared; None where it is not certain.
        band_drift: drift of each band between the dates on invariant pixels, as a share of its value span.
        matching_ha: mine on the second date with and without matching; None where nothing was matched.
        unobserved_share: share of the labelled hectares without observation on either date.
        same_image: whether both dates hold the same values.
    """

    agreements: Sequence[Agreement]
    mine_share: Mapping[str, float]
    rim_share: Mapping[str, tuple[float, float]]
    before_ha: float
    after_ha: float
    drift: Mapping[str, float]
    shift_px: float | None
    band_drift: Mapping[str, float]
    matching_ha: tuple[float, float] | None
    unobserved_share: float
    same_image: bool = False


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

    The reasons name the hard signs first; soft ones follow, as they often say why. Without labels to
    compare with, the verdict is unknown unless a sign shows.
    """
    hard = [*_agreement_fails(evidence, limits), *_one_class(evidence, limits), *_edge_artefacts(evidence, limits)]
    soft = [
        *_growth(evidence, limits),
        *_agreement_is_doubtful(evidence, limits),
        *_drift(evidence, limits),
        *_pair(evidence, limits),
        *_unobserved(evidence, limits),
    ]
    if hard or soft:
        return Gate("implausible" if hard else "review", (*hard, *soft))
    if not evidence.agreements:
        return Gate("unknown", ("There are no labels to compare the prediction with.",))
    return Gate("plausible", ())


def _agreement_fails(evidence: Evidence, limits: GateSettings) -> Iterator[str]:
    for one in evidence.agreements:
        areas_agree = limits.gate_low <= one.ratio <= limits.gate_high
        if not areas_agree:
            yield (
                f"Predicted {one.predicted_ha:,.1f} ha against {one.labelled_ha:,.1f} ha labelled {one.where}: "
                f"{one.ratio:.2f} times; {limits.gate_low:g} to {limits.gate_high:g} is plausible."
            )
        if _misplaced(one, limits):
            luck = f" That hectares are {one.ratio:.2f} times the labelled ones is luck." if areas_agree else ""
            yield (
                f"Predicted mines lie elsewhere than labelled ones {one.where}: their overlap (IoU) is {one.iou:.2f}; "
                f"it must reach {limits.gate_iou:g} and beat the {one.guess_iou:.2f} of calling everything mine.{luck}"
            )


def _misplaced(one: Agreement, limits: GateSettings) -> bool:
    """Whether so little overlaps that hectares, right or not, are none of these mines'."""
    return one.iou is not None and (one.iou < limits.gate_iou or one.iou <= one.guess_iou)


def _agreement_is_doubtful(evidence: Evidence, limits: GateSettings) -> Iterator[str]:
    for one in evidence.agreements:
        if one.iou is None or _misplaced(one, limits):
            continue
        if one.iou < limits.review_iou:
            yield (
                f"Predicted and labelled mines overlap by an IoU of {one.iou:.2f} {one.where}, below "
                f"{limits.review_iou:g}: look where the prediction and the outlines differ."
            )
        if one.iou <= one.rule_iou:
            yield (
                f"The IoU of {one.iou:.3f} {one.where} is no better than the {one.rule_iou:.3f} of one threshold on "
                "one index: the network adds nothing there."
            )


def _one_class(evidence: Evidence, limits: GateSettings) -> list[str]:
    return [
        f"{share:.1%} of {date} is called mine: the prediction holds one class almost everywhere."
        for date, share in evidence.mine_share.items()
        if share == 0 or share > limits.gate_one_class
    ]


def _edge_artefacts(evidence: Evidence, limits: GateSettings) -> list[str]:
    return [
        f"{rim:.1%} of the outermost pixels of {date} are called mine, but {inside:.1%} just inside: "
        "an artefact of the scene's edge."
        for date, (rim, inside) in evidence.rim_share.items()
        if rim > limits.gate_edge and rim > limits.gate_edge_excess * inside
    ]


def _growth(evidence: Evidence, limits: GateSettings) -> list[str]:
    before, after, most = evidence.before_ha, evidence.after_ha, limits.review_growth
    if before / most <= after <= before * most:
        return []
    times = after / before if before else float("inf")
    shares = ", ".join(f"{share:.1%} of {date}" for date, share in evidence.mine_share.items())
    return [
        f"Mine area went from {before:,.1f} to {after:,.1f} ha, {times:.2f} times ({shares} is called mine): beyond "
        f"{most:g} times or its inverse, publish nothing before somebody has compared both predictions with their "
        "images, or scored the second date with --labels-after."
    ]


def _drift(evidence: Evidence, limits: GateSettings) -> list[str]:
    return [
        f"{share:.1%} of the values of {date} in one band lie far outside what the model learned: "
        "another season, sensor or unit? Look at the prediction."
        for date, share in evidence.drift.items()
        if share > limits.review_values
    ]


def _pair(evidence: Evidence, limits: GateSettings) -> list[str]:
    reasons = []
    if evidence.same_image:
        reasons.append("Both dates are one image, in which nothing can have changed: its change says nothing.")
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


def _unobserved(evidence: Evidence, limits: GateSettings) -> list[str]:
    if evidence.unobserved_share <= limits.review_unobserved:
        return []
    return [
        f"{evidence.unobserved_share:.0%} of the labelled hectares are hidden on one of the dates; "
        "change there cannot be told."
    ]
