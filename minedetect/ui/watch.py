"""A run's progress, live while it works; what happened and what to do where it ended early."""

from __future__ import annotations

import streamlit as st

from minedetect import jobs
from minedetect.runs import Run, Status
from minedetect.ui import frame, words

EVERY_S = 1.0
ENDED_EARLY = ("failed", "interrupted", "stopped")


def progress(run: Run) -> bool:
    """Live progress with a stop button while a job is at work; else why it ended early, if it did.

    The page runs again by itself, once, when the job ends.

    Returns:
        Whether a job is at work.
    """
    status = run.status()
    active = jobs.is_active(status)
    st.fragment(_live, run_every=EVERY_S if active else None)(run, active)
    if not active and status.shown_state() in ENDED_EARLY:
        ended_early(run, status)
    return active


def _live(run: Run, was_active: bool) -> None:
    if not was_active:
        return
    with frame.in_words():
        status = run.status()
        if not jobs.is_active(status):
            st.rerun()
        st.progress(share(status), text=words.literal(sentence(status)))
        if st.button("Stop", key=f"stop {run.name}", help="What was finished is kept."):
            with st.spinner("Stopping"):
                jobs.stop(run)
            st.rerun()


def share(status: Status) -> float:
    """How much of the present step is done, 0 to 1."""
    return min(1.0, max(0.0, status.done / status.total)) if status.total > 0 else 0.0


def sentence(status: Status) -> str:
    """Which step a run is at, and how far."""
    if not status.step:
        return "Starting"
    parts = [words.step(status.step)]
    if status.step in status.steps and len(status.steps) > 1:
        parts.insert(0, f"Step {status.steps.index(status.step) + 1} of {len(status.steps)}")
    if status.total > 0:
        done = f"round {status.done} of {status.total}" if status.step == "train" else words.percent(share(status))
        parts.append(done)
    return " · ".join(parts)


def ended_early(run: Run, status: Status) -> None:
    """What happened, what to do, and the last lines of the log."""
    state = status.shown_state()
    show = st.error if state == "failed" else st.warning
    said = status.message if state != "stopped" else ""
    show(words.ADVICE[state] + (f"\n\n{words.literal(said)}" if said else ""))
    tail = words.calm_log(jobs.log_tail(run, lines=60)).splitlines()[-8:]
    if tail:
        st.caption("The last lines of its log")
        st.code("\n".join(tail), language=None, wrap_lines=True)
