"""What `sample` draws and writes: every pixel with the same chance, nothing that tells the map's answer."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import Image
from sampled_run import GRID, mapped, truth, write_run

from minedetect.allocation import STRATA
from minedetect.change import GONE, NEW, difference
from minedetect.chips import open_chips
from minedetect.cog import CogProfile, write_cog
from minedetect.config import SampleSettings
from minedetect.design import read_design
from minedetect.errors import BadInput, RunError, SettingError
from minedetect.files import sha256_of
from minedetect.measure import zone_hectares
from minedetect.raster import IGNORE
from minedetect.runs import CHANGE_MAP, CONFIG, ESTIMATE, QUALITY, SAMPLE_DESIGN, Run, prediction_name
from minedetect.sample import sample_run
from minedetect.strata import draw, open_strata, tally


def drawn(run: Run, out: Path, **settings: int) -> dict[str, object]:
    return sample_run(run, out, SampleSettings.model_validate(settings))


def strata_by_hand() -> np.ndarray:
    before, after = mapped()
    change = difference(before, after)
    strata = np.where(before == 1, 1, 0)
    strata[change == NEW], strata[change == GONE] = 2, 3
    strata[change == -128] = IGNORE
    return strata


def test_strata_are_counted_and_measured_as_the_map_has_them(tmp_path: Path) -> None:
    strata = open_strata(write_run(tmp_path / "r"))
    pixels, hectares = tally(strata)
    by_hand = strata_by_hand()
    assert pixels.tolist() == [(by_hand == i).sum() for i in range(4)]
    assert hectares == pytest.approx(zone_hectares(by_hand, GRID, 4), rel=1e-6)


def test_rasters_taller_than_a_band_are_counted_alike(tmp_path: Path) -> None:
    before, after = (np.tile(date, (3, 1)) for date in mapped())
    grid = GeoBox((900, 240), GRID.transform, GRID.crs)
    strata = open_strata(write_run(tmp_path / "r", (before, after), grid))
    pixels, hectares = tally(strata)
    assert pixels.tolist() == [3 * (strata_by_hand() == i).sum() for i in range(4)]
    assert hectares == pytest.approx(zone_hectares(np.tile(strata_by_hand(), (3, 1)), grid, 4), rel=1e-6)
    every = draw(strata, pixels, pixels, 0)
    assert len({tuple(p) for p in every.tolist()}) == pixels.sum()


def test_points_lie_in_their_strata_and_none_is_drawn_twice(tmp_path: Path) -> None:
    strata = open_strata(write_run(tmp_path / "r"))
    pixels, _ = tally(strata)
    found = draw(strata, pixels, np.array([50, 40, 30, 20]), 1)
    assert (strata_by_hand()[found[:, 1], found[:, 2]] == found[:, 0]).all()
    assert np.bincount(found[:, 0]).tolist() == [50, 40, 30, 20]
    assert len({tuple(p) for p in found.tolist()}) == 140
    assert (draw(strata, pixels, np.array([50, 40, 30, 20]), 1) == found).all()
    assert (draw(strata, pixels, np.array([50, 40, 30, 20]), 2) != found).any()


def test_every_pixel_of_a_stratum_has_the_same_chance(tmp_path: Path) -> None:
    strata = open_strata(write_run(tmp_path / "r"))
    pixels, _ = tally(strata)
    hits = np.zeros((300, 240))
    for seed in range(60):
        _, row, col = draw(strata, pixels, np.array([0, 0, 600, 0]), seed).T
        hits[row, col] += 1
    new = strata_by_hand() == 2
    assert hits[~new].sum() == 0
    halves = hits[:150][new[:150]].mean(), hits[150:][new[150:]].mean()
    assert halves == pytest.approx([hits[new].mean()] * 2, rel=0.03)
    assert hits[new].var() == pytest.approx(hits[new].mean() * (1 - 600 / new.sum()), rel=0.1)  # binomial


def test_nothing_in_the_folder_tells_the_strata(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "r"), tmp_path / "out"
    content = drawn(run, out, n=200)
    with (out / "sample.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["point", "lon", "lat", "row", "col", "reference", "note"]
    assert {r["reference"] + r["note"] for r in rows} == {""}
    assert {p.name for p in out.iterdir()} == {"sample.csv", "sample.geojson", "README.txt"}
    (feature, *others) = json.loads((out / "sample.geojson").read_text())["features"]
    assert set(feature["properties"]) == {"point", "row", "col"}
    assert len(others) == len(rows) - 1 == 199
    strata = [p.stratum for p in read_design(run).points]
    assert [p.point for p in read_design(run).points] == [r["point"] for r in rows]
    firsts = [strata[:100].count(s) for s in STRATA]
    assert all(0.25 < half / strata.count(s) < 0.75 for half, s in zip(firsts, STRATA, strict=True))
    assert content["chips"] == 0
    assert "No chips were made" in str(content["notes"])
    how_to = (out / "README.txt").read_text()
    assert "pits and {dumps}" in how_to
    assert "without pictures" in how_to


def test_coordinates_are_pixel_centres(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r")
    drawn(run, tmp_path / "out", n=50, min_per_stratum=5)
    for point in read_design(run).points[:10]:
        lon, lat = GRID.transform @ (point.col + 0.5, point.row + 0.5)
        assert (point.lon, point.lat) == pytest.approx((lon, lat), abs=1e-7)


def test_the_same_map_has_one_sample_and_no_interpretation_is_written_over(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r")
    drawn(run, tmp_path / "a", n=60, min_per_stratum=5)
    drawn(run, tmp_path / "b", n=60, min_per_stratum=5)
    assert (tmp_path / "a/sample.csv").read_bytes() == (tmp_path / "b/sample.csv").read_bytes()
    with pytest.raises(SettingError, match="may hold an interpretation"):
        drawn(run, tmp_path / "a", n=60, min_per_stratum=5)
    with pytest.raises(RunError, match="has a sample already"):
        drawn(run, tmp_path / "c", n=60, min_per_stratum=5, seed=1)
    with pytest.raises(SettingError, match="must not see them"):
        drawn(run, run.root)
    before, after = mapped()
    after[0, 100] = 1
    run.path(ESTIMATE).write_text("{}")
    drawn(write_run(run.root, (before, after)), tmp_path / "d", n=60, min_per_stratum=5, seed=1)
    assert not run.has(ESTIMATE)  # it was of the sample before


def test_a_map_without_change_is_sampled_too(tmp_path: Path) -> None:
    before, _ = truth()
    content = drawn(write_run(tmp_path / "r", (before, before)), tmp_path / "out", n=40, min_per_stratum=5)
    assert [content["strata"][s]["points"] for s in STRATA][2:] == [0, 0]  # type: ignore[index]
    assert content["n"] == 40


def test_what_cannot_be_sampled_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no summary\.json"):
        drawn(Run(tmp_path / "nothing"), tmp_path / "out")
    run = write_run(tmp_path / "r")
    run.path(prediction_name("2016")).unlink()
    with pytest.raises(RunError, match=r"has no prediction_2016\.tif"):
        drawn(run, tmp_path / "out")
    other = CogProfile("uint8", IGNORE, ("mine",), {})
    write_cog(run.path(prediction_name("2016")), truth()[1], GRID, other)
    with pytest.raises(BadInput, match=f"does not fit {CHANGE_MAP}"):
        drawn(run, tmp_path / "out")
    nowhere = np.full((300, 240), IGNORE, np.uint8)
    with pytest.raises(RunError, match="nothing to sample"):
        drawn(write_run(tmp_path / "e", (nowhere, nowhere)), tmp_path / "out")
    assert not run.has(SAMPLE_DESIGN)
    assert not (tmp_path / "out").exists()


def with_images(run: Run) -> tuple[Path, Path]:
    """Two images for a run: rows and columns as values, the second on a grid of its own; and its config.json."""
    rows, cols = np.indices((300, 240), dtype=np.float32)
    profile = CogProfile("float32", float("nan"), ("B2", "B3", "B4"), {})
    paths = run.path("inputs") / "a.tif", run.path("inputs") / "b.tif"
    pixels = np.stack([rows / 300, cols / 240, (rows + cols) / 540])
    wider = GeoBox((320, 260), GRID.transform @ Affine.translation(-10, -10), GRID.crs)
    write_cog(paths[0], pixels, GRID, profile)
    write_cog(paths[1], np.pad(pixels, ((0, 0), (10, 10), (10, 10)), mode="edge"), wider, profile)
    request = {"command": "run", "before": str(paths[0]), "after": str(paths[1])}
    run.write_json(
        CONFIG, {"request": request, "settings": {}, "inputs": {p.stem: {"sha256": sha256_of(p)} for p in paths}}
    )
    return paths


def test_each_point_has_a_picture_of_both_dates(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "r"), tmp_path / "out"
    with_images(run)
    content = drawn(run, out, n=8, min_per_stratum=2)
    assert content["chips"] == 8
    names = {p.stem for p in (out / "chips").iterdir()}
    assert names == {p.point for p in read_design(run).points}
    for path in (out / "chips").iterdir():
        left, right = np.split(np.asarray(Image.open(path).convert("RGB"), np.float32)[60:], 2, axis=1)
        shown = np.s_[200:450, 200:480]
        assert np.abs(left[shown] - right[shown]).mean() < 12  # the same ground, on the same pixels
        assert left[shown].std() > 5


def test_images_of_a_moved_run_are_found_and_changed_ones_are_not_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r")
    _, after = with_images(run)
    run.root.rename(tmp_path / "moved")
    moved = Run(tmp_path / "moved")
    assert open_chips(moved, GRID, ("2016", "2025"))[0] is not None
    (moved.path("inputs") / after.name).write_bytes((moved.path("inputs") / "a.tif").read_bytes() + b" ")
    content = drawn(moved, tmp_path / "b", n=8, min_per_stratum=2)
    assert "another one by now" in str(content["notes"])
    (moved.path("inputs") / after.name).unlink()
    assert "is gone" in str(drawn(moved, tmp_path / "c", n=8, min_per_stratum=2)["notes"])


@pytest.mark.parametrize(
    "config",
    [{}, {"request": [], "settings": {}, "inputs": {}}, {"request": {"before": 3, "after": ""}, "settings": 1}],
)
def test_a_run_that_names_no_images_is_sampled_without(tmp_path: Path, config: dict[str, object]) -> None:
    run = write_run(tmp_path / "r")
    run.write_json(CONFIG, config)
    content = drawn(run, tmp_path / "out", n=8, min_per_stratum=2)
    assert "does not say which images" in str(content["notes"])


def test_the_second_date_is_shown_as_the_run_moved_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r")
    with_images(run)
    still, _ = open_chips(run, GRID, ("2016", "2025"))
    run.write_json(QUALITY, {"pair": {"shift": {"rows_px": 3.0, "cols_px": 0.0}}, "pair_corrected": {}})
    moved, _ = open_chips(run, GRID, ("2016", "2025"))
    assert still is not None
    assert moved is not None
    for date, shown_px in ((0, 0), (1, 3)):
        apart = moved.images[date].around(150, 120) - still.images[date].around(150, 120)
        assert apart[2].mean() * 300 == pytest.approx(shown_px, abs=0.01)  # its third colour shows the row


def test_a_chip_at_the_edge_shows_the_ground_there_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r")
    with_images(run)
    chips, _ = open_chips(run, GRID, ("2016", "2025"))
    assert chips is not None
    around = chips.images[0].around(0, 239)
    assert np.isnan(around).mean() == pytest.approx(1 - (41 / 81) ** 2)
    assert around[2, 40, 40] * 300 == pytest.approx(0, abs=1e-3)
    chips.draw(tmp_path / "edge.png", "p", 0, 239)
    assert (tmp_path / "edge.png").stat().st_size > 10_000
