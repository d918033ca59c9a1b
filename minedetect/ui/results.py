"""What one run found: the verdict first, then hectares, then what they rest on."""

from __future__ import annotations

from typing import Any

import streamlit as st

from minedetect.errors import RunError
from minedetect.runs import Run
from minedetect.ui import frame, words

Content = dict[str, Any]

KINDS = {
    "firm": ("Firm", "The headline figures: change that nothing below explains."),
    "doubtful": ("Doubtful", "The two dates differ, but not enough to be sure."),
    "ring": ("Ring", "A thin rim around a mine that stands: as wide as the images are shifted."),
    "sieved": ("Sieved", "Comes only from leaving out patches too small to count."),
}
NEW, GONE = "New, ha", "Gone, ha"
RANGES = (
    "The range under a figure is how far it moves when the threshold, the borders or the matching of the dates are "
    "chosen a little differently."
)
COUNTED = (
    "All figures are for the ground that both images show. New and gone count firm change only; "
    "the net change counts every kind, so it equals the later year less the earlier one."
)
ALERTS = {"plausible": st.success, "review": st.warning, "implausible": st.error, "unknown": st.info}


def read(run: Run, name: str) -> Content | None:
    """One JSON artifact; None where it is not there, or damaged, which is said on the page."""
    with frame.in_words():
        content = run.read_json(name) if run.has(name) else None
        if content is None or isinstance(content, dict):
            return content
        raise RunError(f"{run.path(name)} is damaged. Run that step again.")
    return None


def part(content: Content, key: str) -> Content:
    """A nested object of an artifact; an empty one where it is missing."""
    inner = content.get(key)
    return inner if isinstance(inner, dict) else {}


def verdict_badge(summary: Content) -> words.Badge:
    """The verdict as a coloured word."""
    return words.VERDICTS.get(str(summary.get("verdict")), words.VERDICTS["unknown"])


def verdict(summary: Content) -> None:
    """May these figures be called a result, and why not."""
    name = str(summary.get("verdict"))
    name = name if name in ALERTS else "unknown"
    reasons = "".join(f"\n- {words.literal(reason)}" for reason in summary.get("reasons") or ())
    ALERTS[name](f"**{words.VERDICT_SENTENCES[name]}**\n{reasons}")


def no_comparison() -> None:
    """For a run that trained a model and compared nothing."""
    st.info("This run trained a model and compared no dates, so it has no hectares of change. Its scores are below.")


def unfinished() -> None:
    """For a run that is being worked on."""
    st.info("This run is being worked on. What stands below may be missing, or be replaced.")


def headline(summary: Content) -> None:
    """Hectares of each year, new, gone, unchanged and net, as large figures."""
    frame.section("Hectares of mining")
    years, mined, ranges = (
        [str(year) for year in summary.get("years") or ()],
        part(summary, "hectares"),
        ranges_of(summary),
    )
    net = words.hectares(summary.get("net_ha"), sign=True)
    columns = iter([*st.columns(3), *st.columns(3)])
    for year, column in zip(years[:2], columns, strict=False):
        since = f"{net} since {words.literal(years[0])}" if year == years[-1] and len(years) > 1 else None
        _figure(column, f"Mining in {words.literal(year)}", words.hectares(mined.get(year)), ranges.get(year), since)
    for label, value, key in (
        ("Net change", net, "net_ha"),
        (words.NEW, words.hectares(summary.get("new_ha")), "new_ha"),
        (words.GONE, words.hectares(summary.get("gone_ha")), "gone_ha"),
        ("Unchanged", words.hectares(summary.get("unchanged_ha")), "unchanged_ha"),
    ):
        _figure(next(columns), label, value, ranges.get(key))
    if ranges:
        st.caption(RANGES)
    st.caption(COUNTED)
    _observed(summary, years)


def _figure(place: Any, label: str, value: str, limits: str | None, since: str | None = None) -> None:
    """One large figure with its range, or, where none is known, with its change."""
    shown = {"border": True, "height": "stretch"}
    if limits:
        place.metric(label, value, limits, delta_color="off", delta_arrow="off", **shown)
    else:
        place.metric(label, value, since, delta_color="inverse", **shown)


