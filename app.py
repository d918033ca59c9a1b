"""The launcher: `minedetect app` and `streamlit run app.py` both end here."""

import streamlit as st

from minedetect import server
from minedetect.ui import routes, warm

app = st.App(server.MAIN, routes=routes.routes(), lifespan=warm.lifespan)

warm.load()
