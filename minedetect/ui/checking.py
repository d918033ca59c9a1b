"""The check of a draft: started when it is needed, followed while it runs, and told in words."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from minedetect import draft as drafts
from minedetect import jobs
from minedetect.runs import Run
from minedetect.ui import frame, watch, words

ASKED = "asked.json"
COMMAND = (sys.executable, "-m", "minedetect.inspection")
STEPS = {
    "files": "Reading the files",
    "mask": "Drawing the mask",
    "pair": "Comparing the two dates",
    "split": "Parting the ground for training and validation",
}
WHERE = {
    "bands": "Name them under Band names on the page Data.",
    "bands_after": "Name them under Band names on the page Data.",
    "layer": "Name it under Layer on the page Data.",
    "season": "The page Data asks for the days.",
    "season_after": "The page Data asks for the days.",
    "size": "The page Mask lets you choose a smaller tile.",
    "split": "The page Mask lets you choose the tile and the share for validation.",
    "definition": "The page Data asks for it.",
}
"""Where on the pages a user does what a check advises."""
MINE_CLASS, CLASSES = "--mine-class", "The page Data asks for them: Values that are mines."
FILES = {
    "before": "Image of the first date",
    "after": "Image of the second date",
    "labels": "Mine outlines of the first date",
    "labels_after": "Mine outlines of the second date",
}


def followed(run: Run) -> Mapping[str, Any] | None:
    """What was found out about a draft; while that is not known, the check is started and followed.

    The page runs again by itself, once, when the check ends.

    Raises:
        RunError: the draft or its findings are damaged.
    """
    found = drafts.findings(run)
    target = drafts.check_run(run)
    active = jobs.is_active(target.status())
    if found is None and not active:
        active = _start(run, target)
    st.fragment(_live, run_every=watch.EVERY_S if active else None)(target, active)
    return None if active else found


def _start(run: Run, target: Run) -> bool:
    """Start a check of the draft as it is; one that died on it is started again only when asked."""
    draft = drafts.read(run)
    if not draft.inputs:
        return False
    key = draft.key()
    died = target.has(ASKED) and target.read_json(ASKED).get("key") == key
    if died:
        st.error(
            "The check ended without an answer: the computer was short of memory, or the program was shut down. "
            "Check again; if it happens again, crop the images."
        )
        if not st.button("Check again", type="primary"):
            return False
    target.root.mkdir(parents=True, exist_ok=True)
    jobs.start(target, [run.name], COMMAND)
    target.write_json(ASKED, {"key": key})
    return True


def _live(target: Run, was_active: bool) -> None:
    if not was_active:
        return
    with frame.in_words():
        status = target.status()
        if not jobs.is_active(status):
            st.rerun()
        step = STEPS.get(status.step, "Starting the check")
        done = status.steps.index(status.step) if status.step in status.steps else 0
        st.progress((done + 0.5) / max(len(status.steps), 4), text=f"Checking: {step}")


def problems(found: Mapping[str, Any]) -> list[str]:
    """What stands in the way of a run, a sentence each, as Markdown."""
    files = found.get("files") or {}
    told = [
        f"**{FILES[role]}:** {words.literal(f['problem'])}" + (f" **{CLASSES}**" if MINE_CLASS in f["problem"] else "")
        for role, f in files.items()
        if "problem" in f
    ]
    return told + [_advised(check) for check in _of(found, "blocking")]


def verdicts(found: Mapping[str, Any]) -> None:
    """All checks: what blocks, what to look at, and what is in order."""
    blocking, warnings, fine = problems(found), [_advised(c) for c in _of(found, "warning")], _of(found, "ok")
    if blocking:
        st.error(f"**{words.counted(len(blocking), 'thing')} must be mended before training**{_listed(blocking)}")
    if warnings:
        st.warning(f"**{words.counted(len(warnings), 'thing')} to look at; training can go on**{_listed(warnings)}")
    if fine:
        if not blocking and not warnings:
            st.success("The checks found nothing to mend.")
        with st.expander(f"{words.counted(len(fine), 'check')} in order"):
            st.markdown(_listed([words.literal(c["message"]) for c in fine]))


def _of(found: Mapping[str, Any], verdict: str) -> list[Mapping[str, Any]]:
    return [check for check in found.get("checks") or () if check.get("verdict") == verdict]


def _advised(check: Mapping[str, Any]) -> str:
    where = WHERE.get(str(check.get("name")))
    return words.literal(check.get("message", "")) + (f" **{where}**" if where else "")


def _listed(lines: Sequence[str]) -> str:
    return "".join(f"\n- {line}" for line in lines)


def obstacles(run: Run) -> list[str]:
    """What stands between a draft and its run, a sentence each, as Markdown; empty where it can begin.

    Raises:
        RunError: the draft or its findings are damaged.
    """
    told = [words.literal(sentence) for sentence in drafts.read(run).missing()]
    found = drafts.findings(run)
    if found is None:
        return told or ["The files are still being checked."]
    return told + problems(found)
