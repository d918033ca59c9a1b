"""What every page has: the heading, errors in words, badges, and the way to the other pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from minedetect import server
from minedetect.errors import MinedetectError
from minedetect.runs import Run
from minedetect.ui import words

OVERVIEW = server.PAGES / "overview.py"
DATA = server.PAGES / "data.py"
MASK = server.PAGES / "mask.py"
TRAIN = server.PAGES / "train.py"
RESULTS = server.PAGES / "results.py"
COMPARE = server.PAGES / "compare.py"


@contextmanager
def page(title: str) -> Iterator[None]:
    """A page's frame: its heading, and what a user can mend as one sentence."""
    st.title(title, anchor=False)
    with in_words():
        yield


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what a user can mend into one sentence on the page; the rest of the page goes on."""
    try:
        yield
    except MinedetectError as error:
        st.error(words.literal(error))
    except OSError as error:
        st.error(f"A file could not be read or written: {words.literal(error.strerror or error)}\\.")


def section(title: str) -> None:
    """A heading within a page."""
    st.header(title, anchor=False)


def badge(shown: words.Badge) -> None:
    """A coloured word."""
    st.badge(shown.word, color=shown.colour)


def open_results(run: Run, main: bool) -> None:
    """A button that leads to a run's results; `main` where it is what the page is for."""
    if st.button("Open results", key=f"open {run.name}", type="primary" if main else "secondary"):
        st.switch_page(RESULTS, query_params={"run": run.name})
