"""The main script: which pages there are. The launcher beside the package serves it."""

import streamlit as st

from minedetect.ui import frame

st.set_page_config(page_title="minedetect", page_icon="⛏️", layout="wide")
st.navigation(
    [
        st.Page(frame.OVERVIEW, title="Overview", default=True),
        st.Page(frame.RESULTS, title="Results"),
    ],
    position="top",
).run()
