"""A probability sample of a run's change map: drawing one, handing it to people, giving it up."""

from __future__ import annotations

from typing import Any

import streamlit as st

from minedetect import jobs, sampling
from minedetect.config import SampleSettings
from minedetect.design import REFERENCES, SAMPLE_POINTS, SAMPLE_TABLE, UNUSABLE, Design, is_of_this_map, read_design
from minedetect.errors import RunError, SettingError
from minedetect.presets import describe, flag, limits
from minedetect.runs import CHANGE_MAP, SAMPLE_DESIGN, Run
from minedetect.ui import addresses, downloads, estimates, frame, layers, results, watch, words

WHY = (
    "The hectares above are counted on a map, and a map errs. How far it errs is found out by a sample: places are "
    "drawn at random, people look at both images there and say what they see, and from their answers the hectares "
    "are estimated anew, each with a 95 % interval. Figures that are published should rest on one."
)
NUMBERS = (8, 20, 50, 100, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 1500, 2000, 3000, 5000, 7500, 10_000)
MEANINGS = {
    "other_both": "something else on both dates",
    "mine_both": "mine on both dates",
    "new": "something else in {first}, mine in {second}",
    "gone": "mine in {first}, something else in {second}",
    UNUSABLE: "it cannot be told: cloud, shadow, no image",
}
ASKED, TYPED, GIVEN_UP = "sample to give up", "name of the sample", "sample given up"


def show(run: Run, summary: results.Content) -> None:
    """The section: why, what was estimated, and the next thing to do."""
    years = layers.dates_of(summary)
    if years is None or not run.has(CHANGE_MAP):
        return
    frame.section("How sure: a probability sample")
    st.markdown(WHY)
    with frame.in_words():
        active = jobs.is_active(sampling.sampling_of(run).status())
        st.fragment(_live, run_every=watch.EVERY_S if active else None)(run, active)
        design = read_design(run) if run.has(SAMPLE_DESIGN) else None
        fits = design is not None and is_of_this_map(run, design)
        estimates.show(run, summary, design.sample_id if design is not None and fits else "")
        if active:
            return
        given_up = st.session_state.pop(GIVEN_UP, "")
        if given_up:
            st.success(f"The sample {words.literal(given_up)} was given up. The run's log says so.")
        if design is None or not fits:
            _ended_badly(run)
            with st.expander("Draw a sample", key=f"draw for {run.name}"):
                _form(run, design)
        else:
            _drawn(run, design)


def _live(run: Run, was_active: bool) -> None:
    if not was_active:
        return
    target = sampling.sampling_of(run)
    with frame.in_words():
        status = target.status()
        if not jobs.is_active(status):
            st.rerun()
        done = f" · picture {status.done + 1} of {status.total}" if status.total else ""
        st.progress(watch.share(status), text=f"Drawing the sample{done}")
        if st.button("Stop", key=f"stop sample of {run.name}", help="What was drawn stays drawn."):
            with st.spinner("Stopping"):
                jobs.stop(target)
            st.rerun()


def _ended_badly(run: Run) -> None:
    status = sampling.sampling_of(run).status()
    state = status.shown_state()
    if state in jobs.ENDED_EARLY:
        said = f"\n\n{words.literal(status.message)}" if state == "failed" else ""
        st.warning(f"The last drawing of a sample did not end well.{said}")


def _form(run: Run, earlier: Design | None) -> None:
    """How many points, and the button that draws them."""
    with st.form(f"sample of {run.name}", border=False):
        least, most = limits("n")
        options = [n for n in NUMBERS if (least or 0) <= n <= (most or n)]
        usual = SampleSettings()
        n = st.select_slider(
            "Points",
            options,
            usual.n,
            help=f"{describe('n')} ({flag('n')}) More points narrow the intervals and are more work to label; "
            "300 are usual. Rare change needs 1,000 or more.",
        )
        left, right = st.columns(2)
        values = {
            name: _number(column, label, name, getattr(usual, name))
            for column, label, name in (
                (left, "Least points of each stratum", "min_per_stratum"),
                (right, "Seed", "seed"),
            )
        }
        sure = earlier is None or st.checkbox(
            f"The sample {words.literal(earlier.sample_id)} was drawn from an earlier map of this run. A new one takes "
            "its place: labels of the earlier one will not be taken any more."
        )
        if st.form_submit_button("Draw the sample"):
            if not sure:
                raise SettingError("Tick that the earlier sample is replaced, then draw the new one.")
            _start(run, SampleSettings(n=int(n), **values))


def _number(place: Any, label: str, name: str, usual: int) -> int:
    low, high = (None if limit is None else int(limit) for limit in limits(name))
    told = f"{describe(name)} ({flag(name)})"
    return int(place.number_input(label, min_value=low, max_value=high, value=usual, help=told))


