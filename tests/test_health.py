from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect import health
from minedetect.config import TrainingSettings
from minedetect.curves import Epoch
from minedetect.health import Sign, signs, summary
from minedetect.presets import PRESETS, settings_from

Curve = Callable[[int], float]

SETTINGS = TrainingSettings(epochs=100, learning_rate=2e-3, early_stop_epochs=30)


def always(value: float) -> Curve:
    return lambda _: value


def falling(epoch: int) -> float:
    return 0.2 + 0.7 * 0.93**epoch


def rising(epoch: int) -> float:
    return 0.65 * (1 - 0.93**epoch)


def history(
    epochs: int,
    train: Curve = falling,
    validation: Curve = falling,
    iou: Curve = rising,
    called_mine: Curve = lambda _: 0.02,
) -> list[Epoch]:
    """Made-up epochs of a scene with 2 % of mines, healthy in all that is not given."""
    return [
        Epoch(
            epoch=n,
            train_loss=train(n),
            validation_loss=validation(n),
            iou=iou(n),
            dice=2 * iou(n) / (1 + iou(n)),
            precision=0.5,
            recall=0.5,
            learning_rate=2e-3,
            seconds=1.0,
            patches_per_s=20.0,
            memory_mb=500.0,
            predicted_share=called_mine(n),
            mine_share=0.02,
            kept_epoch=max((m for m in range(1, n + 1) if math.isfinite(iou(m))), key=iou, default=0),
        )
        for n in range(1, epochs + 1)
    ]


def sign(name: str, rows: Sequence[Epoch], settings: TrainingSettings = SETTINGS) -> Sign | None:
    return next((found for found in signs(rows, settings) if found.name == name), None)


def verdict(name: str, rows: Sequence[Epoch], settings: TrainingSettings = SETTINGS) -> str:
    found = sign(name, rows, settings)
    return found.verdict if found else "not told"


def noisy(curve: Curve, spread: float, seed: int) -> Curve:
    source = random.Random(seed)
    drawn = [source.gauss(0, spread) for _ in range(200)]
    return lambda epoch: curve(epoch) * (1 + drawn[epoch])


def test_a_healthy_training_has_good_signs_only() -> None:
    found = signs(history(30), SETTINGS)
    assert [s.name for s in found] == ["Loss", "Scores", "Over-fitting", "Both classes"]
    assert {s.verdict for s in found} == {"good"}
    assert summary(found) == "The training looks healthy."


@pytest.mark.parametrize("epochs", [0, 1, health.TOO_EARLY - 1])
def test_few_epochs_tell_nothing(epochs: int) -> None:
    (only,) = signs(history(epochs), SETTINGS)
    assert only.name == "Too early"
    assert "too early to tell" in only.message


def test_the_loss_falls_or_does_not() -> None:
    assert verdict("Loss", history(10)) == "good"
    flat = sign("Loss", history(7, train=always(0.7)))
    assert flat is not None
    assert flat.verdict == "watch"
    assert "--learning-rate 0.0005" in flat.message


def by_heart(epoch: int) -> float:
    return 0.4 * 0.9**epoch + 0.2 + 0.012 * epoch


def test_a_validation_loss_that_rises_while_training_loss_falls_is_over_fitting() -> None:
    found = sign("Over-fitting", history(40, validation=by_heart))
    assert found is not None
    assert found.verdict in ("watch", "bad")
    assert "--band-jitter 0.2" in found.message
    assert "rose from 0.4" in found.message
    assert verdict("Over-fitting", history(120, validation=by_heart)) == "bad"


def test_a_higher_or_lower_level_alone_is_no_over_fitting() -> None:
    for level in (0.3, 2.0):
        assert verdict("Over-fitting", history(40, validation=lambda n, level=level: level * falling(n))) == "good"


def test_losses_that_rise_together_are_no_over_fitting() -> None:
    assert verdict("Over-fitting", history(40, train=by_heart, validation=by_heart)) == "not told"


def test_the_advice_against_over_fitting_is_something_not_done_yet() -> None:
    rows = history(40, validation=by_heart)
    tried = {"flips": False}, {"band_jitter": 0.3}, {"band_jitter": 0.3, "weight_decay": 0.01, "width": 32}
    for settings, flag in zip(tried, ("--flips", "--weight-decay 0.001", "--width 16"), strict=True):
        found = sign("Over-fitting", rows, SETTINGS.model_copy(update=settings))
        assert found is not None
        assert flag in found.message


