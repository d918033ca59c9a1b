"""Which run a page is about: the one in its address, the one picked, or the one seen last."""

from __future__ import annotations

import streamlit as st

from minedetect.draft import list_drafts
from minedetect.runs import Run, existing_run, list_runs, named_run
from minedetect.ui import frame, words

CHOICE = "chosen run"
LAST = "last run"


def chosen_run(drafts: bool = False) -> Run | None:
    """The run named in the page's address, or the one picked here, with its state; None where there is none.

    Args:
        drafts: whether runs that have not begun are among those to choose from.

    Raises:
        RunError: the address names a run that does not exist.
    """
    begun = [run.name for run in list_runs()]
    names = [*begun, *(run.name for run in list_drafts())] if drafts else begun
    if not names:
        st.info("There is no run yet. The page Overview builds one on an invented district; Data takes your own files.")
        st.page_link(frame.OVERVIEW, label="Go to Overview")
        st.page_link(frame.DATA, label="Go to Data")
        return None
    last = st.session_state.get(LAST)
    asked = st.query_params.get("run") or (last if last in names else names[0])
    known = asked in names
    st.session_state[CHOICE] = asked if known else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Run", names, 0 if known else None, key=CHOICE, placeholder="Choose a run", on_change=_follow, width=360
        )
        run = named_run(asked) if drafts and known else existing_run(asked)
        frame.badge(words.STATES[run.status().shown_state()])
    st.query_params["run"] = st.session_state[LAST] = run.name
    return run


def _follow() -> None:
    if st.session_state[CHOICE]:
        st.query_params["run"] = st.session_state[CHOICE]
