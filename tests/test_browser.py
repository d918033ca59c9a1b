"""The app in a real browser, served as `minedetect app` serves it, from another folder."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from ui_support import AREAS_CSV, HOSTILE, finished_run, run_in_state, served, status

from minedetect.runs import Run

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    finished_run(home, "finished")
    finished_run(home, "hostile", reasons=list(HOSTILE), notes=list(HOSTILE), mine_definition=HOSTILE[1])
    return home


@pytest.fixture(scope="module")
def address(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(home, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A fresh visitor; whatever the test does, no request may leave this computer."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.set_default_timeout(10_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    yield page
    context.close()
    assert asked
    hosts = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme not in ("data", "blob")}
    assert hosts == {"127.0.0.1"}


def test_a_deep_link_works_as_the_first_request(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=finished")
    expect(page.get_by_role("heading", name="Hectares of mining")).to_be_visible()
    expect(page.get_by_text("5,012.7 ha", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Overview").first).to_be_visible()
    expect(page.get_by_text("Needs review.")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Both images with the mines found"))).to_have_count(1)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    assert page.url.endswith("/results?run=finished")


def test_a_file_is_downloaded_as_it_is(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=finished")
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"areas\.csv")).click()
    assert download.value.suggested_filename == "areas.csv"
    assert Path(download.value.path()).read_bytes() == AREAS_CSV


def test_text_from_files_is_shown_literally(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=hostile")
    reasons = page.get_by_test_id("stAlert")
    expect(reasons).to_contain_text("[a](javascript:alert(1))")
    for text in HOSTILE:
        expect(reasons).to_contain_text(text)
        expect(page.get_by_text(text, exact=True).last).to_be_visible()
    assert reasons.locator("a, script, .katex, [data-testid=stIconMaterial]").count() == 0
    assert page.locator("a[href^=javascript]").count() == 0


def test_overview_follows_a_run_to_its_end(page: Page, address: str, home: Path) -> None:
    run = run_in_state(home, "running", "moving", step="train", done=1, total=60)
    page.goto(address)
    expect(page.get_by_text("Step 2 of 5 · Training the model · round 1 of 60")).to_be_visible()
    run.write_status(status("running", step="predict", done=7, total=9))
    expect(page.get_by_text("Step 3 of 5 · Finding mines in both images · 78 %")).to_be_visible()
    finished_run(home, "moving")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert page.get_by_role("button", name="Stop").count() == 0
    page.get_by_role("button", name="Open results").first.click()
    expect(page.get_by_role("heading", name="Hectares of mining")).to_be_visible()
    expect(page).to_have_url(f"{address}/results?run=moving")


def test_a_run_that_fails_while_watched_says_so(page: Page, address: str, home: Path) -> None:
    run = run_in_state(home, "running", "falling", step="train", done=1, total=60)
    page.goto(f"{address}/results?run=falling")
    expect(page.get_by_text("round 1 of 60")).to_be_visible()
    run.write_status(status("failed", message="The disk is full."))
    expect(page.get_by_text("The disk is full.")).to_be_visible()
    Run(home / "falling").write_status(status("stopped"))


def test_a_foreign_host_name_gets_no_session(address: str) -> None:
    assert _handshake(address, "127.0.0.1") == 101
    assert _handshake(address, "rebound.example") == 403


def _handshake(address: str, host: str) -> int:
    port = urlsplit(address).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    headers = {
        "Host": f"{host}:{port}",
        "Origin": f"http://{host}:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection.request("GET", "/_stcore/stream", headers=headers)
    code = connection.getresponse().status
    connection.close()
    return code
