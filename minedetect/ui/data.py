"""The page Data: the files of a run, what they hold, and what only the user can say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import streamlit as st

from minedetect import draft as drafts
from minedetect import incoming
from minedetect.draft import Draft, Given, Role
from minedetect.errors import MinedetectError, SettingError
from minedetect.incoming import Stored
from minedetect.runs import Run
from minedetect.ui import checking, drafting, frame, pictures, upload, words

IMAGES = "GeoTIFF (.tif, .tiff, .gtif), up to 4 GiB"
OUTLINES = "GeoJSON, GeoPackage, zipped shapefile, or a mask as GeoTIFF"
ROWS: tuple[tuple[Role, Role], ...] = (("before", "after"), ("labels", "labels_after"))
SHOWN_HASH = 12


def files(run: Run | None, found: Mapping[str, Any] | None) -> None:
    """A drop zone for each file, and what is known of it."""
    frame.section("Files")
    draft = drafts.read(run) if run else Draft()
    for row in ROWS:
        for column, role in zip(st.columns(2, gap="medium"), row, strict=True):
            with column:
                _file(run, role, draft.inputs.get(role), ((found or {}).get("files") or {}).get(role))


def _file(run: Run | None, role: Role, given: Given | None, facts: Mapping[str, Any] | None) -> None:
    outlines = role.startswith("labels")
    suffixes = (*incoming.OUTLINES, *incoming.IMAGES) if outlines else incoming.IMAGES
    label = checking.FILES[role] + (" (optional)" if role == "labels_after" else "")
    with frame.in_words():
        hint = OUTLINES if outlines else IMAGES
        upload.zone(f"zone {role}", label, hint, suffixes, lambda arrived: _take(run, role, _given(arrived)))
        _from_server(run, role, suffixes)
    if given is not None:
        _card(run, role, given, facts)


def _take(run: Run | None, role: Role, given: Given | None) -> None:
    drafting.change(run, lambda draft: draft.with_input(role, given))


def _given(stored: Stored) -> Given:
    return Given(path=str(stored.path), name=stored.name, sha256=stored.sha256, size_bytes=stored.size_bytes)


def _from_server(run: Run | None, role: Role, suffixes: tuple[str, ...]) -> None:
    """Choose a file that lies on the server already."""
    if incoming.data_folder() is None:
        return
    with st.popover("Use a file on the server"):
        names = [name for name in incoming.server_files() if Path(name.lower()).suffix in suffixes]
        if not names:
            st.caption("The server's data folder holds no such file.")
            return
        chosen = st.selectbox("File in the data folder", names, index=None, key=f"server {role}")
        if st.button("Use it", key=f"use {role}", disabled=chosen is None):
            path = incoming.server_file(str(chosen))
            _take(run, role, Given(path=str(path), name=path.name, size_bytes=path.stat().st_size))
            st.rerun()


def no_data_folder() -> None:
    """How files on the server could be used, where nobody has set that up."""
    if incoming.data_folder() is None:
        st.caption(
            "Files that lie on the server already can be used without an upload: "
            f"start it with the environment variable `{incoming.DATA}` naming their folder."
        )


def _card(run: Run | None, role: Role, given: Given, facts: Mapping[str, Any] | None) -> None:
    """One file: its name, what it holds, its checksum, and whether it can be used."""
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{words.literal(given.name)}**", width="content")
            frame.badge(_state(facts))
        if facts and "problem" in facts:
            st.error(words.literal(facts["problem"]))
        elif facts:
            st.caption(words.literal(contents(facts)))
        checksum = given.sha256 or str((facts or {}).get("sha256", ""))
        if checksum:
            size = words.size(given.size_bytes)
            st.caption(f"{size} · SHA-256 `{checksum[:SHOWN_HASH]}…`", help=f"`{checksum}`")
        if st.button("Remove", key=f"remove {role}", help=f"Takes {checking.FILES[role].lower()} out of this run."):
            _take(run, role, None)
            st.rerun()


def _state(facts: Mapping[str, Any] | None) -> words.Badge:
    if facts is None:
        return words.Badge("being checked", "gray")
    return words.Badge("cannot be used", "red") if "problem" in facts else words.Badge("can be read", "green")


def contents(facts: Mapping[str, Any]) -> str:
    """What a file holds, on one line."""
    if "outlines" in facts:
        return words.counted(facts["outlines"], "outline")
    rows, columns = facts["shape"]
    bands = ", ".join(facts["bands"]) or f"{words.counted(facts['count'], 'band')} without names"
    nodata = "none" if facts["nodata"] is None else facts["nodata"]
    told = [bands, f"{rows:,} x {columns:,} px", f"pixels of {facts['pixel_m']:.4g} m", facts["crs"]]
    return " · ".join([*told, facts["dtype"], f"nodata {nodata}"])


def about(run: Run | None, found: Mapping[str, Any] | None) -> None:
    """What only the user can say: years, days, what a mine is, and names that files lack."""
    frame.section("About the files")
    draft = drafts.read(run) if run else Draft()
    told = (found or {}).get("files") or {}
    left, right = st.columns(2, gap="medium")
    for place, number, column in (("first", 0, left), ("second", 1, right)):
        with column:
            _text(run, f"Year of the {place} date", draft.years[number], f"year {number}", _year(number), YEARS[number])
    for place, name, role, column in (
        ("first", "acquired", "before", left),
        ("second", "acquired_after", "after", right),
    ):
        with column:
            _day(run, draft, name, f"Day the {place} image was taken (optional)", told.get(role) or {})
    usual = draft.settings_or_usual("mine_definition")
    _text(run, "What counts as mine", str(usual), "mine_definition", _value("mine_definition"), "In one line")
    _names(run, draft, told)
    with st.expander("More about the images"):
        _more(run, draft)


YEARS = ("Such as 2016", "Such as 2025")


def _year(number: int) -> Any:
    def saved(draft: Draft, text: str) -> Draft:
        first, second = draft.years
        return draft.model_copy(update={"years": (text, second) if number == 0 else (first, text)})

    return saved


def _value(name: str) -> Any:
    return lambda draft, value: draft.with_values(**{name: value})


def _text(run: Run | None, label: str, value: str, key: str, saved: Any, hint: str = "") -> None:
    """A line of text that is kept as soon as it is left."""
    _saving(run, key, value, lambda draft, text: saved(draft, text.strip()), st.text_input, label, placeholder=hint)


def _saving(run: Run | None, key: str, value: Any, saved: Any, widget: Any, label: str, **options: Any) -> None:
    """A widget that shows what the draft holds and keeps what is done to it."""
    name = f"{run.name if run else 'new'} {key}"
    drafting.showing(name, value)

    def keep() -> None:
        given = drafting.shown(name)
        try:
            drafting.change(run, lambda draft: saved(draft, given))
        except (MinedetectError, OSError) as error:
            st.session_state["not kept"] = str(error)

    widget(label, key=name, on_change=keep, **options)


def not_kept() -> None:
    """Why the last change was not kept, if it was not."""
    told = st.session_state.pop("not kept", "")
    if told:
        st.error(words.literal(told))


def _day(run: Run | None, draft: Draft, name: str, label: str, facts: Mapping[str, Any]) -> None:
    given = str(draft.values.get(name, ""))
    hint = str(facts.get("day") or "")
    read = f"The file's name says {hint}." if hint else "Images of different seasons look like change."
    _saving(
        run,
        name,
        date.fromisoformat(given) if given else None,
        lambda draft, day: draft.with_values(**{name: day.isoformat() if day else ""}),
        st.date_input,
        label,
        min_value=date(1972, 1, 1),
        max_value=date(2099, 12, 31),
        format="YYYY-MM-DD",
        help=read,
    )


def _names(run: Run | None, draft: Draft, told: Mapping[str, Any]) -> None:
    """Names that the files lack: of bands, of the layer with the mines, of the classes that are mines."""
    images = [f for role in ("before", "after") if "count" in (f := told.get(role) or {})]
    unnamed = [f for f in images if not f["bands"]]
    if run is not None and (unnamed or draft.values.get("bands")):
        _bands(run, draft, proposed(unnamed, [f for f in images if f["bands"]]))
    labels = told.get("labels") or {}
    if labels.get("undecided") or draft.values.get("layer"):
        _text(run, "Layer that holds the mines", str(draft.values.get("layer", "")), "layer", _value("layer"))
    asked = "class" in str(labels.get("problem", "")) or labels.get("raster")
    if asked or draft.mine_classes:
        shown = ", ".join(str(number) for number in draft.mine_classes)
        _text(run, "Values that are mines, in a raster of classes", shown, "classes", _classes, "Empty: 1 is mine")


def proposed(unnamed: Sequence[Mapping[str, Any]], named: Sequence[Mapping[str, Any]]) -> str:
    """Names to propose for bands without any: the other date's, or what files of so many bands usually hold."""
    for facts in unnamed:
        alike = [other["bands"] for other in named if other["count"] == facts["count"]]
        told = ",".join(alike[0]) if alike else str(facts["proposal"])
        return "" if told.startswith("NAME") else told
    return ""


