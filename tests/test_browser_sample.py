"""A sample in a real browser: drawn, downloaded, filled in, read back."""

from __future__ import annotations

import re
import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from sampled_run import as_csv, filled, truth, write_run
from test_browser import CHROMIUM, address, browser, page
from ui_support import SUMMARY, status

from minedetect import jobs, sampling
from minedetect.design import read_design
from minedetect.runs import ESTIMATE, SAMPLE_DESIGN, Run
from minedetect.runs import SUMMARY as SUMMARY_FILE

__all__ = ["address", "browser", "page"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM} (apt-get install chromium)")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    run = write_run(home / "r")
    run.write_status(status("done"))
    run.write_json(SUMMARY_FILE, {**SUMMARY, "run_id": "r"})
    return home


def read_back(page: Page, file: Path) -> None:
    page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(file)
    expect(page.get_by_test_id("stFileUploader").get_by_text(file.name)).to_be_visible()
    page.get_by_role("button", name="Estimate the hectares").click()


def slowly(route: Route) -> None:
    """A file that takes its time to arrive."""
    time.sleep(1)
    route.continue_()


@pytest.mark.slow
def test_a_sample_is_drawn_handed_out_and_read_back(page: Page, address: str, home: Path, tmp_path: Path) -> None:
    run = Run(home / "r")
    page.set_default_timeout(60_000)
    try:
        page.goto(f"{address}/results?run=r")
        page.get_by_text("Draw a sample", exact=True).click()
        page.get_by_role("button", name="Draw the sample").click()
        files = page.get_by_text("its files and how to label them")
        expect(files).to_be_visible(timeout=60_000)
        drawn = read_design(run)
        expect(files).to_contain_text(f"Sample {drawn.sample_id}: {len(drawn.points)} points")
        assert not run.has(ESTIMATE)

        files.click()
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile("table and points as one zip")).click()
        with zipfile.ZipFile(download.value.path()) as handed_out:
            assert SAMPLE_DESIGN not in " ".join(handed_out.namelist())
            table = tmp_path / "sample.csv"
            table.write_bytes(handed_out.read(f"{drawn.sample_id}/sample.csv"))
        assert table.read_text() == sampling.files_of(run, drawn.sample_id)[0].read_text()

        rows = filled(table, truth())
        half = tmp_path / "half.csv"
        half.write_text(as_csv([*rows[:-1], {**rows[-1], "reference": ""}]))
        read_back(page, half)
        expect(page.get_by_text(f"{rows[-1]['point']} has no reference")).to_be_visible()
        assert not run.has(ESTIMATE)

        page.route("**/upload_file/**", slowly)
        done = tmp_path / "done.csv"
        done.write_text(as_csv([*rows[:-1], {**rows[-1], "reference": "unusable"}]))
        read_back(page, done)
        expect(page.get_by_text("The labels were read.")).to_be_visible()
        told = f"{len(rows) - 1} of {len(rows)} places that people looked at; 1 could not be told"
        expect(page.get_by_text(told)).to_be_visible()
        content = run.read_json(ESTIMATE)
        assert sum(content["unusable"].values()) == 1
        assert content["areas"]["new"]["low_ha"] <= content["areas"]["new"]["ha"] <= content["areas"]["new"]["high_ha"]

        page.reload()
        expect(page.get_by_text(told)).to_be_visible()
    finally:
        jobs.stop(sampling.sampling_of(run))
