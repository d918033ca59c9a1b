"""The sentences on a model's scores say which score to quote, and are never code."""

from typing import Any

from ui_support import EVALUATION, HOSTILE

from minedetect.ui.scores import sentences

TEST = {"iou": 0.51, "predicted_ha": 300.0, "labelled_ha": 280.0, "mines": 2}


def told(**changes: Any) -> str:
    return " ".join(sentences({**EVALUATION, **changes}))


def test_calling_everything_mine_is_among_the_rules() -> None:
    assert "a guess that calls everything mine reaches 0.022" in told(all_mine_iou=0.022)
    assert "a guess that calls everything mine reaches not known" in told()


def test_the_score_of_the_test_part_is_the_one_to_quote() -> None:
    assert "expect slightly lower scores elsewhere" in told()
    with_test = told(test=TEST)
    assert "expect slightly lower" not in with_test
    assert "overlap (IoU) 0.51" in with_test
    assert "280.0 ha are labelled" in with_test


def test_a_threshold_set_by_hand_was_not_chosen() -> None:
    assert "was set by hand" in told(chosen_on_validation=["epoch", "calibration"])
    assert "was set by hand" not in told(chosen_on_validation=["epoch", "calibration", "threshold"])


def test_warnings_come_first_and_as_text() -> None:
    for text in HOSTILE:
        (first, *_), plain = sentences({**EVALUATION, "warnings": [text]}), sentences(EVALUATION)
        assert first.startswith("**Warning, validation ground:** ")
        assert text not in first
        assert len(plain) == len(sentences({**EVALUATION, "warnings": [7, None]}))
    assert "test ground" in told(test={**TEST, "warnings": ["far off"]})


def test_a_damaged_test_part_is_none() -> None:
    assert told(test=[1, 2]) == told()
