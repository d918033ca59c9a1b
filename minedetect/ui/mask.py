"""The page Mask: what the outlines become on the image, and which of them are left out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import streamlit as st
from PIL import Image

from minedetect import draft as drafts
from minedetect.draft import Draft
from minedetect.presets import describe, flag
from minedetect.runs import EDGE_PICTURE, MASK_PICTURE, SPLIT_PICTURE, Run
from minedetect.ui import checking, drafting, frame, pictures, words

TILES_PX = (64, 96, 128, 192, 256, 384, 512)
TAKEN_OUT = "taken out"
LEAST_WIDTH_PX = 640
"""Of the picture with the mask over it: small scenes are enlarged, or small mines would not be seen."""
CLAIM_SHARE = 0.1
"""A claimed area so far off the true one is worth a word."""
STILL = (
    (
        "Side by side",
        MASK_PICTURE,
        "The image, the mask, and both laid over each other.",
        "The outlines as the model sees them. They should lie on the mines of the image.",
    ),
    (
        "Edges",
        EDGE_PICTURE,
        "The borders of the mask on the image, close up on the largest mine, and the sizes of its patches.",
        "The borders of the outlines. They should follow the borders of the mines.",
    ),
    (
        "Split",
        SPLIT_PICTURE,
        "The scene with its ground for training, for validation, and the gap between them.",
        "What each part of the scene is for. No pixel of validation is ever in a training tile.",
    ),
)


def show(run: Run, found: Mapping[str, Any]) -> None:
    """Class balance, pictures, the table of outlines and how the ground is split."""
    _balance(found)
    _pictures(run)
    _outlines(run, found)
    _split(run)


def _balance(found: Mapping[str, Any]) -> None:
    frame.section("Class balance")
    share, unknown = words.number(found.get("mine_share")) or 0.0, words.number(found.get("unknown_px")) or 0.0
    rows, columns = found.get("shape") or (1, 1)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Labelled mine", words.hectares(found.get("mine_ha")), width="content")
        st.metric("Share of the scene", f"{share:.2%}", width="content")
        st.metric("Patches", words.count(found.get("patches")), width="content")
        st.metric("Without observation", f"{words.number(found.get('invalid_share')) or 0.0:.2%}", width="content")
        if unknown:
            st.metric("Unknown", f"{unknown / (rows * columns):.2%}", width="content")


def _pictures(run: Run) -> None:
    frame.section("Image and mask")
    folder = drafts.check_run(run)
    still = [of for of in STILL if folder.has(of[1])]
    tabs = st.tabs(["Overlay", *(title for title, _, _, _ in still)])
    with tabs[0]:
        st.fragment(_overlay)(folder)
    for tab, (_, name, alt, caption) in zip(tabs[1:], still, strict=True):
        with tab:
            content = pictures.preview(str(folder.path(name)), folder.path(name).stat().st_mtime_ns)
            st.image(content, caption=caption, alt=alt, width="stretch")


def _overlay(folder: Run) -> None:
    with frame.in_words():
        percent = st.slider(
            "Opacity of the mask",
            0,
            100,
            45,
            5,
            format="%d %%",
            key="opacity",
            help="0 shows the image alone.",
            width=420,
        )
        layer, image = folder.path("mask_layer.png"), folder.path("before.png")
        changed = layer.stat().st_mtime_ns
        content = overlaid(str(image), str(layer), percent, changed)
        alt = f"The first image with the mask over it at {percent} % opacity."
        with Image.open(image) as shown:
            width_px = max(shown.width, LEAST_WIDTH_PX)
        with st.container(width=width_px):  # which a phone makes narrower, and an image of so many pixels not
            told = "Red: mine. Yellow: unknown ground, which teaches nothing."
            st.image(content, caption=told, width="stretch", alt=alt)


@st.cache_data(max_entries=64, show_spinner=False)
def overlaid(image: str, layer: str, percent: int, changed_ns: int) -> bytes:  # noqa: ARG001 (part of the cache key)
    """The image with the mask over it, as JPEG.

    Args:
        image: its quicklook.
        layer: the mask as colours with alpha, of the same size.
        percent: opacity of the mask.
        changed_ns: when the mask was written.
    """
    with Image.open(image) as below, Image.open(layer) as above:
        ground, colours = below.convert("RGB"), above.convert("RGBA").resize(below.size, Image.Resampling.NEAREST)
    opacity = colours.getchannel("A").point(lambda alpha: alpha * percent // 100)
    ground.paste(colours.convert("RGB"), mask=opacity)
    packed = io.BytesIO()
    ground.save(packed, "JPEG", quality=90, subsampling=0)
    return packed.getvalue()


def _outlines(run: Run, found: Mapping[str, Any]) -> None:
    frame.section("Outlines")
    kept, left_out = list(found.get("polygons") or ()), list(found.get("left_out") or ())
    if not kept:
        st.caption("The labels are a raster, so there are no outlines to list or to leave out.")
        return
    every = sorted([*kept, *left_out], key=lambda outline: int(outline["index"]))
    aside = {outline["index"] for outline in left_out}
    table = {
        "Number": [o["index"] for o in every],
        "Name": [o["name"] for o in every],
        "Status": [o["status"] for o in every],
        "Drawn, ha": [o["hectares"] for o in every],
        "On the mask, ha": [o.get("mask_ha") for o in every],
        "Used": ["left out" if o["index"] in aside else "yes" for o in every],
        "To look at": ["" if o["index"] in aside else "; ".join(remarks(o)) or "nothing" for o in every],
    }
    numbers = {name: st.column_config.NumberColumn(format="%,.1f") for name in table if name.endswith(", ha")}
    st.dataframe(table, hide_index=True, column_config=numbers, height="content" if len(every) < 15 else 500)
    _leave_out(run, {int(o["index"]): str(o["name"]) for o in every})


def _leave_out(run: Run, names: Mapping[int, str]) -> None:
    key = f"{run.name} {TAKEN_OUT}"
    given = drafts.read(run).values.get("exclude_mine") or ()
    drafting.showing(key, [number for number in given if number in names])

    def keep() -> None:
        chosen = tuple(sorted(drafting.shown(key)))
        drafts.update(run, lambda draft: draft.with_values(exclude_mine=chosen))

    st.multiselect(
        "Outlines to leave out",
        list(names),
        key=key,
        on_change=keep,
        format_func=lambda number: f"{number} {names[number]}".strip(),
        placeholder="None",
        help=f"Their ground counts as unknown: it teaches nothing and is not judged. ({flag('exclude_mine')})",
    )


def remarks(outline: Mapping[str, Any]) -> list[str]:
    """What is worth looking at in one outline, in a few words each."""
    drawn, claimed = words.number(outline.get("hectares")) or 0.0, words.number(outline.get("claimed_ha"))
    told = [
        f"{figure:,.1f} ha {what}"
        for key, what in (
            ("outside_ha", "lie outside the image"),
            ("unobserved_ha", "have no observation"),
            ("repair_ha", "moved by the repair"),
        )
        if (figure := words.number(outline.get(key)) or 0.0) >= 0.05
    ]
    if outline.get("coarse"):
        told.append("too small or thin for the pixels")
    if claimed is not None and abs(claimed - drawn) > max(CLAIM_SHARE * drawn, 0.5):
        told.append(f"the file claims {claimed:,.1f} ha")
    if outline.get("status_given") and str(outline["status_given"]).lower() != outline.get("status"):
        told.append(f"status is written {outline['status_given']}")
    return told


def _split(run: Run) -> None:
    frame.section("How the ground is split")
    draft = drafts.read(run)
    left, right = st.columns(2, gap="medium")
    with left:
        _setting(run, draft, "tile_px", "Side of a training tile, pixels", st.selectbox, options=TILES_PX)
    with right:
        _setting(
            run,
            draft,
            "validation_share",
            "Share of the mine area for validation",
            st.slider,
            min_value=0.05,
            max_value=0.5,
            step=0.05,
        )


def _setting(run: Run, draft: Draft, name: str, label: str, widget: Any, **options: Any) -> None:
    key = f"{run.name} {name}"
    drafting.showing(key, draft.settings_or_usual(name))

    def keep() -> None:
        chosen = drafting.shown(key)
        drafts.update(run, lambda draft: draft.with_values(**{name: chosen}))

    widget(label, key=key, on_change=keep, help=describe(name), **options)


def onwards(run: Run) -> None:
    """The way to the page Train, or what stands in it."""
    stand_in_the_way = checking.obstacles(run)
    if st.button("Go to training", type="primary", disabled=bool(stand_in_the_way)):
        st.switch_page(frame.TRAIN, query_params={"run": run.name})
    if stand_in_the_way:
        st.markdown("Before training:" + "".join(f"\n- {told}" for told in stand_in_the_way))
        st.page_link(frame.DATA, label="Go to Data", query_params={"run": run.name})


def without_a_mask(run: Run) -> None:
    """Where the files gave no mask."""
    st.info("There is no mask yet: it needs the image of the first date and outlines that lie on it.")
    st.page_link(frame.DATA, label="Go to Data", query_params={"run": run.name})
