"""A run's progress, live while it works; what happened and what to do where it ended early."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from minedetect import jobs
from minedetect.curves import of_older_version
from minedetect.runs import EVALUATION, METRICS, Run, State, Status
from minedetect.ui import frame, words
from minedetect.ui.networks import networks_of

EVERY_S = 1.0

Details = Callable[[Run, Status], None]
"""Draws more of a run at work, below its progress, each time that is drawn."""


def no_details(run: Run, status: Status) -> None:
    """For pages that show the progress alone."""


def progress(run: Run, details: Details = no_details, main: bool = False) -> bool:
    """Live progress with a stop button while a job is at work; else why it ended early, if it did.

    The page runs again by itself, once, when the job ends or its turn has come.

    Args:
        run: the run.
        details: what else is drawn while it is at work.
        main: whether going on with a run that ended early is what the page is for.

    Returns:
        Whether a job is at work.
    """
    status = run.status()
    active = jobs.is_active(status)
    st.fragment(_live, run_every=EVERY_S if active else None)(run, status.state if active else None, details)
    if not active and status.shown_state() in jobs.ENDED_EARLY:
        ended_early(run, status, main)
    return active


def _live(run: Run, was: State | None, details: Details) -> None:
    if was is None:
        return
    with frame.in_words():
        status = run.status()
        if not jobs.is_active(status) or status.state != was:
            st.rerun()
        if status.state == "queued":
            st.info(f"{words.QUEUED} {words.literal(status.message)}")
        else:
            st.progress(share(status), text=words.literal(sentence(status, networks_of(run).count)))
        if st.button("Stop", key=f"stop {run.name}", help="What was finished is kept."):
            with st.spinner("Stopping"):
                jobs.stop(run)
            st.rerun()
        details(run, status)


def share(status: Status) -> float:
    """How much of the present step is done, 0 to 1."""
    return min(1.0, max(0.0, status.done / status.total)) if status.total > 0 else 0.0


def sentence(status: Status, networks: int = 1) -> str:
    """Which step a run is at, and how far; a training counts the epochs of all its networks."""
    if not status.step:
        return "Starting"
    parts = [words.step(status.step)]
    if status.step in status.steps and len(status.steps) > 1:
        parts.insert(0, f"Step {status.steps.index(status.step) + 1} of {len(status.steps)}")
    if status.total > 0:
        parts.extend(_epoch(status, networks) if status.step == "train" else [words.percent(share(status))])
    return " · ".join(parts)


def _epoch(status: Status, networks: int) -> list[str]:
    """The epoch of a training, and of which network it is where there are several."""
    epochs = status.total // networks
    before = min(status.done // epochs, networks - 1) if epochs else 0
    told = f"epoch {status.done - before * epochs} of {epochs}"
    return [told] if networks == 1 else [f"network {before + 1} of {networks}", told]


def ended_early(run: Run, status: Status, main: bool) -> None:
    """What happened, what to do, the way to go on, and the last lines of the log."""
    state = status.shown_state()
    show = st.error if state == "failed" else st.warning
    said = status.message if state != "stopped" else ""
    show(words.ADVICE[state] + (f"\n\n{words.literal(said)}" if said else ""))
    if jobs.can_resume(run):
        _resume(run, main)
    else:
        _start_anew(run, main)
    tail = words.calm_log(jobs.log_tail(run, lines=60)).splitlines()[-8:]
    if tail:
        st.caption("The last lines of its log")
        st.code("\n".join(tail), language=None, wrap_lines=True)


def can_go_on(run: Run) -> bool:
    """Whether a run that ended early can be resumed, or begun anew where it is the demo."""
    return jobs.can_resume(run) or (run.name == jobs.DEMO and run.status().shown_state() in jobs.ENDED_EARLY)


def _resume(run: Run, main: bool) -> None:
    st.markdown(resumption(run))
    if st.button("Resume", key=f"resume {run.name}", type="primary" if main else "secondary"):
        jobs.resume(run)
        st.rerun()


def resumption(run: Run) -> str:
    """Where a run goes on when it is resumed, as Markdown."""
    if run.has(EVALUATION):
        return "Its training is done and kept. **Resume** goes on with the steps after it."
    networks = networks_of(run)
    if not networks.last and of_older_version(run.path(METRICS)):
        return (
            "Its curves were written by an older version. **Resume** goes on where its checkpoint is, or says why not."
        )
    if not networks.last:
        return "No epoch of its training was finished. **Resume** begins with the first one."
    last = networks.last[-1].epoch
    if networks.count > 1:
        return (
            f"What was learned up to epoch {last} of network {networks.number} of {networks.count} is kept. "
            "**Resume** goes on from there."
        )
    kept = "The first epoch of its training is" if last == 1 else f"The first {last} epochs of its training are"
    return f"{kept} kept. **Resume** goes on with epoch {last + 1}."


def _start_anew(run: Run, main: bool) -> None:
    st.markdown("It ended before it knew what was asked of it, so there is nothing to go on with. Start it again.")
    if main and run.name == jobs.DEMO and st.button("Start anew", type="primary"):
        jobs.start_demo()
        st.rerun()