def _classes(draft: Draft, text: str) -> Draft:
    numbers = [word for word in text.replace(",", " ").split() if word != "and"]
    wrong = [word for word in numbers if not word.isdecimal()]
    if wrong:
        raise SettingError(f"{', '.join(wrong)} is no class of a raster. Give whole numbers, as 5, 6.")
    return draft.model_copy(update={"mine_classes": tuple(int(number) for number in numbers)})


def _bands(run: Run, draft: Draft, names: str) -> None:
    with st.form("bands", border=True):
        st.markdown("**Band names.** An image does not name its bands, and nothing is guessed: say which they are.")
        given = st.text_input(
            "Bands in the file's order", str(draft.values.get("bands", "")) or names, placeholder="B2,B3,B4"
        )
        if st.form_submit_button("These are the bands"):
            drafting.change(run, lambda draft: draft.with_values(bands=given.strip()))
            st.rerun()


def _more(run: Run | None, draft: Draft) -> None:
    for name, label in (
        ("reflectance_offset", "Offset of integer reflectance, first image"),
        ("reflectance_offset_after", "Offset of integer reflectance, second image"),
    ):
        value = float(draft.settings_or_usual(name))
        note = "1000 for Sentinel-2 products of baseline 04.00 and later (2022 on), else 0."
        _saving(run, name, value, _value(name), st.number_input, label, step=100.0, format="%.0f", help=note)
    for name, label in (
        ("correct_shift", "Move the second image by the measured shift, where that is certain"),
        ("match_radiometry", "Match the second image's bands to the first one's on unchanged ground"),
    ):
        _saving(run, name, bool(draft.settings_or_usual(name)), _value(name), st.checkbox, label)


