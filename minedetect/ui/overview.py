"""The first page: what this is, what was found, and what is being worked on."""

from __future__ import annotations

from typing import Any

import streamlit as st

from minedetect import draft as drafts
from minedetect import jobs
from minedetect.runs import STATUS, SUMMARY, Run, list_runs, open_run
from minedetect.ui import device, frame, results, watch, words

MOST_SHOWN = 20


def introduction() -> None:
    """What this is in one sentence, and what it computes on."""
    st.markdown(
        "**minedetect** takes two satellite images of one district and a few mine outlines, "
        "and says in hectares where mining is new, where it has gone and where it stays."
    )
    st.caption(f"This computer works on: {words.literal(device.line())}")


def demo_button() -> bool:
    """The button that builds the built-in district; False where that is done or being done."""
    with frame.in_words():
        return _offer_demo(open_run(jobs.DEMO))
    return True


def _offer_demo(run: Run) -> bool:
    status = run.status()
    if status.state == "done" or jobs.is_active(status):
        return False
    st.markdown("Try it on an invented district whose hectares are known. It needs no data and no network.")
    label = "Build the built-in district" if status.state == "new" else "Build the built-in district again"
    if st.button(label, type="primary"):
        jobs.start_demo()
        st.rerun()
    return True


def runs(lead_to_results: bool) -> None:
    """Every run, the latest first.

    Args:
        lead_to_results: whether opening the latest result is the main thing to do on the page.
    """
    frame.section("Runs")
    found = list_runs()
    if not found:
        st.info("There is no run yet. Build the built-in district above to see what a result looks like.")
    latest = next((run for run in found if run.has(SUMMARY)), None)
    for run in found[:MOST_SHOWN]:
        with st.container(border=True), frame.in_words():
            card(run, main=lead_to_results and run == latest)
    if len(found) > MOST_SHOWN:
        st.caption(f"The latest {MOST_SHOWN} of {len(found)} runs. Every run can be chosen on the page Results.")


def in_the_making() -> None:
    """Drafts whose runs have not begun, and what each still lacks."""
    found = drafts.list_drafts()
    if not found:
        return
    frame.section("In the making")
    for run in found[:MOST_SHOWN]:
        with st.container(border=True), frame.in_words():
            st.page_link(frame.DATA, label=words.literal(run.name), query_params={"run": run.name})
            missing = drafts.read(run).missing()
            st.caption(words.literal(" ".join(missing)) or "All files and years are given. It has not been started.")
    if len(found) > MOST_SHOWN:
        st.caption(f"The latest {MOST_SHOWN} of {len(found)} drafts. Every one can be chosen on the page Data.")


def card(run: Run, main: bool) -> None:
    """One run: its state, how far it is, what it found, and the way to its results."""
    status = run.status()
    summary = results.read(run, SUMMARY) if status.state == "done" else None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(words.literal(run.name), anchor=False, width="content")
        frame.badge(words.STATES[status.shown_state()])
        if summary:
            frame.badge(results.verdict_badge(summary))
        st.caption(words.ago(run.path(STATUS).stat().st_mtime), width="content")
    watch.progress(run)
    if summary:
        figures(summary)
    elif status.state == "done":
        st.caption("It compared no dates, so it has no hectares of change.")
    if status.state == "done":
        frame.open_results(run, main)


def figures(summary: dict[str, Any]) -> None:
    """The headline hectares on one line."""
    with st.container(horizontal=True, gap="medium"):
        for year in summary.get("years", ()):
            label = f"Mining in {words.literal(year)}"
            st.metric(label, words.hectares(results.part(summary, "hectares").get(year)), width="content")
        st.metric(words.NEW, words.hectares(summary.get("new_ha")), width="content")
        st.metric(words.GONE, words.hectares(summary.get("gone_ha")), width="content")
        st.metric("Net change", words.hectares(summary.get("net_ha"), sign=True), width="content")
