"""How good the model is: its scores in plain words, and how it learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import streamlit as st

from minedetect.curves import of_older_version
from minedetect.runs import METRICS, Run
from minedetect.ui import charts, frame, words
from minedetect.ui.networks import Networks, networks_of

EPOCHS = "epochs of"
SCORES = {
    "iou": ("Overlap (IoU)", "Shared ground of found and labelled mines, as a share of both together. 1 is perfect."),
    "dice": ("Overlap (Dice)", "The same overlap counted another way; always a little higher than IoU."),
    "precision": ("Precision", "How much of what was called mine is labelled as mine."),
    "recall": ("Recall", "How much of what is labelled as mine was found."),
}


def evaluation(content: Mapping[str, Any]) -> None:
    """The scores as figures, then as sentences."""
    frame.section("How well the model finds mines")
    for column, (key, (label, meaning)) in zip(st.columns(4), SCORES.items(), strict=True):
        column.metric(label, words.score(content.get(key)), help=meaning, border=True)
    st.markdown("".join(f"- {line}\n" for line in sentences(content)))


def sentences(content: Mapping[str, Any]) -> list[str]:
    """What the scores say, as Markdown sentences."""
    found, right = words.percent(content.get("recall")), words.percent(content.get("precision"))
    index = words.literal(content.get("baseline") or "none known")
    return [
        *_warnings(content),
        f"The model found {found} of the ground labelled as mine; {right} of what it called mine is labelled as mine.",
        f"Its overlap (IoU) is {words.score(content.get('iou'))}. The best rule on a single index ({index}) reaches "
        f"{words.score(content.get('baseline_iou'))}; a guess that calls everything mine reaches "
        f"{_guess(content.get('all_mine_iou'))}; finding no mine anywhere reaches "
        f"{words.score(content.get('all_background_iou'))}.{_worth(content)}",
        f"On the validation ground it found {words.hectares(content.get('predicted_ha'))} of mining; "
        f"the labels hold {words.hectares(content.get('labelled_ha'))}.",
        _ground(content),
        _interval(content.get("ci95")),
        _choice(content),
    ]


def _warnings(content: Mapping[str, Any]) -> list[str]:
    """What the file warns of, on validation and on test ground."""
    parts = (("validation", content), ("test", _test_of(content)))
    listed = [(part, told) for part, of in parts for told in of.get("warnings") or () if isinstance(told, str)]
    return [f"**Warning, {part} ground:** {words.literal(told)}" for part, told in listed]


def _test_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scores of the test part, empty where none was kept."""
    test = content.get("test")
    return test if isinstance(test, Mapping) else {}


def _guess(iou: object) -> str:
    """A score so small that two decimals would call it nothing."""
    shown = words.number(iou)
    return words.score(iou) if shown is None or shown >= 0.1 else f"{shown:.3f}"


def _choice(content: Mapping[str, Any]) -> str:
    """What the validation ground decided, and which score to quote."""
    chosen = content.get("chosen_on_validation")
    by_hand = isinstance(chosen, list) and "threshold" not in chosen
    threshold = words.score(content.get("threshold"))
    decided = (
        f"The same ground also chose when to stop; the threshold ({threshold}) was set by hand"
        if by_hand
        else f"The same ground also chose when to stop and the threshold ({threshold})"
    )
    test = _test_of(content)
    if not test:
        return f"{decided}, so expect slightly lower scores elsewhere."
    return (
        f"{decided}, so this score flatters. **The score to quote is that of the test ground, which chose nothing: "
        f"overlap (IoU) {words.score(test.get('iou'))}**, {words.hectares(test.get('predicted_ha'))} found where "
        f"{words.hectares(test.get('labelled_ha'))} are labelled, on {words.counted(test.get('mines'), 'mine')}."
    )


def _ground(content: Mapping[str, Any]) -> str:
    mines = words.counted(content.get("mines"), "mine")
    blocks = words.counted(content.get("blocks"), "separate block")
    pixels = words.counted(content.get("pixels"), "pixel")
    return f"Measured on ground that training never saw: {mines} in {blocks}, {pixels}."


def _worth(content: Mapping[str, Any]) -> str:
    model, rule = words.number(content.get("iou")), words.number(content.get("baseline_iou"))
    if model is None or rule is None or model > rule:
        return ""
    return " **The model is no better than that rule: do not rely on it.**"


def _interval(ci95: object) -> str:
    if isinstance(ci95, list) and len(ci95) == 2:
        return f"Over the blocks, the 95 % interval of IoU is {words.score(ci95[0])} to {words.score(ci95[1])}."
    return "There are too few separate blocks with mines to say how far chance moves these scores."


def learning_curve(run: Run) -> None:
    """Loss and overlap per epoch, as charts and as a table, once they are asked for: charts load slowly."""
    networks = networks_of(run)
    older = not networks.last and of_older_version(run.path(METRICS))
    if not networks.last and not older:
        return
    frame.section("How the model learned")
    if older:
        st.caption(words.OLDER_CURVES)
    else:
        st.fragment(_epochs)(run, networks)


def _epochs(run: Run, networks: Networks) -> None:
    with st.expander("Loss and overlap per epoch", key=f"{EPOCHS} {run.name}", on_change="rerun") as shown:
        if shown.open:
            if networks.count > 1:
                st.caption(networks.caption())
            charts.curves(networks.last)
            st.markdown("**The same as a table**")
            st.dataframe([asdict(row) for row in networks.last], hide_index=True)
