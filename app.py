"""The launcher: `minedetect app` and `streamlit run app.py` both end here."""

import streamlit as st

from minedetect.ui import server, warm

app = st.App(server.MAIN)

warm.load()
