"""What axe-core finds in the way of people who use the pages by keyboard, by ear, or with weak eyes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from draft_support import drafted, found
from map_support import mapped_run
from playwright.sync_api import Browser, Frame, Page, expect
from test_browser import CHROMIUM, PATIENCE_MS, browser, map_on
from test_report import full_run
from ui_support import CONFIG, finished_run, run_in_state, served

from minedetect import runs
from minedetect.presets import settings_from
from minedetect.report_page import write_report

__all__ = ["browser"]

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("empty"), cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("full")
    mapped_run(home)
    finished_run(home, "second", verdict="plausible", reasons=[])
    settings = settings_from({"preset": "cpu", "epochs": 7}, gpu=False).model_dump()
    runs.Run(home / "second").write_json(runs.CONFIG, {**CONFIG, "settings": settings})
    run_in_state(home, "failed", "broken", log="No room.\n", message="The disk is full.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINEDETECT_HOME", str(home))
        found(drafted(home, "draft"))
    with served(home, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, theme: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 900}, color_scheme=theme, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()


def settled(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def grave(frame: Page | Frame) -> list[str]:
    """What axe calls serious or critical in a page or a frame, a line for each place."""
    frame.evaluate(AXE)
    answer: dict[str, Any] = frame.evaluate("() => axe.run(document, {resultTypes: ['violations'], iframes: false})")
    return [
        f"{fault['id']}: {' '.join(map(str, node['target']))} | {node['html'][:160]} | {node['failureSummary'][:300]}"
        for fault in answer["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@THEMES
def test_an_empty_home(page: Page, empty: str) -> None:
    faults = {}
    for name in ("", "data", "mask", "train", "results", "compare"):
        settled(page, f"{empty}/{name}")
        faults[name] = grave(page)
    assert not any(faults.values()), faults


@THEMES
@pytest.mark.parametrize(
    "name",
    ["", "data?run=draft", "mask?run=draft", "train?run=mapped", "train?run=broken", "compare?run=mapped&run=second"],
)
def test_a_page_with_runs(page: Page, full: str, name: str) -> None:
    settled(page, f"{full}/{name}")
    assert grave(page) == []


@THEMES
def test_results_and_their_map(page: Page, full: str) -> None:
    settled(page, f"{full}/results?run=mapped")
    map_on(page)
    assert grave(page) == []
    (frame,) = (frame for frame in page.frames if frame.title().startswith("Map of mining"))
    assert grave(frame) == []


@THEMES
def test_the_report(page: Page, tmp_path: Path) -> None:
    page.goto(write_report(full_run(tmp_path)).as_uri())
    assert grave(page) == []
