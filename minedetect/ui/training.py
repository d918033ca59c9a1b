"""One run's training: live while it works, what it learned when it ended, and how healthy that looks."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import streamlit as st

from minedetect import health
from minedetect.config import Settings
from minedetect.curves import Epoch, of_older_version
from minedetect.presets import settings_from
from minedetect.runs import CONFIG, EVALUATION, METRICS, Run, Status
from minedetect.trends import best
from minedetect.ui import charts, frame, results, watch, words
from minedetect.ui.networks import Networks, networks_of

RECENT = 5
"""Epochs whose seconds foretell those to come: early ones may have been slower."""

NO_CURVES = {
    "queued": "The curves appear when the first epoch is done.",
    "running": "The curves appear when the first epoch is done.",
    "done": "This run trained nothing, so it has no curves.",
}


def show(run: Run) -> bool:
    """Progress or outcome, curves and health of one run.

    Returns:
        Whether the page's main button was given: to resume, to start anew or to see the results.
    """
    active, status = watch.progress(run, _figures, main=True), run.status()
    if status.state == "done":
        frame.open_results(run, main=True)
    if not active:
        _figures(run, status)
    _explain(run, networks_of(run).last)
    return active or status.state == "done" or watch.can_go_on(run)


def _figures(run: Run, status: Status) -> None:
    """How far and how fast, the curves, and what they say; a word where there is nothing."""
    networks = networks_of(run)
    if not networks.last:
        usual = NO_CURVES.get(status.shown_state(), "No epoch was finished, so there are no curves.")
        st.caption(words.OLDER_CURVES if of_older_version(run.path(METRICS)) else usual)
        return
    settings = asked(run)
    _speed(status, networks, settings.epochs if settings else status.total // networks.count)
    if networks.count > 1:
        st.caption(networks.caption())
    charts.curves(networks.last)
    if settings:
        _health(health.signs(networks.last, settings))


def asked(run: Run) -> Settings | None:
    """What the training was asked for; None where that is not known, which is said on the page."""
    content = results.read(run, CONFIG)
    if content is None:
        return None
    known = {key: value for key, value in results.part(content, "settings").items() if key in Settings.model_fields}
    with frame.in_words():
        return settings_from(known, gpu=False)
    return None


def _speed(status: Status, networks: Networks, epochs: int) -> None:
    last, kept = networks.last[-1], best(networks.last)
    with st.container(horizontal=True, gap="medium"):
        if networks.count > 1:
            st.metric("Network", f"{networks.number} of {networks.count}", width="content")
        st.metric("Epoch", f"{last.epoch} of {epochs}", width="content")
        st.metric("Best IoU", f"{kept.iou:.2f} (epoch {kept.epoch})" if kept else words.UNKNOWN, width="content")
        st.metric("Patches per second", f"{last.patches_per_s:.3g}", width="content")
        st.metric("Memory", words.size(int(1e6 * last.memory_mb)), width="content")
        if status.state == "running" and status.step == "train":
            left = words.duration(left_s(networks, epochs))
            told = "If every epoch is needed; training ends earlier where the IoU no longer gets better."
            st.metric("Time left, at most", left, help=told, width="content")
        elif status.state == "done":
            st.metric("Trained for", words.duration(networks.seconds), width="content")


def left_s(networks: Networks, epochs: int) -> float:
    """Seconds until all epochs of all networks are done, at the pace of the recent ones."""
    left = max(0, epochs - networks.last[-1].epoch) + networks.waiting * epochs
    return left * fmean(row.seconds for row in networks.last[-RECENT:])


def _health(signs: Sequence[health.Sign]) -> None:
    frame.section("Training health")
    for sign in signs:
        st.markdown(f"{words.HEALTH[sign.verdict]} **{words.literal(sign.name)}:** {words.with_flags(sign.message)}")


def _explain(run: Run, history: Sequence[Epoch]) -> None:
    """What the figures mean, and which are good for this very run."""
    with st.expander("What loss, IoU and Dice mean, and which values are good"):
        st.markdown("".join(f"- {line}\n" for line in meanings(run, history)))


def meanings(run: Run, history: Sequence[Epoch]) -> list[str]:
    """The measures in plain words, with this run's own baselines, as Markdown."""
    evaluation = results.read(run, EVALUATION) or {}
    rule, everything = words.number(evaluation.get("baseline_iou")), words.number(evaluation.get("all_mine_iou"))
    if everything is None and history:
        everything = history[-1].mine_share  # what is called mine anyway shares all the labelled ground
    index = words.literal(evaluation.get("baseline") or "none known")
    lines = [
        "**Loss** is what training makes small: how far the model's answers are from the labels. Only its fall "
        "counts, for its level depends on weights and augmentation. It is measured on the training tiles, and on "
        "the validation ground, which the model never learns from.",
        "**IoU** compares the ground called mine with the ground labelled as mine: what both share, as a part of "
        "what either covers. 0 is nothing in common and 1 is perfect. The epoch with the best IoU is kept.",
        "**Dice** is the same overlap counted another way, 2 x IoU / (1 + IoU), and always a little higher.",
    ]
    if everything is not None:
        lines.append(
            f"Calling all ground mine would score an IoU of {everything:.2f} here: anything near it is a guess."
        )
    if rule is not None:
        lines.append(
            f"The best rule on a single index ({index}) scores {rule:.2f} on this run's validation ground: "
            "the model is worth its training where it is clearly above that."
        )
    else:
        lines.append("When the training is done, the best rule on a single index is scored beside the model.")
    return lines
