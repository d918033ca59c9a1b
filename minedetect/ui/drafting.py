"""Which draft a page is about, and how what the user does gets into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from minedetect import draft as drafts
from minedetect import jobs
from minedetect.draft import Draft
from minedetect.errors import RunError
from minedetect.runs import DRAFT, STATUS, Run, named_run
from minedetect.ui import choice, frame, words

NEW = "A new run"
CHOICE, NAME, HELD = "chosen draft", "name of the draft", "held for"


def asked_for() -> Run | None:
    """The run named in the page's address, or seen last, where it has a draft.

    Raises:
        RunError: the address names no run with a draft, or is no name at all.
    """
    asked = st.query_params.get("run")
    name = asked or st.session_state.get(choice.LAST)
    run = named_run(name) if name else None
    if run is None or not run.has(DRAFT):
        if asked:
            st.info(f"The run {words.literal(asked)} was not put together on these pages. Begin a new one here.")
        return None
    remember(run)
    return run


def remember(run: Run) -> None:
    """Keep a draft in the address, so that a reload and a bookmark find it."""
    st.query_params["run"] = st.session_state[choice.LAST] = run.name


def chooser(run: Run | None) -> None:
    """Choose another draft, or name the new one; says so where the run has begun already."""
    names = [draft.name for draft in drafts.list_drafts()]
    if run is not None and run.name not in names:
        names.insert(0, run.name)
    st.session_state[CHOICE] = run.name if run else NEW
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if names:
            st.selectbox("Run", [NEW, *names], key=CHOICE, on_change=_follow, width=300)
        if run is None:
            st.session_state.setdefault(NAME, drafts.unused_name())
            st.text_input("Name of the new run", key=NAME, max_chars=100, width=300)
        elif run.has(STATUS):
            frame.badge(words.STATES[run.status().shown_state()])
    if run is not None and run.has(STATUS):
        at_work = jobs.is_active(run.status())
        told = "is being worked on" if at_work else "was started before"
        st.info(f"This run {told}. What you change here counts when it is started again.")


def _follow() -> None:
    chosen = st.session_state[CHOICE]
    st.session_state.pop(NAME, None)
    st.session_state.pop(choice.LAST, None)
    st.query_params.pop("run", None)
    if chosen != NEW:
        st.query_params["run"] = chosen


def change(run: Run | None, what: Callable[[Draft], Draft]) -> None:
    """Change the draft of a run; a new one is put on disk now that there is something to keep.

    Raises:
        RunError: the new run's name is taken or no name, or the draft is damaged.
    """
    if run is not None:
        drafts.update(run, what)
        return
    name = str(st.session_state.get(NAME, "")).strip()
    drafts.require_free(name)
    # Remembered first: Streamlit may end this run at its next call, and the run after it must not begin another draft.
    st.session_state[choice.LAST] = name
    try:
        drafts.update(drafts.create(name), what)
    except RunError:
        st.session_state.pop(choice.LAST, None)
        raise
    remember(named_run(name))


def showing(key: str, value: Any) -> None:
    """Let a widget show what the draft holds, where that is not what it showed last.

    Set at every run, it would take away what is typed while the page runs.
    """
    if key not in st.session_state or st.session_state.get(f"{HELD} {key}", value) != value:
        st.session_state[key] = value
    st.session_state[f"{HELD} {key}"] = value


def shown(key: str) -> Any:
    """What the user has just done to a widget, now to be held by the draft."""
    st.session_state[f"{HELD} {key}"] = st.session_state[key]
    return st.session_state[key]


def nothing_yet() -> None:
    """For pages that need a draft where there is none."""
    st.info("There is no run in the making. Give its images and outlines on the page Data first.")
    st.page_link(frame.DATA, label="Go to Data")
