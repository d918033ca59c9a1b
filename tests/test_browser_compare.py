"""Two finished runs side by side, in a real browser, against what their files say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from test_browser import CHROMIUM, PATIENCE_MS, address, browser
from ui_support import EVALUATION, SUMMARY, finished_run, write_metrics

from minedetect import runs
from minedetect.curves import read_metrics
from minedetect.presets import settings_from

__all__ = ["address", "browser"]


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs; of the two that are compared every figure differs."""
    home = tmp_path_factory.mktemp("home")
    finished_run(home, "aside")
    for name, epochs, more in (("wide", 12, 0.0), ("narrow", 7, 51.3)):
        figures = {key: SUMMARY[key] + more for key in ("new_ha", "gone_ha", "net_ha", "unchanged_ha")}
        mined = {year: ha + more for year, ha in SUMMARY["hectares"].items()}
        run = finished_run(home, name, **figures, hectares=mined)
        scores = {key: EVALUATION[key] - more / 1000 for key in ("iou", "dice", "precision", "recall", "threshold")}
        run.write_json(runs.EVALUATION, {**EVALUATION, **scores})
        settings = settings_from({"preset": "cpu", "epochs": epochs, "min_patch_ha": more}, gpu=False)
        run.write_json(runs.CONFIG, {"settings": settings.model_dump(mode="json")})
        write_metrics(run, epochs)
    return home


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()


def test_the_curves_of_both_lie_over_each_other(page: Page, address: str, home: Path) -> None:
    page.goto(f"{address}/compare?run=wide&run=narrow")
    charts = page.locator(".js-plotly-plot")
    expect(charts).to_have_count(3)
    for number, key in enumerate(("iou", "validation_loss", "train_loss")):
        drawn = charts.nth(number)
        expect(drawn.locator(".scatterlayer .trace")).to_have_count(2)
        told = drawn.evaluate("chart => chart.data.map(one => [one.name, Array.from(one.y)])")
        written = {name: read_metrics(home / name / runs.METRICS) for name in ("wide", "narrow")}
        assert told == [[name, pytest.approx([getattr(e, key) for e in rows])] for name, rows in written.items()]
        assert all(len(points) > 1 for _, points in told)
        box = drawn.bounding_box()
        assert box is not None
        assert box["height"] > 200


def test_the_tables_tell_what_the_files_say(page: Page, address: str, home: Path) -> None:
    page.goto(f"{address}/compare?run=wide&run=narrow")
    tables = page.get_by_test_id("stDataFrame")
    expect(tables).to_have_count(3)
    for name in ("wide", "narrow"):
        summary = json.loads((home / name / runs.SUMMARY).read_text())
        evaluation = json.loads((home / name / runs.EVALUATION).read_text())
        of_hectares, of_scores = (row_of(tables.nth(number), name) for number in (0, 1))
        for figure in (*summary["hectares"].values(), summary["new_ha"], summary["gone_ha"], summary["unchanged_ha"]):
            assert f"{figure:,.1f} ha" in of_hectares
        assert f"{summary['net_ha']:+,.1f} ha" in of_hectares
        for key in ("iou", "dice", "precision", "recall", "threshold"):
            assert f"{evaluation[key]:.2f}" in of_scores
    assert row_of(tables.nth(2), "--epochs")[1:] == ["12", "7"]
    assert row_of(tables.nth(2), "--min-patch-ha")[1:] == ["0.0", "51.3"]


def row_of(table: Locator, first: str) -> list[str]:
    """The cells of the row that begins with a text; a table draws on a canvas, what screen readers get lies in it."""
    table.scroll_into_view_if_needed()
    row = table.locator("[role=row]").filter(has=table.page.locator("[role=gridcell]").first).filter(has_text=first)
    expect(row).to_have_count(1)
    return row.locator("[role=gridcell]").all_text_contents()
