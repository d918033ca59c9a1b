"""The app in a real browser, served as `minedetect app` serves it, from another folder."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from map_support import mapped_run
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect, sync_playwright
from ui_support import AREAS_CSV, CONFIG, HOSTILE, finished_run, run_in_state, served, status, write_metrics

from minedetect import jobs, runs
from minedetect.curves import read_metrics
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

EPOCH_ON_THE_PAGE = (
    "Math.max(0, ...[...document.querySelectorAll('[data-testid=stMetric]')]"
    ".map(m => parseInt((m.innerText.match(/(\\d+) of \\d+/) || [0, 0])[1])))"
)

HOSTILE_MINE = "{{7*7}}<img src=x onerror=document.title='run'>"
MAP = 'iframe[title^="Map of mining"]'
WIDTH_DEG = "(map_div.getBounds().getEast() - map_div.getBounds().getWest())"
TURNED_OUT = "Array.from(document.querySelectorAll('.leaflet-tile')).every(tile => tile.complete && tile.naturalWidth)"

PATIENCE_MS = 60_000
"""How long a page may take on a busy machine; none takes so long where all is well."""

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    finished_run(home, "finished")
    finished_run(home, "hostile", reasons=list(HOSTILE), notes=list(HOSTILE), mine_definition=HOSTILE[1])
    mapped_run(home)
    mapped_run(home, "mapped-hostile", mine=HOSTILE_MINE)
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
    page.set_default_timeout(PATIENCE_MS)
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
    assert page.url.endswith("/results?run=finished")


@pytest.mark.slow
def test_charts_of_a_result_come_when_they_are_asked_for(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=mapped")
    map_on(page)
    assert page.locator(".js-plotly-plot").count() == 0
    frame = page.locator(MAP).element_handle().content_frame()
    assert frame is not None
    frame.evaluate("() => { window.sameMap = true; }")
    for title, charts in (("Loss and overlap per epoch", 2), ("Try other thresholds", 3)):
        page.get_by_text(title, exact=True).click()
        expect(page.locator(".js-plotly-plot")).to_have_count(charts)
    page.wait_for_timeout(300)
    assert frame.evaluate("() => window.sameMap")


@pytest.mark.slow
def test_a_file_is_downloaded_as_it_is(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=finished")
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"areas\.csv")).click()
    assert download.value.suggested_filename == "areas.csv"
    assert Path(download.value.path()).read_bytes() == AREAS_CSV


@pytest.mark.slow
def test_text_from_files_is_shown_literally(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=hostile")
    reasons = page.get_by_test_id("stAlert")
    expect(reasons).to_contain_text("[a](javascript:alert(1))")
    for text in HOSTILE:
        expect(reasons).to_contain_text(text)
        expect(page.get_by_text(text, exact=True).last).to_be_visible()
    assert reasons.locator("a, script, .katex, [data-testid=stIconMaterial]").count() == 0
    assert page.locator("a[href^=javascript]").count() == 0


@pytest.mark.slow
def test_overview_follows_a_run_to_its_end(page: Page, address: str, home: Path) -> None:
    run = run_in_state(home, "running", "moving", step="train", done=1, total=60)
    page.goto(address)
    expect(page.get_by_text("Step 2 of 5 · Training the model · epoch 1 of 60")).to_be_visible()
    run.write_status(status("running", step="predict", done=7, total=9))
    expect(page.get_by_text("Step 3 of 5 · Finding mines in both images · 78 %")).to_be_visible()
    finished_run(home, "moving")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert page.get_by_role("button", name="Stop").count() == 0
    page.get_by_role("button", name="Open results").first.click()
    expect(page.get_by_role("heading", name="Hectares of mining")).to_be_visible()
    expect(page).to_have_url(f"{address}/results?run=moving")


@pytest.mark.slow
def test_a_run_that_fails_while_watched_says_so(page: Page, address: str, home: Path) -> None:
    run = run_in_state(home, "running", "falling", step="train", done=1, total=60)
    page.goto(f"{address}/results?run=falling")
    expect(page.get_by_text("epoch 1 of 60")).to_be_visible()
    run.write_status(status("failed", message="The disk is full."))
    expect(page.get_by_text("The disk is full.")).to_be_visible()
    Run(home / "falling").write_status(status("stopped"))


@pytest.mark.slow
def test_the_training_page_follows_the_epochs(page: Page, address: str, home: Path) -> None:
    run = run_in_state(home, "running", "learning", step="train", done=4, total=60)
    run.write_json(runs.CONFIG, CONFIG)
    write_metrics(run, 4)
    page.goto(f"{address}/train?run=learning")
    expect(epochs_shown(page)).to_contain_text("4 of 60")
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    expect(page.get_by_text("Best: epoch 4")).to_have_count(2)
    expect(page.locator("p", has_text="The training loss fell from")).to_contain_text("good")
    write_metrics(run, 9)
    expect(epochs_shown(page)).to_contain_text("9 of 60")
    expect(page.get_by_text("Best: epoch 9")).to_have_count(2)
    run.write_status(status("stopped", step="train"))
    expect(page.get_by_text("goes on with epoch 10")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


@pytest.mark.slow
def test_a_real_training_is_started_reloaded_stopped_and_resumed(page: Page, address: str, home: Path) -> None:
    run, ours = Run(home / "real"), page.get_by_test_id("stMainBlockContainer")
    page.set_default_timeout(240_000)
    expect.set_options(timeout=240_000)
    try:
        page.goto(f"{address}/train?run=finished")
        page.get_by_label("Name of the run").fill("real")
        page.get_by_role("slider", name="Width of the network").press("Home")
        expect(page.get_by_text("Width of the network 4 instead of 16")).to_be_visible()
        page.get_by_role("button", name="Start training").click()
        expect(page).to_have_url(f"{address}/train?run=real")
        expect(ours.get_by_role("button", name="Stop")).to_be_in_viewport()
        expect(epochs_shown(page)).to_contain_text(re.compile(r"[1-9]\d* of 60"))
        page.reload()
        expect(page.get_by_role("progressbar")).to_be_visible()
        expect(epochs_shown(page)).to_contain_text(re.compile(r"([2-9]|\d\d) of 60"))
        ours.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("stopped", exact=True)).to_be_visible()
        before = read_metrics(run.path(runs.METRICS))[-1].epoch
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("running", exact=True)).to_be_visible()
        page.wait_for_function(f"() => {EPOCH_ON_THE_PAGE} > {before}")
        ours.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        epochs = [row.epoch for row in read_metrics(run.path(runs.METRICS))]
        assert epochs == [*range(1, len(epochs) + 1)]
        assert epochs[-1] > before
    finally:
        expect.set_options(timeout=PATIENCE_MS)
        jobs.stop(run)


def epochs_shown(page: Page) -> Locator:
    """The figure that says which epoch of how many is done."""
    return page.get_by_test_id("stMetric").filter(has_text=re.compile(r"\d+ of \d+"))


def map_on(page: Page) -> FrameLocator:
    """The map of the page, when its tiles are there."""
    expect(page.locator(MAP)).to_be_visible()
    shown = page.frame_locator(MAP)
    expect(shown.locator(".leaflet-tile-loaded").first).to_be_visible()
    return shown


@pytest.mark.slow
def test_the_map_is_there_without_a_network(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=mapped")
    shown = map_on(page)
    expect(shown.get_by_role("checkbox", name="Image 2016")).to_be_checked()
    expect(shown.get_by_role("checkbox", name="Kinds of change")).not_to_be_checked()
    shown.get_by_role("checkbox", name="Kinds of change").check()
    shown.get_by_role("checkbox", name="Probability 2025").check()
    expect(shown.locator(".leaflet-tile").nth(4)).to_be_attached()
    map_frame = page.locator(MAP).element_handle().content_frame()
    assert map_frame is not None
    map_frame.wait_for_function(f"() => {TURNED_OUT}")
    expect(shown.locator("path.leaflet-interactive")).to_have_count(4)
    expect(page.get_by_role("list", name="Legend of the map")).to_contain_text("mine in 2016 and 2025")


@pytest.mark.slow
def test_a_base_map_that_cannot_be_had_is_said_and_the_map_stays(browser: Browser, address: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.route("https://tile.openstreetmap.org/**", lambda route: route.abort())
        page.goto(f"{address}/results?run=mapped")
        shown = map_on(page)
        note = shown.locator(".base-note")
        expect(note).to_be_empty()
        page.get_by_text("Show OpenStreetMap beneath").click()
        expect(shown.get_by_role("status")).to_contain_text("The base map cannot be reached")
        assert shown.locator("path.leaflet-interactive").count() == 4
        page.get_by_text("Show OpenStreetMap beneath").click()
        expect(note).to_be_empty()


def test_arrow_keys_move_the_swipe_and_cut_both_dates(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=mapped")
    shown = map_on(page)
    handle = shown.get_by_role("slider", name="Swipe between 2016 on the left and 2025 on the right")
    cuts = [shown.locator(f".leaflet-{date}-pane") for date in ("before", "after")]
    old = [cut.evaluate("pane => pane.style.clipPath") for cut in cuts]
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(handle).to_have_value("52")
    new = [cut.evaluate("pane => pane.style.clipPath") for cut in cuts]
    assert all(one.startswith("polygon(") and one != before for one, before in zip(new, old, strict=True))
    assert shown.locator(".leaflet-before-pane path").count() == 4
    assert shown.locator(".leaflet-before-lines-pane path").count() == 4


@pytest.mark.slow
def test_an_outline_tells_its_hectares_and_a_hostile_name_is_text(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=mapped-hostile")
    shown = map_on(page)
    for name in ("Outlines found 2016", "Outlines found 2025"):
        shown.get_by_role("checkbox", name=name).uncheck()
    shown.get_by_role("checkbox", name="Labelled mines 2016").check()
    shown.locator("path.leaflet-interactive").dispatch_event("mouseover")
    tooltip = shown.get_by_role("tooltip")
    expect(tooltip).to_have_text(f"{HOSTILE_MINE}, 16.0 ha")
    assert tooltip.locator("img").count() == 0
    assert shown.locator("body").evaluate("() => document.title").startswith("Map of mining")


@pytest.mark.slow
def test_a_chosen_mine_is_zoomed_to_without_loading_the_map_anew(page: Page, address: str) -> None:
    page.goto(f"{address}/results?run=mapped")
    shown = map_on(page)
    frame = page.locator(MAP).element_handle().content_frame()
    assert frame is not None
    wide = frame.evaluate(f"() => {{ window.sameMap = true; return {WIDTH_DEG}; }}")
    table = page.get_by_test_id("stDataFrame").nth(1)
    table.scroll_into_view_if_needed()
    table.click(position={"x": 17, "y": 52})
    frame.wait_for_function(f"wide => {WIDTH_DEG} < 0.9 * wide", arg=wide)
    assert frame.evaluate("() => window.sameMap")
    expect(shown.locator(".leaflet-tile-loaded").first).to_be_visible()


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