def test_scores_rise_stay_or_fall_back() -> None:
    assert verdict("Scores", history(20)) == "good"
    assert verdict("Scores", history(7, iou=always(0.3))) == "watch"
    back = sign("Scores", history(30, iou=lambda n: 0.03 * min(n, 20) - 0.02 * max(0, n - 20)))
    assert back is not None
    assert "fell back from 0.5" in back.message
    assert "epoch 20 with IoU 0.60" in back.message


@pytest.mark.parametrize(("rate", "advised"), [(2e-3, "0.0005"), (4e-4, "0.0002"), (1e-6, "0.0005")])
def test_no_progress_is_stuck_with_another_rate_to_try(rate: float, advised: str) -> None:
    rows = history(12, train=always(0.7), validation=always(0.7), iou=always(0.02))
    stuck = sign("Stuck", rows, SETTINGS.model_copy(update={"learning_rate": rate}))
    assert stuck is not None
    assert stuck.verdict == "bad"
    assert f"--learning-rate {advised}." in stuck.message


def test_a_good_model_that_learns_no_more_is_watched_only() -> None:
    rows = history(60, *[lambda n: falling(min(n, 40))] * 2, lambda n: rising(min(n, 40)))
    assert verdict("Stuck", rows) == "watch"
    assert verdict("Stuck", rows[:42]) == "not told"


def test_hardly_any_mine() -> None:
    none = sign("One class", history(8, train=always(0.7), called_mine=always(0.0003)))
    assert none is not None
    assert none.verdict == "bad"
    assert "0.03 % of the validation ground is called mine and 2 % is labelled mine" in none.message
    assert "--mine-weight 10" in none.message
    assert "--learning-rate 0.001" in none.message
    assert verdict("One class", history(4, called_mine=always(0.0003))) == "watch"
    assert "wait" not in none.message
    assert verdict("One class", history(30, called_mine=always(0.0003))) == "bad"
    assert verdict("One class", history(8, called_mine=lambda n: 0.0 if n < 7 else 0.015)) == "not told"


def test_a_loss_that_still_falls_excuses_one_class_for_a_while() -> None:
    """As on the built-in district with the preset fast: nothing for ten epochs, then an IoU of 0.7."""
    losses = [1.04, 0.85, 0.76, 0.72, 0.66, 0.65, 0.58, 0.54, 0.51, 0.49]
    found = sign("One class", history(10, train=lambda n: losses[n - 1], iou=always(0), called_mine=always(0)))
    assert found is not None
    assert found.verdict == "watch"
    assert "wait while the training loss falls" in found.message


def test_nothing_but_mine() -> None:
    everything = sign("One class", history(8, called_mine=always(0.99)), SETTINGS)
    assert everything is not None
    assert "--mine-weight 1," in everything.message
    assert verdict("Both classes", history(8, called_mine=always(0.3))) == "good"


def test_mines_called_elsewhere_than_labelled_are_no_good_sign() -> None:
    """The shares alone may agree."""
    rows = history(8, iou=always(0.0), called_mine=always(0.05))
    found = sign("Wrong places", rows)
    assert found is not None
    assert found.verdict in ("watch", "bad")
    assert "elsewhere than labelled (IoU 0.00)" in found.message
    assert verdict("Both classes", rows) == "not told"
    assert verdict("Wrong places", history(8, iou=lambda n: 0.5 if n == 8 else 0.0)) == "not told"


def test_a_rising_loss_diverges() -> None:
    found = sign("Diverging", history(20, train=lambda n: falling(n) if n < 14 else 0.4 * 1.2 ** (n - 13)))
    assert found is not None
    assert found.verdict == "bad"
    assert "--learning-rate 0.0005" in found.message
    assert verdict("Diverging", history(20)) == "not told"
    assert verdict("Diverging", history(6, train=lambda n: 1.2**n)) == "bad"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_diverges_at_once(value: float) -> None:
    for broken in ("train", "validation"):
        rows = history(2, **{broken: lambda n: value if n == 2 else 0.7})
        (found,) = signs(rows, SETTINGS)
        assert (found.name, found.verdict) == ("Diverging", "bad")
        assert "epoch 2" in found.message