def quicklooks(run: Run, found: Mapping[str, Any]) -> None:
    """Both dates side by side, in one stretch."""
    shown = [(run_file, label) for name, label in LOOKS if (run_file := drafts.check_run(run).path(name)).is_file()]
    if not shown:
        return
    frame.section("Quicklook")
    colours = ", ".join(words.literal(name) for name in found.get("shown") or ())
    st.caption(f"{colours} as red, green and blue; both dates in the first one's stretch. Light grey: no observation.")
    for column, (path, label) in zip(st.columns(2, gap="medium"), shown, strict=False):
        with column:
            content = pictures.preview(str(path), path.stat().st_mtime_ns)
            st.image(content, caption=label, alt=f"{label} seen from above.", width="stretch")


LOOKS = (("before.png", "First date"), ("after.png", "Second date"))


MEND = "There is no mask yet: wait until the files are checked, and mend what stands under Checks."


def onwards(run: Run | None) -> None:
    """The way to the page Mask, once there is a mask to look at."""
    ready = run is not None and drafts.check_run(run).has("mask_layer.png")
    if st.button("Look at the mask", type="primary", disabled=not ready) and run is not None:
        st.switch_page(frame.MASK, query_params={"run": run.name})
    if not ready:
        given = drafts.read(run).inputs if run is not None else {}
        files = "before" in given and "labels" in given
        st.caption(MEND if files else "Give the image of the first date and its outlines to go on.")
