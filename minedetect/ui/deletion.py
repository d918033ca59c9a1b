"""Deleting a run: only when its name is typed."""

from __future__ import annotations

import streamlit as st

from minedetect import jobs
from minedetect.errors import RunError
from minedetect.runs import Run, existing_run, list_runs
from minedetect.ui import comparison, frame, words

CHOICE, ASKED, TYPED, DELETED = "run to delete", "asked to delete", "name of the run to delete", "deleted run"


def offer() -> None:
    """Choose a run and delete it; says so when one was deleted."""
    names = [run.name for run in list_runs()]
    gone = st.session_state.pop(DELETED, None)
    if gone:
        st.session_state[CHOICE] = None  # the browser would go on showing it
        st.success(f"The run {words.literal(gone)} is deleted.")
    if not names:
        return
    frame.section("Delete a run")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Run to delete", names, None, placeholder="Choose a run", key=CHOICE, width=360)
        st.button("Delete this run", disabled=chosen is None, on_click=_ask, args=(chosen,))
    asked = st.session_state.get(ASKED)
    if asked in names:
        _dialog(existing_run(asked))


def _ask(name: str) -> None:
    """Kept until the dialog is closed, so that a page that runs again keeps it open."""
    st.session_state[ASKED] = name


def _close() -> None:
    st.session_state.pop(ASKED, None)


@st.dialog("Delete a run", on_dismiss=_close)
def _dialog(run: Run) -> None:
    st.markdown(
        f"This removes **{words.literal(run.name)}** for good: its model, maps, hectares and report. "
        "Files that were uploaded, and other runs, stay."
    )
    typed = st.text_input("Type the name of the run", key=TYPED)
    if st.button("Delete for good", type="primary"):
        with frame.in_words():
            _delete(run, typed)


def _delete(run: Run, typed: str) -> None:
    """Delete a run whose name was typed, and show the page without it.

    Raises:
        RunError: another name was typed, or the run cannot be deleted.
    """
    if typed.strip() != run.name:
        raise RunError(f"The name typed is {typed.strip()!r}, so nothing was deleted. Type {run.name}.")
    jobs.delete(run)
    comparison.forget(run)
    for key in (ASKED, TYPED):
        st.session_state.pop(key, None)
    st.session_state[DELETED] = run.name
    st.rerun()
