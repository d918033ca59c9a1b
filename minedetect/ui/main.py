"""The main script: which pages there are. The launcher beside the package serves it."""

from pathlib import Path

import streamlit as st

from minedetect.ui import frame

st.set_page_config(page_title="minedetect", page_icon="⛏️", layout="wide")
st.html(Path(__file__).parent / "assets" / "app.css")
st.navigation(
    [
        st.Page(frame.OVERVIEW, title="Overview", default=True),
        st.Page(frame.DATA, title="Data"),
        st.Page(frame.MASK, title="Mask"),
        st.Page(frame.TRAIN, title="Train"),
        st.Page(frame.RESULTS, title="Results"),
        st.Page(frame.COMPARE, title="Compare"),
    ],
    position="top",
).run()
