"""The form of a training in a real browser: what is chosen quickly is what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from draft_support import drafted, found
from playwright.sync_api import Page, expect
from test_browser import CHROMIUM, address, browser, page

from minedetect import draft as drafts
from minedetect.ui import scales

__all__ = ["address", "browser", "page"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.mark.slow
def test_a_slider_moved_quickly_ends_where_it_was_left(
    page: Page, address: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each move runs the page again; an earlier one must neither be written last nor move the slider back."""
    monkeypatch.setenv("MINEDETECT_HOME", str(home))
    run = found(drafted(home))
    ladder = scales.scale_of("epochs")
    assert isinstance(ladder, scales.Ladder)
    page.goto(f"{address}/train?run={run.name}")
    slider = page.get_by_role("slider", name="Epochs").first
    idle = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(slider).to_be_visible()
    for moves, pause_ms in ((12, 40), (9, 90), (11, 50)):
        expect(idle).to_be_visible()
        slider.press("Home")
        for _ in range(moves):
            slider.press("ArrowRight")
            page.wait_for_timeout(pause_ms)
        last = int(ladder.marks[moves])
        expect(page.get_by_text(f"Epochs {last} instead of")).to_be_visible()
        page.wait_for_timeout(1500)  # what is still on its way would undo it now
        expect(page.get_by_text(f"Epochs {last} instead of")).to_be_visible()
        expect(slider).to_have_value(str(moves))
        assert drafts.read(run).values["epochs"] == last


@pytest.mark.slow
def test_the_page_mask_is_no_wider_than_a_phone(
    page: Page, address: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINEDETECT_HOME", str(home))
    run = found(drafted(home, "phone"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/mask?run={run.name}")
    expect(page.get_by_role("img", name="The first image with the mask over it")).to_be_visible()
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth <= part.clientWidth")
