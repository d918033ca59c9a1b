"""The way through the pages, in five steps: what is done, and what is next."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from minedetect import draft as drafts
from minedetect import jobs
from minedetect.runs import DRAFT, EVALUATION, STATUS, SUMMARY, Run, list_runs
from minedetect.ui import checking, comparison, frame, words


class Step(NamedTuple):
    """One page on the way."""

    title: str
    page: Path
    to_do: str
    done: str
    about: tuple[str, ...] = ()
    """The page can be about a run that has one of these files."""


STEPS = (
    Step("Data", frame.DATA, "Give two images and the mine outlines.", "**Done.** The files are given.", (DRAFT,)),
    Step("Mask", frame.MASK, "Look at what the outlines become.", "**Done.** Nothing is left to do here.", (DRAFT,)),
    Step("Train", frame.TRAIN, "Let the model learn.", "**Done.** Nothing is left to train.", (DRAFT, STATUS)),
    Step(
        "Results", frame.RESULTS, "Read the verdict and the hectares.", "**Done.** The hectares are there.", (STATUS,)
    ),
    Step("Compare", frame.COMPARE, "Hold two runs side by side.", "**Ready.** There are runs to compare."),
)


def show() -> None:
    """Five links, each with a word on how far the latest work is."""
    frame.section("Step by step")
    with frame.in_words():
        run = latest()
        told = sentences(finished(run), run is not None and jobs.is_active(run.status()))
        if run is not None:
            st.caption(f"How far the latest, {words.literal(run.name)}, has come")
        for number, (column, step) in enumerate(zip(st.columns(len(STEPS)), STEPS, strict=True)):
            asked = {"run": run.name} if run is not None and any(run.has(name) for name in step.about) else {}
            column.page_link(step.page, label=f"**{number + 1}\\. {step.title}**", query_params=asked)
            column.caption(told[number])


def latest() -> Run | None:
    """The draft changed last, else the run that was worked on last."""
    return next(iter([*drafts.list_drafts(), *list_runs()]), None)


def finished(run: Run | None) -> tuple[bool, ...]:
    """Which steps are done; a run made on the command line or of the built-in district brought its own data.

    Raises:
        RunError: its draft or findings are damaged.
    """
    if run is None:
        return (False,) * len(STEPS)
    begun, compared = run.has(STATUS), run.has(SUMMARY)
    given = begun or (run.has(DRAFT) and not drafts.read(run).missing())
    checked = begun or (given and not checking.obstacles(run))
    return given, checked, run.has(EVALUATION) or compared, compared, len(comparison.candidates()) > 1


def sentences(done: tuple[bool, ...], at_work: bool) -> list[str]:
    """A word and a sentence a step, as Markdown: the first that is not done is next, or being done."""
    following = done.index(False) if False in done else len(done)
    told = []
    for number, step in enumerate(STEPS):
        if done[number]:
            told.append(step.done)
        elif number == following:
            told.append("**Under way.** It is being worked on." if at_work else f"**Next.** {step.to_do}")
        else:
            told.append(f"Later. {step.to_do}")
    return told
