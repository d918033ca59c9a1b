"""The gate: a figure that cannot be true is never called a result, and every reason carries figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.config import GateSettings
from minedetect.plausible import Agreement, Evidence, Gate, judge

LIMITS = GateSettings()
VALIDATION = Agreement("on the validation blocks", 95, 100, iou=0.7, rule_iou=0.4, guess_iou=0.02)
LABELLED_DATE = Agreement("on all labelled ground of 2016", 3900, 3841, iou=0.75, rule_iou=0.4, guess_iou=0.022)
SECOND_DATE = Agreement("on all labelled ground of 2025", 4900, 5100, iou=0.65, rule_iou=0.4, guess_iou=0.03)
GROUNDS = (VALIDATION, LABELLED_DATE, SECOND_DATE)
GOOD = Evidence(
    agreements=GROUNDS,
    mine_share={"2016": 0.022, "2025": 0.03},
    rim_share={"2016": (0.02, 0.02), "2025": (0.03, 0.02)},
    before_ha=3900,
    after_ha=5000,
    drift={"2016": 0.002, "2025": 0.01},
    shift_px=0.2,
    band_drift={"B2": 0.02, "B4": -0.05},
    matching_ha=None,
    unobserved_share=0.02,
)


def verdict(**fields: object) -> Gate:
    return judge(replace(GOOD, **fields), LIMITS)  # type: ignore[arg-type]


def agreeing(on: Agreement, **fields: Any) -> Gate:
    """The verdict where one of the agreements is otherwise."""
    return verdict(agreements=[replace(one, **fields) if one is on else one for one in GROUNDS])


def test_one_image_as_both_dates_wants_a_person() -> None:
    gate = verdict(same_image=True)
    assert gate.verdict == "review"
    assert "one image" in gate.reasons[0]


def test_good_evidence_is_plausible_without_reasons() -> None:
    assert judge(GOOD, LIMITS) == Gate("plausible", ())
    assert judge(GOOD, LIMITS).plausible is True


def test_the_notebook_of_seventeen_times_the_labels_is_implausible() -> None:
    gate = agreeing(LABELLED_DATE, predicted_ha=66_813, labelled_ha=3841)
    assert gate.verdict == "implausible"
    assert gate.plausible is False
    assert any("66,813.0 ha against 3,841.0 ha" in reason and "17.39 times" in reason for reason in gate.reasons)


@pytest.mark.parametrize("on", GROUNDS)
@pytest.mark.parametrize(
    ("predicted", "verdict_is"),
    [(0, "implausible"), (49.9, "implausible"), (50, "plausible"), (200, "plausible"), (200.1, "implausible")],
)
def test_predicted_hectares_lie_within_half_and_double(on: Agreement, predicted: float, verdict_is: str) -> None:
    gate = agreeing(on, predicted_ha=predicted, labelled_ha=100)
    assert gate.verdict == verdict_is
    assert all(on.where in reason and f"{predicted:,.1f} ha" in reason for reason in gate.reasons)


@pytest.mark.parametrize(("predicted", "ratio"), [(0, 1.0), (1, float("inf"))])
def test_where_no_mine_is_labelled_none_may_be_predicted(predicted: float, ratio: float) -> None:
    assert replace(SECOND_DATE, predicted_ha=predicted, labelled_ha=0).ratio == ratio


@pytest.mark.parametrize("on", GROUNDS)
@pytest.mark.parametrize(
    ("iou", "verdict_is"),
    [
        (None, "plausible"),
        (0.0, "implausible"),
        (0.2499, "implausible"),
        (0.25, "review"),
        (0.4999, "review"),
        (0.5, "plausible"),
    ],
)
def test_hectares_that_agree_while_places_do_not_are_luck(on: Agreement, iou: float | None, verdict_is: str) -> None:
    gate = agreeing(on, predicted_ha=107, labelled_ha=100, iou=iou, rule_iou=0.1)
    assert gate.verdict == verdict_is
    assert all(on.where in reason and f"{iou:.2f}" in reason for reason in gate.reasons)
    assert len(gate.reasons) == (verdict_is != "plausible")


@pytest.mark.parametrize("on", GROUNDS)
@pytest.mark.parametrize(("iou", "verdict_is"), [(0.6, "implausible"), (0.601, "plausible")])
def test_no_better_than_calling_everything_mine_is_implausible(on: Agreement, iou: float, verdict_is: str) -> None:
    gate = agreeing(on, iou=iou, guess_iou=0.6)
    assert gate.verdict == verdict_is
    assert all("0.60 of calling everything mine" in reason for reason in gate.reasons)


@pytest.mark.parametrize("on", GROUNDS)
@pytest.mark.parametrize(("iou", "verdict_is"), [(0.8, "review"), (0.801, "plausible")])
def test_no_better_than_one_threshold_on_one_index_wants_a_person(on: Agreement, iou: float, verdict_is: str) -> None:
    gate = agreeing(on, iou=iou, rule_iou=0.8)
    assert gate.verdict == verdict_is
    assert all(on.where in reason and "0.800 of one threshold" in reason for reason in gate.reasons)


@pytest.mark.parametrize("share", [0.0, 0.91, 1.0])
def test_one_class_everywhere_is_implausible(share: float) -> None:
    gate = verdict(mine_share={"2016": 0.02, "2025": share})
    assert gate.verdict == "implausible"
    assert f"{share:.1%} of 2025" in gate.reasons[0]


@pytest.mark.parametrize(
    ("rim", "inside", "verdict_is"),
    [(0.4, 0.02, "implausible"), (0.06, 0.0, "implausible"), (0.04, 0.0, "plausible"), (0.4, 0.2, "plausible")],
)
def test_mines_along_the_edge_are_an_artefact(rim: float, inside: float, verdict_is: str) -> None:
    gate = verdict(rim_share={"2025": (rim, inside)})
    assert gate.verdict == verdict_is
    assert all(f"{rim:.1%}" in reason for reason in gate.reasons)


@pytest.mark.parametrize(
    ("before", "after", "verdict_is"),
    [
        (100, 301, "review"),
        (100, 300, "plausible"),
        (100, 33, "review"),
        (99, 33, "plausible"),
        (0, 10, "review"),
        (10, 0, "review"),
    ],
)
def test_growth_beyond_three_times_wants_a_person(before: float, after: float, verdict_is: str) -> None:
    gate = verdict(before_ha=before, after_ha=after)
    assert gate.verdict == verdict_is
    assert gate.plausible is True
    assert all(f"{before:,.1f} to {after:,.1f} ha" in reason for reason in gate.reasons)


def test_the_reason_for_growth_says_how_much_of_the_ground_is_called_mine() -> None:
    gate = verdict(before_ha=3841, after_ha=66_813, mine_share={"2016": 0.022, "2025": 0.37})
    assert gate.verdict == "review"
    (reason,) = gate.reasons
    assert "3,841.0 to 66,813.0 ha, 17.39 times (2.2% of 2016, 37.0% of 2025 is called mine)" in reason
    assert "--labels-after" in reason


@pytest.mark.parametrize("date", ["2016", "2025"])
@pytest.mark.parametrize(("share", "verdict_is"), [(0.05, "plausible"), (0.051, "review")])
def test_values_unlike_training_want_a_person(date: str, share: float, verdict_is: str) -> None:
    gate = verdict(drift={**GOOD.drift, date: share})
    assert gate.verdict == verdict_is
    assert all(f"{share:.1%} of the values of {date}" in reason for reason in gate.reasons)


@pytest.mark.parametrize(("hidden", "verdict_is"), [(0.5, "plausible"), (0.51, "review"), (1.0, "review")])
def test_labels_mostly_hidden_want_a_person(hidden: float, verdict_is: str) -> None:
    gate = verdict(unobserved_share=hidden)
    assert gate.verdict == verdict_is
    assert all(f"{hidden:.0%} of the labelled hectares are hidden" in reason for reason in gate.reasons)


@pytest.mark.parametrize(
    ("shift_px", "verdict_is"), [(None, "plausible"), (0.0, "plausible"), (1.0, "plausible"), (1.01, "review")]
)
def test_dates_more_than_a_pixel_apart_want_a_person(shift_px: float | None, verdict_is: str) -> None:
    gate = verdict(shift_px=shift_px)
    assert gate.verdict == verdict_is
    assert gate.plausible is True
    assert all(f"{shift_px:.2f} px apart" in reason and "--correct-shift" in reason for reason in gate.reasons)


@pytest.mark.parametrize(
    ("drift", "verdict_is"),
    [
        ({}, "plausible"),
        ({"B2": 0.3, "B4": -0.3}, "plausible"),
        ({"B2": 0.31}, "review"),
        ({"B2": -0.31, "B4": 0.1}, "review"),
    ],
)
def test_ground_that_drifted_between_the_dates_wants_a_person(drift: dict[str, float], verdict_is: str) -> None:
    gate = verdict(band_drift=drift)
    assert gate.verdict == verdict_is
    assert all(f"B2 {drift['B2']:+.0%}" in r and "B4" not in r and "--match-radiometry" in r for r in gate.reasons)


@pytest.mark.parametrize(
    ("matched", "plain", "verdict_is"),
    [
        (110, 100, "plausible"),
        (90, 100, "plausible"),
        (110.1, 100, "review"),
        (89.9, 100, "review"),
        (4.6, 46.8, "review"),
        (5, 0, "review"),
        (0, 0, "plausible"),
    ],
)
def test_matching_that_moves_the_hectares_much_wants_a_person(matched: float, plain: float, verdict_is: str) -> None:
    gate = verdict(matching_ha=(matched, plain))
    assert gate.verdict == verdict_is
    assert all(f"from {plain:,.1f} to {matched:,.1f} ha" in reason for reason in gate.reasons)


def test_no_labels_is_unknown_unless_a_sign_shows() -> None:
    bare: dict[str, Any] = {"agreements": ()}
    gate = verdict(**bare)
    assert (gate.verdict, gate.plausible) == ("unknown", None)
    assert len(gate.reasons) == 1
    assert verdict(**bare, mine_share={"2016": 0.0}).verdict == "implausible"
    assert verdict(**bare, drift={"2025": 0.5}).verdict == "review"


def test_hard_signs_are_told_together_and_before_soft_ones() -> None:
    gate = verdict(
        agreements=[replace(VALIDATION, predicted_ha=300)], mine_share={"2016": 0.95}, drift={"2025": 0.5}, shift_px=2
    )
    assert gate.verdict == "implausible"
    signs = ("300.0 ha against 100.0 ha", "95.0% of 2016", "50.0% of the values", "2.00 px")
    assert len(gate.reasons) == len(signs)
    assert all(sign in reason for sign, reason in zip(signs, gate.reasons, strict=True))


LOOSEST = GateSettings(
    gate_low=0.01,
    gate_high=20,
    gate_iou=0,
    gate_one_class=1,
    gate_edge=1,
    review_iou=0,
    review_growth=100,
    review_shift_px=5,
    review_drift=2,
    review_matching=1,
    review_values=1,
    review_unobserved=1,
)
FAR = replace(
    GOOD,
    agreements=[replace(LABELLED_DATE, predicted_ha=66_813, iou=0.06, rule_iou=0.03)],
    mine_share={"2016": 0.02, "2025": 0.95},
    rim_share={"2025": (0.5, 0.01)},
    after_ha=39_000,
    drift={"2025": 0.9},
    shift_px=4.9,
    band_drift={"B2": 1.9},
    matching_ha=(2, 1),
    unobserved_share=0.9,
)


def test_every_limit_is_a_setting() -> None:
    assert judge(FAR, LOOSEST) == Gate("plausible", ())
    reasons = {
        name: judge(FAR, LOOSEST.model_copy(update={name: getattr(LIMITS, name)})).reasons
        for name in GateSettings.model_fields
        if name not in ("gate_low", "gate_edge_excess")
    }
    assert {name: len(found) for name, found in reasons.items()} == dict.fromkeys(reasons, 1)
    assert len({found[0] for found in reasons.values()}) == len(reasons), "each limit has a sign of its own"
    assert judge(FAR, LOOSEST.model_copy(update={"gate_edge": 0.05, "gate_edge_excess": 60})).verdict == "plausible"
    assert judge(GOOD, LIMITS.model_copy(update={"gate_low": 0.96})).verdict == "implausible"


shares = st.floats(0, 1)
hectares = st.floats(0, 1e5)
agreements = st.lists(
    st.builds(Agreement, st.just("on some ground"), hectares, hectares, st.none() | shares, shares, shares), max_size=3
)


@given(agreements, shares, shares, shares, hectares, hectares)
def test_every_reason_carries_figures(
    found: list[Agreement], mine: float, rim: float, hidden: float, before: float, after: float
) -> None:
    gate = verdict(
        agreements=found,
        mine_share={"2016": mine},
        rim_share={"2016": (rim, mine)},
        unobserved_share=hidden,
        before_ha=before,
        after_ha=after,
    )
    assert (gate.verdict == "plausible") == (not gate.reasons)
    if gate.verdict != "unknown":
        assert all(any(c.isdigit() for c in reason) for reason in gate.reasons)
    assert all(reason.endswith(".") for reason in gate.reasons)
