"""The page Mask, and the way from a draft to its run, as a visitor sees it."""

from __future__ import annotations

from pathlib import Path

from draft_support import CHECKS, FACTS, Started, drafted, found, outline, started
from PIL import Image
from streamlit.testing.v1 import AppTest
from ui_support import HOSTILE, alerts, home, metrics, opened, run_in_state, shown

from minedetect import draft as drafts
from minedetect.ui import mask

__all__ = ["home", "started"]

BLOCKED = {"name": "balance", "verdict": "blocking", "message": "No pixel is labelled mine."}


def plain(at: AppTest) -> str:
    return shown(at).replace("\\", "")


def disabled(at: AppTest, label: str) -> bool:
    return next(b.disabled for b in at.button if b.label == label)


def press(at: AppTest, label: str) -> AppTest:
    return next(b for b in at.button if b.label == label).click().run()


def test_without_a_draft_the_page_leads_to_data(home: Path) -> None:
    at = opened("mask", main=True)
    assert not at.exception
    assert "no run in the making" in alerts(at)[0]
    assert at.get("page_link")[0].proto.label == "Go to Data"


def test_balance_pictures_and_outlines_are_shown(home: Path) -> None:
    found(drafted(home))
    at = opened("mask", main=True, run="mine")
    assert not at.exception
    assert metrics(at) == {
        "Labelled mine": "381.6 ha",
        "Share of the scene": "5.00%",
        "Patches": "7",
        "Without observation": "0.67%",
    }
    assert [tab.label for tab in at.tabs] == ["Overlay", "Side by side", "Edges"]
    assert at.slider[0].label == "Opacity of the mask"
    table = at.dataframe[0].value
    assert list(table["Number"]) == [1, 2]
    assert table["To look at"][0] == "nothing"
    assert "3.2 ha lie outside the image" in table["To look at"][1]
    assert "the file claims 80.0 ha" in table["To look at"][1]
    assert "status is written acttive" in table["To look at"][1]
    assert disabled(at, "Go to training") is False


def test_what_a_check_says_of_an_outline_stands_in_the_table_too() -> None:
    assert mask.remarks(outline(1, coarse=True)) == ["too small or thin for the pixels"]
    assert mask.remarks(outline(1, coarse=False)) == []


def test_an_outline_is_left_out_and_the_check_begins_again(home: Path, started: Started) -> None:
    run = found(drafted(home))
    at = opened("mask", main=True, run="mine")
    at.multiselect[0].set_value([2]).run()
    assert not at.exception
    assert drafts.read(run).values == {"exclude_mine": [2]}
    assert started == [("check", ["mine"])]
    found(run, polygons=[outline(1)], left_out=[outline(2)])
    again = opened("mask", run="mine")
    assert again.multiselect[0].value == [2]
    assert list(again.dataframe[0].value["Used"]) == ["yes", "left out"]
    again.multiselect[0].set_value([]).run()
    assert drafts.read(run).values == {}


def test_tile_and_validation_share_are_kept(home: Path) -> None:
    run = found(drafted(home))
    at = opened("mask", main=True, run="mine")
    at.selectbox(key="mine tile_px").set_value(64).run()
    assert drafts.read(run).values == {"tile_px": 64}


def test_what_blocks_stands_in_the_way_of_training(home: Path, started: Started) -> None:
    found(drafted(home), checks=[*CHECKS, BLOCKED], verdict="blocking")
    at = opened("mask", main=True, run="mine")
    assert disabled(at, "Go to training") is True
    assert "No pixel is labelled mine." in alerts(at)[0].replace("\\", "")
    at = opened("train", main=True, run="mine")
    assert not at.exception
    assert disabled(at, "Start training") is True
    assert started == []


def test_what_is_missing_stands_in_the_way_too(home: Path) -> None:
    found(drafted(home, years=("", "")))
    at = opened("mask", main=True, run="mine")
    assert disabled(at, "Go to training") is True
    assert "Say which years" in plain(at)


def test_labels_without_outlines_and_files_without_a_mask(home: Path) -> None:
    found(drafted(home), polygons=[])
    at = opened("mask", main=True, run="mine")
    assert not at.exception
    assert "no outlines to list" in plain(at)
    run = found(drafted(home, "other", roles=("before",)), files={"before": FACTS["before"]}, checks=[])
    drafts.check_run(run).path("mask_layer.png").unlink()
    at = opened("mask", main=True, run="other")
    assert not at.exception
    assert "no mask yet" in plain(at)


def test_the_overlay_goes_from_the_image_to_the_mask(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (10, 200, 10)).save(tmp_path / "image.png")
    layer = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    layer.paste((209, 73, 91, 255), (0, 0, 20, 30))
    layer.save(tmp_path / "layer.png")
    for percent, left in ((0, (10, 200, 10)), (100, (209, 73, 91))):
        content = mask.overlaid(str(tmp_path / "image.png"), str(tmp_path / "layer.png"), percent, 0)
        (tmp_path / "out.jpg").write_bytes(content)
        with Image.open(tmp_path / "out.jpg") as seen:
            near, far = seen.getpixel((5, 15)), seen.getpixel((35, 15))
        assert max(abs(a - b) for a, b in zip(near, left, strict=True)) < 6
        assert max(abs(a - b) for a, b in zip(far, (10, 200, 10), strict=True)) < 6


def test_names_are_never_markup(home: Path) -> None:
    for number, text in enumerate(HOSTILE):
        run = drafted(home, f"h{number}")
        found(run, polygons=[outline(1, name=text)], checks=[{"name": text, "verdict": "warning", "message": text}])
        at = opened("mask", run=f"h{number}")
        assert not at.exception
        assert text not in shown(at)
        assert at.dataframe[0].value["Name"][0] == text


def test_a_draft_is_what_the_train_page_starts(home: Path, started: Started) -> None:
    run = found(drafted(home, values={"exclude_mine": [2]}), polygons=[outline(1)], left_out=[outline(2)])
    at = opened("train", main=True, run="mine")
    assert not at.exception
    text = plain(at)
    assert "Train on the data of mine" in text
    assert "Left out: outline 2" in text
    assert "Train on the built-in district" in [e.label for e in at.expander]
    at.select_slider(key="mine: epochs").set_value(2).run()
    press(at, "Start training")
    (name, line), inputs = started[0], drafts.read(run).inputs
    assert name == "mine"
    assert line[:8] == [
        "run",
        *(inputs[r].path for r in ("before", "after", "labels")),
        "--years",
        "2016",
        "2025",
        "--out",
    ]
    assert {"--exclude-mine=2", "--preset=cpu", "--epochs=2"} <= set(line)
    assert drafts.read(run).values["epochs"] == 2


def test_a_begun_draft_can_be_started_again_and_its_name_is_not_the_districts(home: Path, started: Started) -> None:
    found(drafted(home))
    run_in_state(home, "done", "mine")
    at = opened("train", main=True, run="mine")
    assert not at.exception
    assert disabled(at, "Start training again") is False
    at.text_input(key="name of the new run").set_value("mine").run()
    press(at, "Start training")
    assert "belongs to your own data" in alerts(at)[0]
    assert started == []