def _start(run: Run, settings: SampleSettings) -> None:
    """Draw in the background.

    Raises:
        RunError: the run is being worked on.
    """
    if jobs.is_active(run.status()):
        raise RunError(f"The run {run.name} is being worked on. Draw the sample when it is done.")
    jobs.start(sampling.sampling_of(run), sampling.arguments(run, settings), sampling.COMMAND)
    st.rerun()


def _drawn(run: Run, design: Design) -> None:
    """What was drawn, its files, how to label them, the way back, and the way out."""
    files = sampling.files_of(run, design.sample_id)
    title = f"Sample {design.sample_id}: {words.counted(len(design.points), 'point')}"
    with st.expander(f"{title}, its files and how to label them", key=f"sample of {run.name}", expanded=not files):
        _strata(design)
        _notes(run, design)
        if files:
            _files(run, design)
            _how_to(design)
        else:
            _ended_badly(run)
            st.info(
                "It was drawn on the command line, or its drawing was stopped, so its files are not here. They can be "
                "made now; the points are the same."
            )
            if st.button("Make its files"):
                _start(run, SampleSettings(n=design.n, min_per_stratum=design.min_per_stratum, seed=design.seed))
    estimates.read_back(run, design)
    with st.expander("Give this sample up", key=f"give up of {run.name}"):
        _give_up(run, design)


def _strata(design: Design) -> None:
    rows = [(estimates.CLASSES[name], stratum) for name, stratum in design.strata.items()]
    table: dict[str, list[Any]] = {
        "On the map": [name for name, _ in rows],
        "Points": [stratum.points for _, stratum in rows],
        "Ground, ha": [stratum.hectares for _, stratum in rows],
        "Weight, %": [100 * stratum.weight for _, stratum in rows],
        "One point stands for, ha": [s.hectares / s.points if s.points else None for _, s in rows],
    }
    numbers = {name: st.column_config.NumberColumn(format="%,.1f") for name in table if name.endswith((", ha", ", %"))}
    st.dataframe(table, hide_index=True, column_config=numbers, width="stretch", height="content")
    st.caption(
        "The weight is the share of the ground that both images show. Rare strata have more points than their share; "
        f"the estimate makes up for it. Seed {design.seed}."
    )


def _notes(run: Run, design: Design) -> None:
    """What the drawing said, where it was made here."""
    target = sampling.sampling_of(run)
    told = target.read_json(sampling.DRAWN) if target.has(sampling.DRAWN) else {}
    if told.get("sample_id") == design.sample_id:
        needed = words.count(told.get("points_for_target_error"))
        error = words.number(told.get("target_error"))
        if error is not None:
            st.caption(
                f"A standard error of {100 * error:g} % of overall accuracy would need about {needed} points, were the "
                "map as accurate as maps of change usually are."
            )
        for note in told.get("notes") or ():
            st.warning(words.literal(note))


def _files(run: Run, design: Design) -> None:
    files = sampling.files_of(run, design.sample_id)
    size = words.size(sum(path.stat().st_size for path in files))
    pictures = sum(path.suffix == ".png" for path in files)
    told = f"{words.counted(pictures, 'picture')}, table and points as one zip ({size})"
    with st.container(horizontal=True):
        st.link_button(told, addresses.address("zips", run.name, "sample"), icon="📦")
        for path in files:
            if path.name in (SAMPLE_TABLE, SAMPLE_POINTS):
                downloads.button(run, path, path.name)


def _how_to(design: Design) -> None:
    first, second = (words.literal(year) for year in design.years)
    listed = "".join(
        f"\n   - `{word}`: {MEANINGS[word].format(first=first, second=second)}" for word in (*REFERENCES, UNUSABLE)
    )
    st.markdown(
        "1. Hand the zip to people who have not seen this page: nothing in it tells what the map says, and it must "
        "stay so. Its `README.txt` tells them the same as this list.\n"
        f"2. For each row of `{SAMPLE_TABLE}` they look at the picture of its point, and at better images where there "
        f"are any, and write one word into the column `reference`:{listed}\n"
        "3. Every row needs a word. The column `note` is free; the other columns and the rows stay as they are.\n"
        "4. Saved as CSV, the table comes back below."
    )


def _give_up(run: Run, design: Design) -> None:
    st.markdown(
        "A map has one sample: whoever may draw again can draw until the answer suits. Give it up only where it was "
        "drawn by mistake, for instance with too few points. Its labels will not be taken any more, its estimate and "
        "its files on this server are removed, and the run's log keeps that it was given up."
    )
    with st.form(f"give up {design.sample_id}", border=False):
        typed = st.text_input(f"Type the name of the sample, {design.sample_id}")
        if st.form_submit_button("Give it up for good"):
            if typed.strip() != design.sample_id:
                raise SettingError(
                    f"The name typed is {typed.strip()[:40]!r}, so nothing was given up. Type {design.sample_id}."
                )
            sampling.give_up(run, design.sample_id)
            st.session_state[GIVEN_UP] = design.sample_id
            st.rerun()
