"""Data: the images and outlines of a run, checked as they arrive, and what only the user can say about them."""

import streamlit as st

from minedetect.ui import checking, data, drafting, frame, removal

with frame.page("Data"):
    # Places of their own: an upload would end if what stands above its zone moved it.
    head, progress, files = st.container(), st.container(), st.container()
    found = None
    with head:
        data.not_kept()
        removal.draft_gone()
        run = drafting.asked_for()
        drafting.chooser(run)
    with progress, frame.in_words():
        found = checking.followed(run) if run is not None else None
    with files:
        data.files(run, found)
        data.no_data_folder()
    data.about(run, found)
    if run is not None and found is not None:
        frame.section("Checks")
        checking.verdicts(found)
        data.quicklooks(run, found)
    data.onwards(run)
    removal.offer(run)
