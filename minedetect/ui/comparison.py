"""Runs side by side: settings that differ, curves, scores and hectares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from minedetect.curves import Epoch, of_older_version
from minedetect.presets import flag
from minedetect.runs import CONFIG, EVALUATION, METRICS, SUMMARY, Run, list_runs
from minedetect.ui import charts, frame, results, words
from minedetect.ui.networks import networks_of

MOST = 4
CHOICE = "compared runs"
LINES = (("#0072B2", "solid"), ("#D55E00", "dash"), ("#009E73", "dot"), ("#CC79A7", "dashdot"))
"""One a run; colours after Okabe and Ito 2008, told apart with any colour vision."""
CURVES = (
    ("iou", "Overlap (IoU) in validation, 0 to 1", "Line chart of the overlap per epoch, a line a run."),
    ("validation_loss", "Loss in validation", "Line chart of the loss in validation per epoch, a line a run."),
    ("train_loss", "Loss in training", "Line chart of the loss in training per epoch, a line a run."),
)
RUN = "Run"
SETTING = "/setting"
"""Heads the column of flags: no folder, so no run, can be called that."""

Table = dict[str, list[str]]


def candidates() -> list[Run]:
    """Runs that were finished or trained, the latest first."""
    return [run for run in list_runs() if any(run.has(name) for name in (SUMMARY, EVALUATION, METRICS))]


def chosen_runs() -> list[Run]:
    """Two to four runs, named in the page's address or picked here; empty where there are fewer."""
    known = {run.name: run for run in candidates()}
    if len(known) < 2:
        _too_few(list(known))
        return []
    asked = list(dict.fromkeys(st.query_params.get_all("run")))
    wanted = asked or list(known)[:2]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        st.warning(f"There is no finished or trained run {words.literal(', '.join(unknown))}\\.")
    names = [name for name in wanted if name in known]
    if len(names) > MOST:
        st.warning(f"{len(names)} runs were asked for. Only the first {MOST} are shown.")
    names = names[:MOST]
    st.session_state[CHOICE] = names
    st.multiselect("Runs, two to four", list(known), key=CHOICE, max_selections=MOST, on_change=_follow)
    if len(names) < 2:
        st.info("Choose at least two runs.")
        return []
    st.query_params["run"] = names
    return [known[name] for name in names]


def _follow() -> None:
    st.query_params["run"] = st.session_state[CHOICE]


def forget(run: Run) -> None:
    """Take a run that is gone out of the page's address."""
    st.query_params["run"] = [name for name in st.query_params.get_all("run") if name != run.name]


def _too_few(names: Sequence[str]) -> None:
    there = f"there is one, {words.literal(names[0])}" if names else "there is none yet"
    st.info(f"To compare takes two runs that were finished or trained; {there}. Train another one, then come back.")
    st.page_link(frame.TRAIN, label="Go to Train")
    st.page_link(frame.DATA, label="Go to Data")


def links(runs: Sequence[Run]) -> None:
    """The way to each run's results."""
    with st.container(horizontal=True):
        for run in runs:
            label = f"Results of {words.literal(run.name)}"
            st.page_link(frame.RESULTS, label=label, query_params={"run": run.name})


def hectares(runs: Sequence[Run]) -> None:
    """What each run found, in hectares, with how far that moves where it was measured."""
    found = {run.name: results.read(run, SUMMARY) for run in runs}
    compared = {name: summary for name, summary in found.items() if summary is not None}
    frame.section("Hectares of mining")
    _without(found, "compared no dates, so it has no hectares")
    if not compared:
        return
    _table([{RUN: name, **_hectares(summary)} for name, summary in compared.items()])
    st.caption(results.COUNTED)
    if any(results.ranges_of(summary) for summary in compared.values()):
        st.caption(results.RANGES.replace("under", "beside"))
    different = _different_files(list(compared.values()))
    if different:
        st.warning(f"These runs read different files ({words.literal(', '.join(different))}): mind what you compare.")


def _hectares(summary: results.Content) -> dict[str, str]:
    years = [str(year) for year in summary.get("years") or ()]
    mined, ranges = results.part(summary, "hectares"), results.ranges_of(summary)
    row = {"Verdict": results.verdict_badge(summary).word, "Years": " and ".join(years)}
    for label, year in zip(("First year", "Second year"), [*years, "", ""], strict=False):
        row[label] = _ranged(words.hectares(mined.get(year)), ranges.get(year))
    for label, key in (("New", "new_ha"), ("Gone", "gone_ha"), ("Net", "net_ha"), ("Unchanged", "unchanged_ha")):
        row[label] = _ranged(words.hectares(summary.get(key), sign=key == "net_ha"), ranges.get(key))
    return row


def _ranged(figure: str, limits: str | None) -> str:
    return f"{figure} ({limits})" if limits else figure


