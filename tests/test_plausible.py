"""The gate: a figure that cannot be true is never called a result, and every reason carries figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.config import GateSettings
from minedetect.plausible import Evidence, Gate, Ratio, judge

LIMITS = GateSettings()
GOOD = Evidence(
    validation=Ratio(95, 100),
    labelled_date=Ratio(3900, 3841),
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


def test_good_evidence_is_plausible_without_reasons() -> None:
    assert judge(GOOD, LIMITS) == Gate("plausible", ())
    assert judge(GOOD, LIMITS).plausible is True


def test_the_notebook_of_seventeen_times_the_labels_is_implausible() -> None:
    gate = verdict(labelled_date=Ratio(66_813, 3841))
    assert gate.verdict == "implausible"
    assert gate.plausible is False
    assert any("66,813.0 ha against 3,841.0 ha" in reason and "17.39 times" in reason for reason in gate.reasons)


@pytest.mark.parametrize("field", ["validation", "labelled_date"])
@pytest.mark.parametrize(
    ("predicted", "verdict_is"),
    [(0, "implausible"), (49.9, "implausible"), (50, "plausible"), (200, "plausible"), (200.1, "implausible")],
)
def test_predicted_hectares_lie_within_half_and_double(field: str, predicted: float, verdict_is: str) -> None:
    assert verdict(**{field: Ratio(predicted, 100)}).verdict == verdict_is


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


def test_drift_and_hidden_labels_want_a_person() -> None:
    drifted, hidden = verdict(drift={"2025": 0.2}), verdict(unobserved_share=0.6)
    assert (drifted.verdict, hidden.verdict) == ("review", "review")
    assert "20.0% of the values of 2025" in drifted.reasons[0]
    assert "60%" in hidden.reasons[0]


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
    bare = {"validation": None, "labelled_date": None}
    gate = verdict(**bare)
    assert (gate.verdict, gate.plausible) == ("unknown", None)
    assert len(gate.reasons) == 1
    assert verdict(**bare, mine_share={"2016": 0.0}).verdict == "implausible"
    assert verdict(**bare, drift={"2025": 0.5}).verdict == "review"


def test_hard_signs_are_told_together_and_before_soft_ones() -> None:
    gate = verdict(validation=Ratio(300, 100), mine_share={"2016": 0.95}, drift={"2025": 0.5})
    assert gate.verdict == "implausible"
    assert len(gate.reasons) == 2


def test_limits_are_settings() -> None:
    wide = GateSettings(
        gate_low=0.01, gate_high=20, review_growth=100, review_shift_px=5, review_drift=2, review_matching=1
    )
    far = replace(
        GOOD,
        labelled_date=Ratio(66_813, 3841),
        after_ha=39_000,
        shift_px=4.9,
        band_drift={"B2": 1.9},
        matching_ha=(2, 1),
    )
    assert judge(far, wide).verdict == "plausible"
    narrow = GateSettings(gate_low=0.99, gate_high=1.01, review_growth=1.01)
    assert judge(GOOD, narrow).verdict == "implausible"


shares = st.floats(0, 1)
ratios = st.none() | st.builds(Ratio, st.floats(0, 1e5), st.floats(0, 1e5))


@given(ratios, ratios, shares, shares, shares, st.floats(0, 1e5), st.floats(0, 1e5))
def test_every_reason_carries_figures(
    validation: Ratio | None, whole: Ratio | None, mine: float, rim: float, hidden: float, before: float, after: float
) -> None:
    gate = verdict(
        validation=validation,
        labelled_date=whole,
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
