"""Every hostile string on every page of the app and in the report, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from draft_support import CHECKS, drafted, found, given, outline
from hostile_strings import STRINGS, plain
from map_support import mapped_run
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from test_browser import CHROMIUM, PATIENCE_MS, address, browser, map_on
from test_hostile_strings import hostile_summary
from test_report import full_run
from ui_support import EVALUATION, finished_run, run_in_state

from minedetect import runs
from minedetect.report_page import write_report
from minedetect.ui import words

__all__ = ["address", "browser"]

EVERYTHING = " ".join(STRINGS)
RAN = "a[href^='javascript'], img[src='x'], img[src*='18999'], .katex, svg[onload]"
"""What would be there had a text been taken for markup."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    run = mapped_run(home, "hostile", **hostile_summary())
    run.write_json(runs.EVALUATION, {**EVALUATION, "warnings": list(STRINGS), "baseline": EVERYTHING})
    run.write_json(runs.CONFIG, {"settings": {f"option_{n}": text for n, text in enumerate(STRINGS)}})
    _spread_labels(run.path(runs.LABELLED_MINES))
    finished_run(home, "years", years=[STRINGS[6] + STRINGS[1], STRINGS[11]])
    run_in_state(home, "failed", "broken", log=EVERYTHING.replace("\0", ""), message=EVERYTHING)
    checks = [*CHECKS, *({"name": text, "verdict": "warning", "message": text} for text in STRINGS)]
    polygons = [outline(n, name=text, status_given=text, id=text) for n, text in enumerate(STRINGS, 1)]
    files = {role: given(home / "given", role, EVERYTHING) for role in ("before", "after", "labels")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINEDETECT_HOME", str(home))
        draft = drafted(home, "draft", inputs=files)
    found(draft, checks=checks, polygons=polygons, shown=list(STRINGS), files={"before": {"problem": EVERYTHING}})
    return home


def _spread_labels(path: Path) -> None:
    """One labelled mine for each string, all of one shape."""
    (drawn,) = json.loads(path.read_text())["features"]
    told = [{"id": n, "mine": text, "hectares": 16.0} for n, text in enumerate(STRINGS, 1)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [{**drawn, "properties": p} for p in told]}))


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A visitor to whom nothing may happen: no dialog, no fault in the console, no request to another server."""
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    happened: list[str] = []
    page.on("dialog", lambda dialog: (happened.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: happened.append(f"fault {error}"))
    page.on("console", lambda told: _note_fault(happened, told))
    page.on("popup", lambda other: happened.append(f"popup {other.url}"))
    page.on("request", lambda asked: _note_stranger(happened, asked.url, address))
    yield page
    context.close()
    assert not happened


def _note_fault(happened: list[str], told: ConsoleMessage) -> None:
    """Streamlit looks for its own addresses below a page's, and the browser calls that a fault."""
    if told.type == "error" and "/_stcore/" not in told.location["url"]:
        happened.append(f"console {told.text} {told.location}")


def _note_stranger(happened: list[str], url: str, address: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob", "file") and parts.netloc != urlsplit(address).netloc:
        happened.append(f"request {url}")


def open_page(page: Page, url: str, heading: str) -> None:
    page.goto(url)
    expect(page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def text_of(page: Page, selector: str = "body") -> str:
    """What a person could read there, on one line, invisible joiners left out."""
    shown = "\n".join(page.locator(selector).evaluate_all("found => found.map(one => one.textContent)"))
    return plain(shown.replace("\u2060", ""))


def tell_all(page: Page, selector: str = "body") -> None:
    """Every string is there; cells of a table are drawn on a canvas, and what screen readers get follows later."""
    waited_ms, left = 0, missing(text_of(page, selector))
    while left and waited_ms < PATIENCE_MS:
        page.wait_for_timeout(250)
        waited_ms, left = waited_ms + 250, missing(text_of(page, selector))
    assert not left


def missing(shown: str) -> list[str]:
    return [text for text in STRINGS if plain(text) not in shown]


def test_results_and_their_map(page: Page, address: str) -> None:
    open_page(page, f"{address}/results?run=hostile", "Hectares of mining")
    tell_all(page, "[data-testid=stAlert]")
    tell_all(page)
    assert page.locator(RAN).count() == 0
    shown = map_on(page)
    for name in ("Outlines found 2016", "Outlines found 2025"):
        shown.get_by_role("checkbox", name=name).uncheck()
    shown.get_by_role("checkbox", name="Labelled mines 2016").check()
    lines = shown.locator("path.leaflet-interactive")
    expect(lines).to_have_count(len(STRINGS))
    for number, text in enumerate(STRINGS):
        lines.nth(number).dispatch_event("mouseover")
        tooltip = shown.get_by_role("tooltip")
        expect(tooltip).to_have_text(f"{plain(text)}, 16.0 ha")
        assert tooltip.locator("*").count() == 0
        lines.nth(number).dispatch_event("mouseout")
        expect(tooltip).to_have_count(0)
    assert shown.locator(RAN).count() == 0


def test_dates_of_odd_names(page: Page, address: str) -> None:
    for name in ("results?run=years", ""):
        open_page(page, f"{address}/{name}", "Hectares of mining" if name else "Runs")
        assert f"Mining in {STRINGS[6]}{STRINGS[1]}" in text_of(page)
        assert page.locator(RAN).count() == 0


@pytest.mark.parametrize(("name", "heading"), [("data", "Files"), ("mask", "Outlines")])
def test_a_draft(page: Page, address: str, name: str, heading: str) -> None:
    open_page(page, f"{address}/{name}?run=draft", heading)
    tell_all(page)
    assert page.locator(RAN).count() == 0
    if name == "mask":
        page.get_by_role("combobox", name="Outlines to leave out").click()
        page.keyboard.type(STRINGS[1])
        expect(page.get_by_role("option")).to_contain_text([STRINGS[1]])


def test_compare_and_a_run_that_failed(page: Page, address: str) -> None:
    open_page(page, f"{address}/compare?run=hostile&run=years", "Settings that differ")
    page.get_by_test_id("stDataFrame").last.scroll_into_view_if_needed()
    tell_all(page, "[role=gridcell]")
    assert page.locator(RAN).count() == 0
    open_page(page, f"{address}/train?run=broken", "Train")
    tell_all(page, "[data-testid=stAlert]")
    assert page.locator(RAN).count() == 0


def test_the_report(page: Page, tmp_path: Path) -> None:
    page.goto(write_report(full_run(tmp_path, EVERYTHING)).as_uri())
    tell_all(page, "td.text")
    tell_all(page, ".verdict li")
    assert page.locator(RAN).count() == 0
    for name in ("alt", "aria-label", "title"):
        values = page.locator(f"[{name}]").evaluate_all(f"found => found.map(one => one.getAttribute('{name}'))")
        assert not [value for value in values if "{{" in value]
    assert page.evaluate("() => document.scripts.length") == 0
    assert words.literal(EVERYTHING) not in text_of(page), "it is no Markdown"