def ranges_of(summary: Content) -> dict[str, str]:
    """Lowest and highest hectares in words, by year and by key of the summary; empty where they were not measured."""
    measured = part(summary, "sensitivity")
    limits = {**part(measured, "hectares"), **{key: part(measured, key) for key in ("new_ha", "gone_ha", "net_ha")}}
    told = {}
    for key, ends in limits.items():
        low, high = (words.number(ends.get(end)) if isinstance(ends, dict) else None for end in ("low", "high"))
        if low is not None and high is not None:
            told[key] = f"{low:,.1f} to {words.hectares(high)}"
    return told


def _observed(summary: Content, years: list[str]) -> None:
    observed, mined = part(summary, "hectares_observed"), part(summary, "hectares")
    more = [year for year in years if words.hectares(observed.get(year)) != words.hectares(mined.get(year))]
    seen = ", ".join(f"{words.hectares(observed[year])} in {words.literal(year)}" for year in more if year in observed)
    if seen:
        st.caption(f"On all the ground that one image shows: {seen}.")


def ledger(summary: Content) -> None:
    """The table of change by kind, and its sum."""
    change = part(summary, "change_ha")
    new, gone = part(change, "new"), part(change, "gone")
    if not (new or gone):
        return
    frame.section("Ledger of change")
    kinds = list(KINDS)
    table: dict[str, list[Any]] = {
        "Kind": [KINDS[kind][0] for kind in kinds] + ["All"],
        NEW: [words.number(new.get(kind)) for kind in kinds] + [_total(new)],
        GONE: [words.number(gone.get(kind)) for kind in kinds] + [_total(gone)],
        "What it means": [KINDS[kind][1] for kind in kinds] + ["New less gone of this row is the net change."],
    }
    _table(table, [NEW, GONE])


def _total(amounts: Content) -> float:
    return sum(words.number(amounts.get(kind)) or 0.0 for kind in KINDS)


def per_mine(summary: Content, key: str | None = None) -> int | None:
    """The table of labelled mines.

    Args:
        summary: the content of `summary.json`.
        key: of the table where its rows can be chosen.

    Returns:
        The chosen row, from 0; None where none is.
    """
    years = [str(year) for year in summary.get("years") or ()]
    before, after = (years[0], years[-1]) if years else ("before", "after")
    names = {
        "mine": "Mine",
        "status": "Status",
        "labelled_ha": "Labelled, ha",
        "before_ha": f"{before}, ha",
        "after_ha": f"{after}, ha",
        "gained_ha": "Gained, ha",
        "lost_ha": "Lost, ha",
        "unobserved_ha": "Not observed, ha",
    }
    rows = summary.get("per_mine") or ()
    if not rows:
        return None
    frame.section("Mine by mine")
    table = {shown: [row.get(column) for row in rows] for column, shown in names.items()}
    hectares = [shown for column, shown in names.items() if column.endswith("_ha")]
    if key is None:
        _table(table, hectares)
        return None
    st.caption("Choose a row to see that mine on the map.")
    chosen = _table(table, hectares, key=key, on_select="rerun", selection_mode="single-row")
    return next(iter(chosen.selection.rows), None)


def _table(table: dict[str, list[Any]], hectares: list[str], **options: Any) -> Any:
    numbers = {name: st.column_config.NumberColumn(format="%,.1f") for name in hectares}
    return st.dataframe(table, hide_index=True, column_config=numbers, height="content", width="stretch", **options)


def facts(summary: Content) -> None:
    """What counts as mine, and what was assumed or changed on the way."""
    frame.section("What these figures rest on")
    st.markdown("**What counts as mine**")
    st.text(summary.get("mine_definition") or "It was not said.")
    notes = summary.get("notes") or ()
    if notes:
        st.markdown("**What was assumed or changed on the way**")
    for note in notes:
        st.text(str(note))
    _truth(summary)
    st.caption(f"Run {words.literal(summary.get('run_id', ''))}, made {words.moment(summary.get('created', ''))}")


def _truth(summary: Content) -> None:
    """For the built-in district: the hectares it was made with, beside those found."""
    truth, found = part(summary, "truth"), part(summary, "hectares")
    if not truth:
        return
    st.markdown("**Against the truth, known because this district is invented**")
    known = [part(truth, year) for year in truth]
    table: dict[str, list[Any]] = {
        "Year": list(truth),
        "True, ha": [words.number(date.get("hectares")) for date in known],
        "Found, ha": [words.number(found.get(year)) for year in truth],
        "Overlap (IoU)": [words.score(date.get("iou")) for date in known],
    }
    _table(table, ["True, ha", "Found, ha"])
