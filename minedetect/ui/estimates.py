"""Labels of a sample read back, and the hectares they give."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from minedetect import incoming
from minedetect.design import Design
from minedetect.errors import BadInput
from minedetect.labelled import MOST_BYTES
from minedetect.runs import ESTIMATE, Run
from minedetect.ui import frame, results, words

FIGURES = {
    "new": "New",
    "gone": "Gone",
    "before": "Mining in {first}",
    "after": "Mining in {second}",
    "stable_mine": "Mine on both dates",
    "net": "Net change",
}
CLASSES = {
    "stable_other": "Something else on both dates",
    "stable_mine": "Mine on both dates",
    "new": "New mining",
    "gone": "Mining gone",
}
READ = "labels were read"


def show(run: Run, summary: results.Content, sample_id: str) -> None:
    """Hectares and accuracies from labels, where some were read.

    Args:
        run: the run.
        summary: the content of its `summary.json`.
        sample_id: of the sample of this very map; "" where there is none.
    """
    if st.session_state.pop(READ, None) == run.name:
        st.success("The labels were read. The figures below, the report and the zip of this run hold what they give.")
    content = results.read(run, ESTIMATE)
    if content is None:
        return
    if content.get("sample_id") != sample_id:
        st.warning("The estimate below is of another map or sample than this run has now. Draw a sample of this map.")
    first, second = (words.literal(year) for year in summary["years"])
    areas = results.part(content, "areas")
    found = {
        FIGURES[key].format(first=first, second=second): results.part(areas, key) for key in FIGURES if key in areas
    }
    st.markdown(
        f"**Estimated from {_places(content)}**, errors of the map "
        "taken out. Of a hundred such samples, about 95 would give an interval that holds the figure a full check "
        "would find."
    )
    table: dict[str, list[Any]] = {
        "Hectares": list(found),
        "Estimated, ha": [words.number(area.get("ha")) for area in found.values()],
        "95 % interval, ha": [interval(area) for area in found.values()],
        "On the map, ha": [words.number(area.get("mapped_ha")) for area in found.values()],
    }
    numbers = {name: st.column_config.NumberColumn(format="%,.1f") for name in ("Estimated, ha", "On the map, ha")}
    st.dataframe(table, hide_index=True, column_config=numbers, width="stretch", height="content")
    st.caption(
        "New and gone are of every kind here, the unsure ones too; the large figures above count firm change only."
    )
    with st.expander("Accuracy of the map, and what to know about these figures"):
        _accuracy(results.part(content, "accuracy"))
        notes = content.get("notes")
        for note in notes if isinstance(notes, list) else ():
            st.text(str(note))


def _places(content: results.Content) -> str:
    """How many places the figures rest on: one that could not be told gives none."""
    drawn = words.counted(content.get("points"), "place")
    lost = sum(words.number(count) or 0 for count in results.part(content, "unusable").values())
    if not lost:
        return f"{drawn} that people looked at"
    told = words.count((words.number(content.get("points")) or 0) - lost)
    return f"{told} of {drawn} that people looked at; {words.count(lost)} could not be told"


def _accuracy(accuracy: results.Content) -> None:
    users, producers = results.part(accuracy, "users"), results.part(accuracy, "producers")
    rows = {CLASSES[name]: (results.part(users, name), results.part(producers, name)) for name in CLASSES}
    st.dataframe(
        {
            "Class": list(rows),
            "User's accuracy (95 %)": [between(of) for of, _ in rows.values()],
            "Producer's accuracy (95 %)": [between(of) for _, of in rows.values()],
        },
        hide_index=True,
        width="stretch",
        height="content",
    )
    st.caption(
        "User's accuracy: the share of what the map calls so that is so. Producer's accuracy: the share of what is so "
        f"that the map finds. Overall, {between(results.part(accuracy, 'overall'))} of the ground is mapped right."
    )


def between(accuracy: Mapping[str, Any]) -> str:
    """A share with its interval: "87.1 % (81.0 to 93.2 %)"."""
    value, low, high = (words.number(accuracy.get(key)) for key in ("value", "low", "high"))
    if value is None:
        return words.UNKNOWN
    told = f"{100 * value:.1f} %"
    return told if low is None or high is None else f"{told} ({100 * low:.1f} to {100 * high:.1f} %)"


def interval(area: Mapping[str, Any]) -> str:
    """The limits of an area in hectares: "132.3 to 256.5"."""
    low, high = words.number(area.get("low_ha")), words.number(area.get("high_ha"))
    return words.UNKNOWN if low is None or high is None else f"{low:,.1f} to {high:,.1f}"


def read_back(run: Run, design: Design) -> None:
    """Take the labelled table of a sample, and estimate."""
    with st.form(f"labelled {run.name} {design.sample_id}", border=False):  # its button waits while a file arrives
        given = st.file_uploader(
            "Read labels back: the table of this sample, with its column reference filled in",
            type="csv",
            max_upload_size=MOST_BYTES // 2**20,
        )
        pressed = st.form_submit_button("Estimate the hectares")
    if not pressed:
        return
    with frame.in_words(), st.spinner("Estimating"):
        if given is None:
            raise BadInput("NO_TABLE", "Choose the table of this sample first, with its column reference filled in.")
        estimate(run, given.name, given.getvalue())
        st.session_state[READ] = run.name
        st.rerun()


def estimate(run: Run, name: str, content: bytes) -> None:
    """Estimate from a table as `estimate` does.

    Args:
        run: whose sample was labelled.
        name: of the file, as the user's computer calls it; never a path here.
        content: of the file.

    Raises:
        BadInput: it is not the sample of this run, or not filled in.
        RunError: the map is another one by now, or the run is being worked on.
    """
    from minedetect.estimate import estimate_run

    with tempfile.TemporaryDirectory(prefix="minedetect-") as folder:
        path = Path(folder) / f"{incoming.plain_stem(name)}.csv"
        path.write_bytes(content)
        estimate_run(run, path)