def test_one_bad_epoch_is_no_divergence() -> None:
    rows = history(30, train=lambda n: 3.0 if n == 25 else falling(n))
    assert all(verdict("Diverging", rows[:n]) == "not told" for n in range(1, 31))


def test_early_stop_is_told_when_near_and_when_reached() -> None:
    rows = history(40, iou=lambda n: rising(min(n, 10)))
    assert verdict("Early stop", rows[:20]) == "not told"
    near = sign("Early stop", rows[:26])
    assert near is not None
    assert near.verdict == "watch"
    assert "No better IoU for 16 epochs: after 30" in near.message
    assert "--early-stop-epochs 60" in near.message
    reached = sign("Early stop", rows)
    assert reached is not None
    assert reached.verdict == "good"
    assert "epoch 10" in reached.message


def test_the_end_is_the_best_or_asks_for_more() -> None:
    short = SETTINGS.model_copy(update={"epochs": 20})
    more = sign("End", history(20), short)
    assert more is not None
    assert more.verdict == "watch"
    assert "--epochs 30" in more.message
    assert verdict("End", history(20, iou=lambda n: rising(min(n, 10))), short) == "good"
    assert verdict("End", history(19), short) == "not told"


def test_a_training_without_any_score_says_so() -> None:
    rows = history(12, iou=always(math.nan))
    assert verdict("Scores", rows) == "watch"
    assert verdict("Scores", history(12, iou=lambda n: math.nan if n < 4 else rising(n))) == "good"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("spread", [0.05, 0.1, 0.2])
def test_noise_on_an_improving_curve_is_neither_stuck_nor_diverging(seed: int, spread: float) -> None:
    train = noisy(lambda n: 0.9 - 0.01 * n, spread, 3 * seed)
    validation = noisy(lambda n: 0.8 - 0.01 * n, spread, 3 * seed + 1)
    rows = history(60, train, validation, noisy(lambda n: 0.01 * n, spread, 3 * seed + 2))
    for epochs in range(1, 61):
        assert not {s.name for s in signs(rows[:epochs], SETTINGS)} & {"Stuck", "Diverging"}, epochs


def test_the_summary_tells_the_worst_alone_in_one_sentence() -> None:
    found = [
        Sign("A", "good", "Fine."),
        Sign("B", "watch", "Look: 0.5."),
        Sign("C", "bad", "Act."),
        Sign("D", "bad", "Now."),
    ]
    assert summary(found) == "Bad: Act; Now."
    assert summary(found[:2]) == "Watch: Look: 0.5."


numbers = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 1), st.just(math.nan))
rows_of_anything = st.lists(st.tuples(*[numbers] * 12), max_size=40).map(
    lambda rows: [Epoch(n, *row, random.Random(n).randint(0, n)) for n, row in enumerate(rows, start=1)]
)
any_settings = st.builds(
    lambda preset, more: settings_from({"preset": preset, **more}, gpu=False),
    st.sampled_from(list(PRESETS)),
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 1000),
            "early_stop_epochs": st.integers(1, 1000),
            "learning_rate": st.floats(1e-12, 0.1),
            "mine_weight": st.floats(0, 100),
        },
    ),
)


@given(rows_of_anything, any_settings)
def test_any_history_gives_signs_in_one_sentence(rows: list[Epoch], settings: TrainingSettings) -> None:
    found = signs(rows, settings)
    assert found
    for one in found:
        assert one.message.endswith(".")
        assert "\n" not in one.message
    assert summary(found)


steps = st.lists(st.floats(0.01, 1), min_size=1, max_size=60)


@given(steps, any_settings)
def test_a_history_that_only_gets_better_has_no_bad_sign(gains: list[float], settings: TrainingSettings) -> None:
    level = [sum(gains[: n + 1]) / (sum(gains) + 1) for n in range(len(gains))]

    def better(epoch: int) -> float:
        return 0.05 + 0.9 * level[epoch - 1]

    rows = history(len(gains), lambda n: 1 - better(n), lambda n: 1.2 - better(n), better)
    assert all(one.verdict != "bad" for one in signs(rows, settings))
