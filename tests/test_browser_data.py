"""From a user's own files to a training, in a real browser."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as NotThere
from test_browser import CHROMIUM, address, browser, page

from minedetect import draft as drafts
from minedetect import incoming, jobs
from minedetect.demo import write_inputs
from minedetect.files import sha256_of
from minedetect.pipeline import Job
from minedetect.runs import CONFIG, Run

__all__ = ["address", "browser", "page"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return write_inputs(Run(tmp_path_factory.mktemp("district")), (256, 256), 0)


def type_into(page: Page, label: str, text: str) -> None:
    page.get_by_label(label).fill(text)
    page.get_by_label(label).press("Tab")


def settled(page: Page) -> None:
    """Wait until the page's script has ended: a list that is open while it runs may be closed by it."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()


def chosen(page: Page, name: str, option: str) -> None:
    """Choose from a list; findings that arrive meanwhile may close it, and people open it again."""
    for _ in range(5):
        settled(page)
        page.get_by_role("combobox", name=re.compile(name)).click()
        with suppress(NotThere):
            page.get_by_role("option", name=option, exact=True).click(timeout=3000)
            return
    raise AssertionError(f"{option} could not be chosen")


@pytest.mark.slow
def test_a_wrong_file_is_refused_in_the_browser_in_words(page: Page, address: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    page.goto(f"{address}/data")
    page.get_by_label("Image of the first date").set_input_files(tmp_path / "notes.txt")
    expect(page.get_by_role("status").filter(has_text="notes.txt was not taken")).to_be_visible()
    (tmp_path / "empty.tif").write_bytes(b"")
    page.get_by_label("Image of the first date").set_input_files(tmp_path / "empty.tif")
    expect(page.get_by_role("status").filter(has_text="The file is empty")).to_be_visible()


@pytest.mark.slow
def test_the_drop_zone_is_reached_and_opened_by_keyboard(page: Page, address: str) -> None:
    page.goto(f"{address}/data")
    zone = page.get_by_label("Image of the first date")
    expect(zone).to_have_attribute("type", "file")
    settled(page)
    for _ in range(5):  # the first visit of a page mounts its zones twice
        zone.focus()
        with suppress(NotThere), page.expect_file_chooser(timeout=3000):
            page.keyboard.press("Enter")
            return
    raise AssertionError("no file could be chosen by keyboard")


@pytest.mark.slow
def test_from_files_to_a_training(page: Page, address: str, home: Path, district: Job, browser: Browser) -> None:
    run = Run(home / "north")
    try:
        page.goto(f"{address}/data")
        type_into(page, "Name of the new run", "north")
        page.get_by_label("Image of the first date").set_input_files(district.before)
        expect(page).to_have_url(f"{address}/data?run=north")
        page.get_by_label("Image of the second date").set_input_files(district.after)
        page.get_by_label("Mine outlines of the first date").set_input_files(district.labels)
        expect(page.get_by_text("SHA-256")).to_have_count(3)
        expect(page.get_by_text(sha256_of(district.before)[:12])).to_be_visible()
        type_into(page, "Year of the first date", "2016")
        type_into(page, "Year of the second date", "2025")
        expect(page.get_by_role("heading", name="Quicklook")).to_be_visible()
        expect(page.get_by_text("can be read")).to_have_count(3)
        expect(page.get_by_role("img", name="First date seen from above.")).to_be_visible()
        expect(page.get_by_text("must be mended before training")).to_be_visible()  # 256 px are one tile alone

        page.get_by_role("button", name="Look at the mask").click()
        expect(page).to_have_url(f"{address}/mask?run=north")
        expect(page.get_by_role("button", name="Go to training")).to_be_disabled()
        chosen(page, "Side of a training tile", "64")
        expect(page.get_by_role("button", name="Go to training")).to_be_enabled()
        settled(page)
        page.get_by_role("combobox", name=re.compile("Outlines to leave out")).click()
        page.keyboard.type("1 ")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Left out on request", exact=False)).to_have_count(1)
        expect(page.get_by_role("tab", name="Split")).to_be_visible()

        page.reload()
        expect(page.get_by_role("button", name="Go to training")).to_be_enabled()
        assert drafts.read(run).settings().exclude_mine == (1,)
        second_tab = browser.new_context().new_page()
        second_tab.goto(f"{address}/data?run=north")
        expect(second_tab.get_by_label("Year of the second date")).to_have_value("2025")
        expect(second_tab.get_by_text("can be read")).to_have_count(3)
        second_tab.context.close()

        page.get_by_role("button", name="Go to training").click()
        expect(page).to_have_url(f"{address}/train?run=north")
        page.get_by_role("slider", name="Epochs").first.press("Home")
        settled(page)
        page.get_by_role("button", name="Start training", exact=True).first.click()
        expect(page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop")).to_be_visible()
        expect(page.get_by_test_id("stMetric").filter(has_text="1 of 1")).to_be_visible()
        asked = run.read_json(CONFIG)
        assert asked["settings"]["exclude_mine"] == [1]
        assert asked["settings"]["epochs"] == 1
        given = asked["inputs"].values()
        assert {one["sha256"] for one in given} == {
            sha256_of(p) for p in (district.before, district.after, district.labels)
        }
        assert all(Path(one["path"]).is_relative_to(home / incoming.FOLDER) for one in given)
    finally:
        jobs.stop(run)
        jobs.stop(drafts.check_run(run))
