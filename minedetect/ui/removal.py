"""On the page Data: uploads that nobody needs, and a draft that is not wanted, removed once that is confirmed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from minedetect import jobs, uploads
from minedetect.runs import STATUS, Run, home
from minedetect.ui import choice, drafting, frame, words
from minedetect.uploads import Upload

OPEN, CHOSEN, ASKED, REMOVED = "uploads", "uploads to remove", "uploads asked to remove", "uploads removed"
DRAFT_REMOVED = "draft deleted"
JUST_ARRIVED_S = 3600.0
"""Somebody may be about to use it: such a file is removed only when it is chosen itself."""


def offer(run: Run | None) -> None:
    """Uploaded files, looked through only while their list is open, and the draft that the page is about."""
    removed = st.session_state.pop(REMOVED, None)
    if removed:
        st.success(f"Removed: {removed}.")
    with st.expander("Uploaded files on this server", key=OPEN, on_change="rerun") as shown:
        if shown.open:
            with frame.in_words():
                _files(uploads.uploads())
    if run is not None and not run.has(STATUS):
        with st.expander("Delete this draft", key=f"delete draft {run.name}"):
            _draft(run)


def draft_gone() -> None:
    """Says so where a draft has just been deleted."""
    gone = st.session_state.pop(DRAFT_REMOVED, None)
    if gone:
        st.success(f"The draft {words.literal(gone)} is deleted.")


def _files(found: Sequence[Upload]) -> None:
    if not found:
        st.caption("No file was uploaded.")
        return
    st.dataframe(
        {
            "File": [upload.file.name for upload in found],
            "Used by": [", ".join(upload.users) or "nobody" for upload in found],
            "Size": [words.size(upload.file.size_bytes) for upload in found],
            "Arrived": [words.ago(upload.arrived_s) for upload in found],
        },
        hide_index=True,
        column_config={"File": st.column_config.Column(pinned=True, width=150)},  # on a phone the next one shows too
        width="stretch",
        height="content",
    )
    st.caption(
        f"A file that a run or a draft in {words.literal(home())} names is not offered for removal. Runs that were "
        "written elsewhere are not known here."
    )
    free = {upload.file.id: upload for upload in found if not upload.users}
    if free:
        _choice(free)


def _choice(free: dict[str, Upload]) -> None:
    st.session_state[CHOSEN] = [identity for identity in st.session_state.get(CHOSEN, []) if identity in free]
    chosen = st.multiselect(
        "Files to remove", list(free), format_func=lambda identity: _told(free[identity]), key=CHOSEN
    )
    old = [identity for identity, upload in free.items() if time.time() - upload.arrived_s > JUST_ARRIVED_S]
    with st.container(horizontal=True):
        st.button(
            f"Choose all that nobody uses, older than an hour ({len(old)})",
            disabled=not old,
            on_click=lambda: st.session_state.update({CHOSEN: old}),
            help="Files of the last hour are left out: somebody may be about to use them.",
        )
        st.button("Remove the chosen files", disabled=not chosen, on_click=_ask, args=(chosen,))
    asked = [free[identity] for identity in st.session_state.get(ASKED, []) if identity in free]
    if asked:
        _dialog(asked)


def _told(upload: Upload) -> str:
    return f"{upload.file.name} · {words.size(upload.file.size_bytes)} · {words.ago(upload.arrived_s)}"


def _ask(chosen: list[str]) -> None:
    """Kept until the dialog is closed, so that a page that runs again keeps it open."""
    st.session_state[ASKED] = list(chosen)


def _close() -> None:
    st.session_state.pop(ASKED, None)


@st.dialog("Remove uploaded files", on_dismiss=_close)
def _dialog(asked: Sequence[Upload]) -> None:
    listed = "".join(f"\n- {words.literal(_told(upload))}" for upload in asked)
    st.markdown(f"This removes {words.counted(len(asked), 'file')} from the server for good:{listed}")
    if st.button("Remove for good", type="primary"):
        with frame.in_words():
            _remove(asked)


def _remove(asked: Sequence[Upload]) -> None:
    """Remove files, and show the page without them.

    Raises:
        BadInput: a run or a draft needs one by now; none was removed.
    """
    _close()
    gone = uploads.remove([upload.file.id for upload in asked])
    freed = sum({file.sha256: file.size_bytes for file in gone}.values())
    st.session_state[REMOVED] = f"{words.counted(len(gone), 'file')}, {words.size(freed)}"
    st.rerun()


def _draft(run: Run) -> None:
    st.markdown(
        f"This removes what was given for **{words.literal(run.name)}**: years, settings and which files it uses. The "
        "files themselves stay."
    )
    sure = st.checkbox(f"Delete {words.literal(run.name)} for good", key=f"sure {run.name}")
    if st.button("Delete the draft", disabled=not sure):
        with frame.in_words():
            jobs.delete_draft(run)
            for key in (choice.LAST, drafting.NAME):
                st.session_state.pop(key, None)
            st.query_params.pop("run", None)
            st.session_state[DRAFT_REMOVED] = run.name
            st.rerun()