def _different_files(summaries: Sequence[results.Content]) -> list[str]:
    """What for (before, after, labels ...) the runs read files of different content, as far as that is known."""
    read = [results.part(results.part(summary, "provenance"), "inputs") for summary in summaries]
    roles = dict.fromkeys(role for inputs in read for role in inputs)
    return [role for role in roles if len({str(results.part(inputs, role).get("sha256")) for inputs in read}) > 1]


def scores(runs: Sequence[Run]) -> None:
    """How good each run's model is, on its own validation ground."""
    found = {run.name: results.read(run, EVALUATION) for run in runs}
    frame.section("Scores")
    _without(found, "has no scores")
    judged = {name: evaluation for name, evaluation in found.items() if evaluation is not None}
    if judged:
        _table([{RUN: name, **_scores(evaluation)} for name, evaluation in judged.items()])
        st.caption(
            "All but the rule are shares from 0 to 1. Each run is scored on its own validation ground, so scores can "
            "be compared only where images, labels and split are the same."
        )


def _scores(evaluation: results.Content) -> dict[str, str]:
    return {
        "IoU, 0 to 1": words.score(evaluation.get("iou")),
        "Dice, 0 to 1": words.score(evaluation.get("dice")),
        "Precision, 0 to 1": words.score(evaluation.get("precision")),
        "Recall, 0 to 1": words.score(evaluation.get("recall")),
        "IoU of best rule, 0 to 1": words.score(evaluation.get("baseline_iou")),
        "Best rule": str(evaluation.get("baseline") or words.UNKNOWN),
        "Threshold, 0 to 1": words.score(evaluation.get("threshold")),
    }


def settings(runs: Sequence[Run]) -> None:
    """The settings that are not the same in all runs, by their flags."""
    read = {run.name: results.read(run, CONFIG) for run in runs}
    asked = {name: results.part(config, "settings") for name, config in read.items() if config is not None}
    frame.section("Settings that differ")
    _without(read, "does not say what it was asked for")
    rows = differing(asked)
    if rows:
        table = {SETTING: [flag(name) for name in rows]} | {
            run: [values[run] for values in rows.values()] for run in asked
        }
        st.dataframe(table, hide_index=True, column_config={SETTING: "Setting"}, height="content")
    elif len(asked) > 1:
        st.caption("All settings are the same.")


def differing(asked: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Settings that differ between runs, by name: run to value in words."""
    names = dict.fromkeys(name for values in asked.values() for name in values)
    rows = {name: {run: _value(values, name) for run, values in asked.items()} for name in names}
    return {name: values for name, values in rows.items() if len(set(values.values())) > 1}


def _value(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return words.UNKNOWN
    value = values[name]
    if value in ("", None) or value == []:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def curves(runs: Sequence[Run]) -> None:
    """Overlap and loss per epoch, a line a run."""
    networks = {run.name: networks_of(run) for run in runs}
    histories = {name: found.last or None for name, found in networks.items()}
    frame.section("How the models learned")
    older = {run.name for run in runs if not histories[run.name] and of_older_version(run.path(METRICS))}
    _without({n: h for n, h in histories.items() if n not in older}, "has no curves")
    _without(dict.fromkeys(sorted(older)), "was trained by an older version, whose curves cannot be shown")
    if not any(histories.values()):
        return
    _without(
        {name: None for name, found in networks.items() if found.count > 1},
        "has several networks; the curves are those of the one that was trained last",
    )
    for column, (name, title, alt) in zip(st.columns(len(CURVES)), CURVES, strict=True):
        column.markdown(f"**{title}**")
        figure = _figure(histories, attrgetter(name))
        if name == "iou":
            figure.update_yaxes(range=[0, 1])
        column.plotly_chart(figure, alt=alt, config={"displayModeBar": False}, key=f"compared {name}")


def _figure(histories: Mapping[str, Sequence[Epoch] | None], of: Callable[[Epoch], float]) -> go.Figure:
    figure = go.Figure()
    for (run, history), (colour, dash) in zip(histories.items(), LINES, strict=False):
        if history is None:
            continue
        figure.add_scatter(
            x=[row.epoch for row in history],
            y=[of(row) for row in history],
            name=words.in_html(run),
            line={"color": colour, "dash": dash, "width": 2.5},
            mode="lines+markers" if len(history) <= charts.FEW else "lines",
            showlegend=True,
        )
    return figure.update_layout(
        height=300,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": -0.3},
        xaxis={"title": "Epoch", "tickformat": "d"},
        yaxis={"rangemode": "tozero"},
        hovermode="x unified",
    )


def _table(rows: Sequence[Mapping[str, str]]) -> None:
    table = {column: [row[column] for row in rows] for column in rows[0]}
    st.dataframe(table, hide_index=True, column_config={RUN: st.column_config.Column(pinned=True)}, height="content")


def _without(found: Mapping[str, object], what: str) -> None:
    """Name the runs that lack what the section is about."""
    for name in (name for name, content in found.items() if content is None):
        st.caption(f"{words.literal(name)} {what}.")
