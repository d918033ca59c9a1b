"""The form that starts a run: on the user's own data, or on the built-in district."""

from __future__ import annotations

import streamlit as st

from minedetect import draft as drafts
from minedetect import jobs
from minedetect.errors import RunError, SettingError
from minedetect.presets import as_flags
from minedetect.runs import DRAFT, SAMPLE_DESIGN, STATUS, Run, named_run
from minedetect.ui import checking, device, forecast, frame, kept, settings_form, words
from minedetect.ui.kept import Kept

NAME = "district"
DISTRICT = "Train on the built-in district"


def form(shown: Run | None, main: bool) -> None:
    """Name, preset and settings, how long it would take, and the button that starts.

    Args:
        shown: the run the page shows; one with a draft is what is started, and while a run is at work the
            form is folded away, so that a training which has just been started is seen.
        main: whether to start is what the page is for.
    """
    draft = shown if shown is not None and shown.has(DRAFT) else None
    title = f"Train on the data of {words.literal(draft.name)}" if draft else DISTRICT
    if shown is not None and jobs.is_active(shown.status()):
        with st.expander(title, key=f"form beside {shown.name}"):
            _fields(draft, main)
    else:
        frame.section(title)
        with st.container(border=True):
            _fields(draft, main)
    if draft is not None:
        with st.expander(DISTRICT, key=f"district beside {draft.name}"):
            _fields(None, main=False)


def _fields(draft: Run | None, main: bool) -> None:
    if draft is None:
        st.markdown(
            "The district is invented and its mines are known, so it shows what each setting does. "
            "It needs no data and no network."
        )
    with frame.in_words():
        in_the_way = _asked(draft) if draft else []
        name = draft.name if draft else _name()
        kept_in = Kept(draft)
        settings = settings_form.ask(kept_in)
        st.caption(f"This computer works on: {words.literal(device.line())}")
        if settings is not None:
            forecast.show(kept_in, settings)
        waits_for = forecast.at_work()
        if waits_for:
            st.info(
                f"The training of {words.literal(waits_for)} is at work. One started now waits in line and begins by "
                "itself when its turn comes; this page can be closed meanwhile."
            )
        agreed = _may_replace(name)
        label = "Start training" if draft is None or main else "Start training again"
        if st.button(
            label,
            key=f"{kept_in.part}start",
            type="primary" if main else "secondary",
            disabled=bool(in_the_way) or settings is None or not agreed,
        ):
            _start(named_run(name), kept_in)
        _warn_of_results(named_run(name))


def _name() -> str:
    return st.text_input("Name of the run", NAME, max_chars=100, key="name of the new run", width=360).strip()


def _asked(run: Run) -> list[str]:
    """What the run is about, and what stands in its way; a check of what was changed is followed."""
    draft = drafts.read(run)
    told = [f"{checking.FILES[role]}: **{words.literal(given.name)}**" for role, given in draft.inputs.items()]
    if all(draft.years):
        told.append(f"Years: {words.literal(draft.years[0])} and {words.literal(draft.years[1])}")
    left_out = draft.values.get("exclude_mine") or ()
    if left_out:
        told.append(f"Left out: outline {', '.join(str(number) for number in left_out)}")
    st.markdown("".join(f"- {line}\n" for line in told))
    found = checking.followed(run)
    in_the_way = checking.obstacles(run)
    if in_the_way and (found or draft.missing()):
        st.error("Before training:" + "".join(f"\n- {line}" for line in in_the_way))
    with st.container(horizontal=True):
        st.page_link(frame.DATA, label="Change the data", query_params={"run": run.name})
        st.page_link(frame.MASK, label="Look at the mask", query_params={"run": run.name})
    return in_the_way


def _may_replace(name: str) -> bool:
    """Whether a start may go ahead; where people may have labelled a sample of the map, only once that is ticked."""
    try:
        run = named_run(name)
    except RunError:  # the start refuses it, in words
        return True
    if not run.has(SAMPLE_DESIGN) or jobs.is_active(run.status()):
        return True
    return st.checkbox(
        f"Give up the sample of {words.literal(run.name)}: it is of the map that a new training replaces, and so are "
        "its labels and its estimate",
        key=f"give up the sample of {run.name}",
    )


def _warn_of_results(run: Run) -> None:
    if run.has(STATUS) and not jobs.is_active(run.status()):
        st.caption(f"There is a run {words.literal(run.name)} already. Starting replaces what it found.")


def _start(run: Run, kept_in: Kept) -> None:
    """Start a run and show it.

    Raises:
        RunError: it is being worked on, or its name is that of a draft.
        SettingError: a value is outside its limits, or something stands in the way.
    """
    values = kept.as_asked(kept_in.values())
    kept.chosen_settings(values)
    if jobs.is_active(run.status()):
        raise RunError(f"The run {run.name} is being worked on. Choose another name, or stop it first.")
    if kept_in.draft is None:
        if run.has(DRAFT):
            raise RunError(f"The name {run.name} belongs to your own data. Choose another one for the district.")
        jobs.start(run, [jobs.DEMO, run.name, *as_flags(values)])
    else:
        if checking.obstacles(run):
            raise SettingError("Something must be mended before training. Reload the page to see what.")
        jobs.start(run, drafts.read(run).model_copy(update={"values": values}).arguments(run))
    st.switch_page(frame.TRAIN, query_params={"run": run.name})
