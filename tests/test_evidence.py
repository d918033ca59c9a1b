import numpy as np

from minedetect.config import GateSettings
from minedetect.evidence import count_classes, mine_share, rim_share
from minedetect.plausible import Agreement, Evidence, judge


def evidence(rim: tuple[float, float]) -> Evidence:
    good = Agreement("on some ground", 100.0, 100.0, iou=0.9, rule_iou=0.2, guess_iou=0.02)
    return Evidence([good], {"2016": 0.02}, {"2016": rim}, 100.0, 110.0, {}, None, {}, None, 0.0)


def test_a_mine_at_the_edge_reaches_inward_an_artefact_does_not() -> None:
    mine = np.zeros((200, 200), np.uint8)
    mine[60:140, :50] = 1
    assert judge(evidence(rim_share(mine)), GateSettings()).verdict == "plausible"
    artefact = np.zeros((200, 200), np.uint8)
    artefact[:, :6] = 1
    assert judge(evidence(rim_share(artefact)), GateSettings()).verdict == "implausible"


def test_unobserved_pixels_are_in_no_share() -> None:
    classes = np.array([[1, 0, 255, 255]], np.uint8)
    assert mine_share(classes) == 0.5
    assert mine_share(np.full((2, 2), 255, np.uint8)) == 0.0


def test_scores_count_only_what_both_know() -> None:
    classes = np.array([[1, 1, 0, 255]], np.uint8)
    labels = np.array([[1, 255, 1, 1]], np.uint8)
    counts = count_classes(classes, labels)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (1, 0, 1, 0)
