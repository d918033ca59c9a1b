"""The whole job on a small district: every file, and every figure that must agree with another."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from pyproj import Geod
from shapely.geometry import box, shape

from minedetect.assess import evaluate_model
from minedetect.change import KINDS
from minedetect.class_rasters import ClassPair
from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.demo import write_inputs
from minedetect.errors import BadInput, BandMismatch, ModelError, RunError, SettingError, SplitError
from minedetect.files import sha256_of
from minedetect.findings import shown_ha
from minedetect.grid import pixel_size_m, same_grid, whole
from minedetect.labels import open_labels, outline_zones
from minedetect.learn import train_run
from minedetect.model import load
from minedetect.pipeline import Job, change_rasters, predict_image, run_job
from minedetect.predict import Output
from minedetect.prepare import prepare
from minedetect.presets import settings_from
from minedetect.raster import open_raster, read
from minedetect.runs import Run
from minedetect.scenes import SceneFiles
from minedetect.verify import verify_run

QUICK = {"preset": "cpu", "width": 8, "epochs": 10, "tile_px": 64, "device": "cpu", "max_gap_px": 32}
RUN_FILES = (
    *("mask.tif", "mask_visualization.png", "mask_edge_analysis.png", "quality.json", "split.json"),
    *("split.png", "split.geojson"),
    *("unet_mining_detector.pt", "metrics.csv", "training_history.png", "evaluation.json"),
    *("evaluation.png", "checkpoint.pt"),
    *("prediction_2016.tif", "prediction_2025.tif", "probability_2016.tif", "probability_2025.tif"),
    *("mines_2016.geojson", "mines_2025.geojson", "change_map.tif", "change_kind.tif", "change.geojson"),
    *("preview_2016.tif", "preview_2025.tif", "outlines_2016.geojson", "outlines_2025.geojson"),
    *("labelled_mines.geojson", "threshold_hectares.json"),
    *("areas.csv", "summary.json", "inference_results.png", "report.html", "config.json", "status.json", "log.txt"),
    "manifest.json",
)


@dataclass(frozen=True)
class Done:
    run: Run
    job: Job
    settings: Settings
    summary: dict[str, Any]


def classes(path: Path) -> Any:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    run = Run(tmp_path_factory.mktemp("runs") / "small")
    settings = settings_from(QUICK, gpu=False)
    job = write_inputs(run, (320, 256), seed=1)
    return Done(run, job, settings, run_job(run, job, settings))


def test_every_file_is_there_and_nothing_is_left_over(done: Done) -> None:
    assert not [name for name in RUN_FILES if not done.run.has(name)]
    left = {p.name for p in done.run.root.iterdir() if p.is_file()} - set(RUN_FILES)
    assert left <= {".lock", "suspected_missing_labels.geojson", "suspected_missing_labels.png"}
    assert done.run.status().state == "done"
    assert set(done.run.status().seconds) == {"prepare", "train", "evaluate", "predict", "change", "report"}


def test_rasters_lie_on_the_image_s_grid_and_name_their_run(done: Done) -> None:
    grid = open_raster(done.job.before).grid
    for name in RUN_FILES:
        if name.endswith(".tif"):
            assert same_grid(open_raster(done.run.path(name)).grid, grid)
            with rasterio.open(done.run.path(name)) as dataset:
                assert dataset.tags()["run_id"] == "small"
                assert dataset.descriptions[0]
                assert dataset.nodata is not None


def test_the_change_map_is_the_exact_difference_on_common_ground(done: Done) -> None:
    before, after = (classes(done.run.path(f"prediction_{y}.tif")) for y in done.job.years)
    change = classes(done.run.path("change_map.tif"))
    both = (before != 255) & (after != 255)
    assert np.array_equal(change[both], after[both].astype(int) - before[both])
    assert (change[~both] == -128).all()
    assert (~both).any()


def test_every_valid_pixel_is_predicted_and_nodata_stays_nodata(done: Done) -> None:
    for image, year in ((done.job.before, "2016"), (done.job.after, "2025")):
        raster = open_raster(image)
        seen = ~np.isnan(read(raster, whole(raster.shape))).any(axis=0)
        assert np.array_equal(classes(done.run.path(f"prediction_{year}.tif")) != 255, seen)
        probability = classes(done.run.path(f"probability_{year}.tif"))
        assert np.array_equal(~np.isnan(probability), seen)
        assert np.nanmin(probability) >= 0
        assert np.nanmax(probability) <= 1


def row_hectares(mine: Any, grid: GeoBox) -> float:
    """Another way: the geodesic polygon of one pixel of each row, times its mines."""
    geod, t = Geod(ellps="WGS84"), grid.transform
    area = 0.0
    for row in range(mine.shape[0]):
        pixel = box(t.c, t.f + (row + 1) * t.e, t.c + t.a, t.f + row * t.e)
        area += abs(geod.geometry_area_perimeter(pixel)[0]) * int(mine[row].sum())
    return area / 10_000


def test_hectares_agree_with_another_way_of_counting(done: Done) -> None:
    grid = open_raster(done.job.before).grid
    before, after = (classes(done.run.path(f"prediction_{y}.tif")) for y in done.job.years)
    both = (before != 255) & (after != 255)
    for year, found in (("2016", before), ("2025", after)):
        assert done.summary["hectares"][year] == pytest.approx(row_hectares((found == 1) & both, grid), rel=2e-4)
        assert done.summary["hectares_observed"][year] == pytest.approx(row_hectares(found == 1, grid), rel=2e-4)
    change = classes(done.run.path("change_map.tif"))
    firm = classes(done.run.path("change_kind.tif")) == 1
    assert done.summary["new_ha"] == pytest.approx(row_hectares((change == 1) & firm, grid), rel=2e-4, abs=0.01)
    assert done.summary["gone_ha"] == pytest.approx(row_hectares((change == -1) & firm, grid), rel=2e-4, abs=0.01)


def test_the_ledger_adds_up(done: Done) -> None:
    s = done.summary
    new, gone = (sum(s["change_ha"][side].values()) for side in ("new", "gone"))
    assert s["net_ha"] == pytest.approx(new - gone, abs=0.02)
    assert s["net_ha"] == pytest.approx(s["hectares"]["2025"] - s["hectares"]["2016"], abs=0.02)
    assert s["unchanged_ha"] + gone == pytest.approx(s["hectares"]["2016"], abs=0.02)
    rows = s["per_mine"]
    assert sum(r["after_ha"] for r in rows) == pytest.approx(s["hectares"]["2025"], abs=0.1)
    assert sum(r["gained_ha"] for r in rows) == pytest.approx(new, abs=0.1)
    polygons = json.loads(done.run.path("change.geojson").read_text())["features"]
    assert sum(f["properties"]["hectares"] for f in polygons) == pytest.approx(new + gone, abs=0.1)


def test_every_headline_lies_in_its_sensitivity_range(done: Done) -> None:
    found, rows = done.summary["sensitivity"], done.run.path("areas.csv").read_text().splitlines()
    figures = {**done.summary["hectares"], **{key: done.summary[key] for key in ("new_ha", "gone_ha", "net_ha")}}
    for name, figure in figures.items():
        span = found["hectares"].get(name) or found[name]
        assert set(span["parts"]) == {"threshold", "border"}
        assert all(low <= figure <= high for low, high in (*span["parts"].values(), (span["low"], span["high"])))
        assert span["low"] < span["high"]
        assert any(row.endswith(f",{figure},{span['low']},{span['high']}") for row in rows)


@pytest.mark.slow
def test_a_threshold_that_stays_has_no_range(done: Done, tmp_path: Path) -> None:
    job = replace(done.job, model=done.run.path("unet_mining_detector.pt"), truth=None)
    still = done.settings.model_copy(update={"sensitivity_threshold": 0.0})
    summary = run_job(Run(tmp_path / "still"), job, still)
    for year, figure in done.summary["hectares"].items():
        assert summary["sensitivity"]["hectares"][year]["parts"]["threshold"] == [figure, figure]


def test_mine_polygons_are_valid_and_carry_their_hectares(done: Done) -> None:
    features = json.loads(done.run.path("mines_2025.geojson").read_text())["features"]
    assert features
    assert all(shape(f["geometry"]).is_valid for f in features)
    total = sum(f["properties"]["hectares"] for f in features)
    assert total == pytest.approx(done.summary["hectares_observed"]["2025"], rel=1e-3)
    assert all(0 < f["properties"]["mean_probability"] <= 1 for f in features)


def test_the_map_shows_what_the_images_and_the_table_of_mines_hold(done: Done) -> None:
    for year in done.job.years:
        with rasterio.open(done.run.path(f"preview_{year}.tif")) as dataset:
            unseen = dataset.read_masks(1) == 0
        assert np.array_equal(unseen, classes(done.run.path(f"prediction_{year}.tif")) == 255)
    labelled = done.run.read_json("labelled_mines.geojson")["features"]
    told = [(f["properties"]["id"], f["properties"]["mine"], f["properties"]["hectares"]) for f in labelled]
    rows = done.summary["per_mine"][:-1]
    assert told == [(n, row["mine"], pytest.approx(row["labelled_ha"], abs=0.006)) for n, row in enumerate(rows, 1)]
    table = done.run.read_json("threshold_hectares.json")
    for year in done.job.years:
        at_own = table["hectares"][year][round(100 * table["threshold"]) - 1]
        assert at_own == pytest.approx(done.summary["hectares"][year], rel=0.05)


def test_training_never_sees_validation_ground(done: Done) -> None:
    split = done.run.read_json("split.json")
    assert split["shared_pixels"] == 0
    seen = np.zeros(open_raster(done.job.before).shape, int)
    (windows,) = split["scenes"].values()
    for row, col, height, width in windows["training"]:
        seen[row : row + height, col : col + width] |= 1
    for row, col, height, width in windows["validation"]:
        assert not seen[row : row + height, col : col + width].any()


def test_what_was_asked_is_on_record(done: Done) -> None:
    config = done.run.read_json("config.json")
    assert config["settings"] == done.settings.model_dump(mode="json")
    assert config["inputs"]["before"]["path"] == str(done.job.before)
    assert config["inputs"]["before"]["sha256"] == sha256_of(done.job.before)
    assert done.run.read_json("manifest.json")["settings"] == config["settings"]
    assert done.summary["provenance"]["model_sha256"] == sha256_of(done.run.path("unet_mining_detector.pt"))


def test_every_file_but_what_may_change_is_vouched_for(done: Done) -> None:
    manifest = done.run.read_json("manifest.json")
    beside = {"checkpoint.pt", "status.json", "log.txt", "manifest.json"}
    assert set(manifest["artifacts"]) == set(RUN_FILES) - beside
    assert verify_run(done.run).intact


def test_the_report_stands_alone_and_leads_with_the_verdict(done: Done) -> None:
    html = done.run.path("report.html").read_text()
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html
    assert html.index('class="verdict') < html.index('class="figures')
    assert shown_ha(done.summary["hectares"]["2025"]).replace(" ", "\N{NO-BREAK SPACE}") in html
    assert done.settings.mine_definition in html
    for name in (done.job.before.name, done.job.after.name, done.job.labels.name):
        assert name in html
    assert str(done.run.root) not in html, "the page goes to strangers"


def test_the_report_s_facts_agree_with_the_figures_and_the_model(done: Done) -> None:
    about, pair = done.summary["about"], done.run.read_json("quality.json")["pair"]
    assert [date["Year"] for date in about["dates"]] == list(done.job.years)
    for date, key in zip(about["dates"], ("first_ha", "second_ha"), strict=True):
        assert date["Seen"].startswith(shown_ha(pair[key]))
    assert about["ground"]["Seen on both dates"].startswith(shown_ha(pair["common_ha"]))
    assert f"{load(done.run.path('unet_mining_detector.pt')).calibration.threshold:.2f}" in about["model"]["Threshold"]


def test_what_the_labels_miss_is_told_where_there_is_any(done: Done) -> None:
    told = done.summary["suspected_missing"]
    assert done.run.has("suspected_missing_labels.geojson") is bool(told)
    assert done.run.has("suspected_missing_labels.png") is bool(told)
    assert any("outside all outlines" in note for note in done.summary["notes"]) is bool(told)


@pytest.mark.slow
def test_a_second_date_on_another_grid_is_warped_and_scored(done: Done, tmp_path: Path) -> None:
    after = open_raster(done.job.after)
    t = after.grid.transform
    moved = GeoBox((330, 266), t.translation(-6 * t.a, -4 * t.e) @ t, after.grid.crs)
    pixels = read(after.onto(moved, nearest=True), whole((330, 266)))
    write_cog(tmp_path / "moved.tif", pixels, moved, CogProfile("float32", float("nan"), after.bands, {}))
    job = replace(
        done.job,
        after=tmp_path / "moved.tif",
        model=done.run.path("unet_mining_detector.pt"),
        labels_after=done.job.truth[1] if done.job.truth else None,
        truth=None,
    )
    summary = run_job(Run(tmp_path / "moved"), job, done.settings)
    assert any("warped" in note for note in summary["notes"])
    assert summary["scores_after"]["iou"] is not None
    assert summary["hectares"] == pytest.approx(done.summary["hectares"], rel=0.02)


@pytest.mark.slow
def test_another_pixel_size_is_refused_or_resampled(done: Done, tmp_path: Path) -> None:
    coarse = []
    for path in (done.job.before, done.job.after):
        raster = open_raster(path)
        grid = raster.grid.zoom_out(1.5)
        profile = CogProfile("float32", float("nan"), raster.bands, {})
        write_cog(tmp_path / path.name, read(raster.onto(grid), whole((grid.shape[0], grid.shape[1]))), grid, profile)
        coarse.append(tmp_path / path.name)
    model = done.run.path("unet_mining_detector.pt")
    job = replace(done.job, before=coarse[0], after=coarse[1], model=model, truth=None)
    with pytest.raises(BandMismatch, match="--resample"):
        run_job(Run(tmp_path / "refused"), job, done.settings)
    resampled = done.settings.model_copy(update={"resample": True})
    summary = run_job(Run(tmp_path / "resampled"), job, resampled)
    assert any("resampled" in note for note in summary["notes"])
    size_m = pixel_size_m(open_raster(tmp_path / "resampled" / "prediction_2016.tif").grid)
    assert size_m == pytest.approx(pixel_size_m(open_raster(done.job.before).grid), rel=0.02)


@pytest.fixture(scope="module")
def three_band(done: Done, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Any]:
    """A model of B2, B3, B4 trained on two scenes of different places."""
    folder = tmp_path_factory.mktemp("two")
    other = write_inputs(Run(folder / "other"), (256, 192), seed=2)
    shifted = open_raster(other.before)
    t = shifted.grid.transform
    grid = GeoBox(shifted.shape, t.translation(1.0, 0.5) @ t, shifted.grid.crs)
    profile = CogProfile("float32", float("nan"), shifted.bands, {})
    write_cog(folder / "other.tif", read(shifted, whole(shifted.shape)), grid, profile)
    write_cog(
        folder / "mask.tif",
        classes(other.truth[0]) if other.truth else None,
        grid,
        CogProfile("uint8", 255, ("m",), {}),
    )
    files = [
        SceneFiles(done.job.before, done.job.labels, "first"),
        SceneFiles(folder / "other.tif", folder / "mask.tif", "second"),
    ]
    run = Run(folder / "run")
    settings = settings_from({**QUICK, "bands": "B2,B3,B4", "epochs": 1, "width": 4}, gpu=False)
    return run, train_run(run, files, settings)


@pytest.mark.slow
def test_several_scenes_are_split_whole_and_lie_in_folders(three_band: tuple[Run, Any]) -> None:
    run, training = three_band
    assert {p.name for p in run.path("scenes").iterdir()} == {"first", "second"}
    assert run.path("scenes/first/mask.tif").is_file()
    sides = [(bool(s["training"]), bool(s["validation"])) for s in run.read_json("split.json")["scenes"].values()]
    assert sorted(sides) == [(False, True), (True, False)]
    assert training.to_json()["shared_pixels"] == 0


@pytest.mark.slow
def test_a_model_of_three_bands_reads_a_five_band_image_by_name(
    three_band: tuple[Run, Any], done: Done, tmp_path: Path
) -> None:
    _, training = three_band
    assert training.detector.contract.names == ("B2", "B3", "B4")
    output = Output(tmp_path / "p.tif", None, {})
    found, notes = predict_image(done.job.after, training.detector, done.settings, output, lambda _d, _t: None)
    assert any("picked by name" in note for note in notes)
    raster = open_raster(done.job.after)
    order = [raster.bands.index(band) for band in ("B4", "B3", "B2")]
    turned = CogProfile("float32", float("nan"), ("B4", "B3", "B2"), {})
    write_cog(tmp_path / "turned.tif", read(raster, whole(raster.shape), order), raster.grid, turned)
    other, _ = predict_image(tmp_path / "turned.tif", training.detector, done.settings, output, lambda _d, _t: None)
    assert np.array_equal(found.classes, other.classes)


def test_a_model_of_five_bands_refuses_three_and_lists_what_is_missing(done: Done, tmp_path: Path) -> None:
    raster = open_raster(done.job.after)
    write_cog(
        tmp_path / "rgb.tif",
        read(raster, whole(raster.shape), [2, 1, 0]),
        raster.grid,
        CogProfile("float32", float("nan"), ("B4", "B3", "B2"), {}),
    )
    job = replace(done.job, after=tmp_path / "rgb.tif", model=done.run.path("unet_mining_detector.pt"))
    with pytest.raises(BandMismatch, match="lacks B8, B11"):
        run_job(Run(tmp_path / "r"), job, done.settings)
    status = Run(tmp_path / "r").status()
    assert status.state == "failed"
    assert "lacks B8, B11" in status.message


@pytest.mark.slow
def test_a_trained_model_is_applied_without_training_to_a_pair_whose_bands_the_user_names(
    done: Done, tmp_path: Path
) -> None:
    unnamed = []
    for path in (done.job.before, done.job.after):
        raster = open_raster(path)
        profile = CogProfile("float32", float("nan"), ("",) * 5, {})
        write_cog(tmp_path / path.name, read(raster, whole(raster.shape)), raster.grid, profile)
        unnamed.append(tmp_path / path.name)
    model = done.run.path("unet_mining_detector.pt")
    job = replace(done.job, before=unnamed[0], after=unnamed[1], model=model, truth=None)
    with pytest.raises(BandMismatch, match="--bands B2,B3,B4,B8,B11"):
        run_job(Run(tmp_path / "without"), job, done.settings)
    named = done.settings.model_copy(update={"bands": "B2,B3,B4,B8,B11"})
    run = Run(tmp_path / "with")
    assert run_job(run, job, named)["hectares"] == done.summary["hectares"]
    assert run.has("report.html")
    assert run.has("mask_visualization.png")
    assert not run.has("metrics.csv")


def test_a_mistake_is_found_before_anything_is_removed_or_computed(done: Done) -> None:
    before = done.run.path("summary.json").read_bytes()
    with pytest.raises(BadInput, match=r"typo\.geojson"):
        run_job(done.run, replace(done.job, labels_after=Path("typo.geojson")), done.settings)
    assert done.run.path("summary.json").read_bytes() == before
    assert "prepare" not in done.run.status().seconds


def test_an_output_never_takes_the_place_of_an_input(done: Done) -> None:
    image = sha256_of(done.job.after)
    detector = load(done.run.path("unet_mining_detector.pt"))
    with pytest.raises(SettingError, match="used twice"):
        predict_image(done.job.after, detector, done.settings, Output(done.job.after, None, {}), lambda _d, _t: None)
    assert sha256_of(done.job.after) == image


def test_a_score_on_training_ground_is_called_that(done: Done) -> None:
    detector = load(done.run.path("unet_mining_detector.pt"))
    files = [SceneFiles(done.job.before, done.job.labels, "before")]
    content = evaluate_model(detector, files, done.settings, lambda _d, _t: None)
    assert content["seen_in_training"] == ["before"]


@pytest.mark.parametrize("fault", ["nodata", "fractions"])
def test_class_rasters_that_would_mislead_are_refused(done: Done, tmp_path: Path, fault: str) -> None:
    raster = open_raster(done.run.path("prediction_2016.tif"))
    if fault == "nodata":
        profile = CogProfile("uint8", 0, ("mine",), {})
        write_cog(tmp_path / "a.tif", classes(raster.path), raster.grid, profile)
    else:
        write_cog(
            tmp_path / "a.tif",
            classes(raster.path) * np.float32(0.7),
            raster.grid,
            CogProfile("float32", -1, ("p",), {}),
        )
    with pytest.raises(BadInput, match=fault):
        change_rasters(
            Run(tmp_path / "c"), ClassPair(tmp_path / "a.tif", tmp_path / "a.tif", ("a", "b")), done.settings
        )


def test_change_of_bare_rasters_has_no_verdict(done: Done, tmp_path: Path) -> None:
    summary = change_rasters(Run(tmp_path / "c"), predictions(done), done.settings)
    assert (summary["verdict"], summary["plausible"]) == ("unknown", None)
    assert summary["hectares"] == done.summary["hectares"]
    assert summary["net_ha"] == done.summary["net_ha"]
    assert set(summary["sensitivity"]["net_ha"]["parts"]) == {"border"}
    assert "no probability rasters" in " ".join(summary["notes"])


def predictions(done: Done, **more: Any) -> ClassPair:
    """Both predictions of a run as class rasters made elsewhere."""
    before, after = (done.run.path(f"prediction_{y}.tif") for y in done.job.years)
    return ClassPair(before, after, done.job.years, **more)


def probabilities(done: Done) -> tuple[Path, Path]:
    first, second = (done.run.path(f"probability_{y}.tif") for y in done.job.years)
    return first, second


def test_predictions_with_their_probabilities_give_the_ledger_of_the_run(done: Done, tmp_path: Path) -> None:
    """The threshold comes from the header of the predictions."""
    shift_px = done.run.read_json("quality.json")["pair"]["shift"]["length_px"]
    pair = predictions(done, probabilities=probabilities(done), shift_px=shift_px)
    summary = change_rasters(Run(tmp_path / "c"), pair, done.settings)
    assert summary["change_ha"] == done.summary["change_ha"]
    assert {kind: area for side in summary["change_ha"].values() for kind, area in side.items() if area}.keys() == set(
        KINDS
    )
    for name in ("change_kind.tif", "change_map.tif"):
        assert np.array_equal(classes(tmp_path / "c" / name), classes(done.run.path(name)))


def stripped(done: Done, folder: Path, **tags: str) -> ClassPair:
    """The predictions with other tags."""
    pair = predictions(done, probabilities=probabilities(done))
    for name, path in (("a.tif", pair.before), ("b.tif", pair.after)):
        write_cog(folder / name, classes(path), open_raster(path).grid, CogProfile("uint8", 255, ("mine",), tags))
    return replace(pair, before=folder / "a.tif", after=folder / "b.tif")


def test_a_threshold_that_nobody_knows_leaves_only_doubt(done: Done, tmp_path: Path) -> None:
    pair = stripped(done, tmp_path)
    summary = change_rasters(Run(tmp_path / "c"), pair, done.settings)
    assert summary["change_ha"]["new"]["sieved"] == summary["change_ha"]["gone"]["sieved"] == 0
    assert summary["change_ha"]["new"]["doubtful"] > 0
    assert "threshold of the classes is not known" in " ".join(summary["notes"])
    with rasterio.open(done.run.path("prediction_2016.tif")) as dataset:
        threshold = float(dataset.tags()["threshold"])
    given = done.settings.model_copy(update={"threshold": threshold})
    known = change_rasters(Run(tmp_path / "d"), pair, given)["change_ha"]
    assert known["new"]["sieved"] == done.summary["change_ha"]["new"]["sieved"]


@pytest.mark.parametrize("threshold", ["1.2", "0", "nan", "half"])
def test_a_threshold_that_is_none_is_refused(done: Done, tmp_path: Path, threshold: str) -> None:
    with pytest.raises(BadInput, match=f"'{threshold}'.*--threshold"):
        change_rasters(Run(tmp_path / "c"), stripped(done, tmp_path, threshold=threshold), done.settings)


def test_probabilities_in_per_cent_are_refused(done: Done, tmp_path: Path) -> None:
    first, second = probabilities(done)
    raster = open_raster(second)
    profile = CogProfile("float32", float("nan"), ("p",), {})
    write_cog(tmp_path / "per_cent.tif", 100 * read(raster, whole(raster.shape)), raster.grid, profile)
    pair = predictions(done, probabilities=(first, tmp_path / "per_cent.tif"))
    with pytest.raises(BadInput, match="from 0 to 1"):
        change_rasters(Run(tmp_path / "c"), pair, done.settings)


@pytest.mark.slow
def test_a_mask_as_labels_has_one_row_for_all_its_mines(done: Done, tmp_path: Path) -> None:
    job = replace(
        done.job, labels=done.run.path("mask.tif"), model=done.run.path("unet_mining_detector.pt"), truth=None
    )
    summary = run_job(Run(tmp_path / "masked"), job, done.settings)
    every, outside = summary["per_mine"]
    assert every["mine"] == "all labelled mines"
    rows = done.summary["per_mine"]
    for key in ("labelled_ha", "before_ha", "after_ha", "gained_ha", "lost_ha"):
        assert every[key] == pytest.approx(sum(row[key] for row in rows[:-1]), abs=0.05)
        assert outside[key] == pytest.approx(rows[-1][key], abs=0.05)


LENIENT = {"gate_low": 0.001, "gate_high": 100.0, "review_growth": 100.0}
"""A gate that looks at the pair and not at how good the model is."""


def second_date(done: Done, folder: Path, brighter: np.float32, moved_px: tuple[float, float]) -> Job:
    """The pair with its second date brighter and elsewhere, and with the trained model to apply."""
    raster = open_raster(done.job.after)
    pixels = read(raster.moved(-moved_px[0], -moved_px[1]), whole(raster.shape)) + brighter
    write_cog(folder / "after.tif", pixels, raster.grid, CogProfile("float32", float("nan"), raster.bands, {}))
    return replace(done.job, after=folder / "after.tif", model=done.run.path("unet_mining_detector.pt"), truth=None)


def test_what_was_measured_on_the_pair_is_on_record(done: Done) -> None:
    quality = done.run.read_json("quality.json")
    assert quality["pair"]["shift"]["certain"]
    assert "pair_corrected" not in quality
    assert {"common_ground", "labels_observed", "shift", "drift", "season"} <= {c["name"] for c in quality["checks"]}
    assert "matching" not in done.summary
    assert not done.run.has("prediction_2025_unmatched.tif")


@pytest.mark.slow
def test_a_second_date_is_moved_and_matched_where_asked_and_else_wants_a_person(done: Done, tmp_path: Path) -> None:
    job = second_date(done, tmp_path, np.float32(0.1), (1.5, -0.75))
    asked = done.settings.model_copy(update={"correct_shift": True, "match_radiometry": True})
    run = Run(tmp_path / "r")
    summary = run_job(run, job, asked)
    quality = run.read_json("quality.json")
    assert quality["pair"]["shift"]["length_px"] == pytest.approx(1.68, abs=0.1)
    assert quality["pair_corrected"]["shift"]["length_px"] < 0.1
    for words in ("was moved by", "was matched to the first date", "Matching changes the mine area"):
        assert [note for note in summary["notes"] if words in note]
    matched, unmatched = (classes(run.path(f"prediction_2025{end}.tif")) for end in ("", "_unmatched"))
    grid = open_raster(done.job.before).grid
    told = summary["matching"]
    assert told["with_ha"] == pytest.approx(row_hectares(matched == 1, grid), rel=2e-4, abs=0.01)
    assert told["without_ha"] == pytest.approx(row_hectares(unmatched == 1, grid), rel=2e-4, abs=0.01)
    on_both = {year: span["parts"]["matching"] for year, span in summary["sensitivity"]["hectares"].items()}
    assert on_both["2016"] == [summary["hectares"]["2016"]] * 2
    assert on_both["2025"][1] - on_both["2025"][0] == pytest.approx(abs(told["effect_ha"]), rel=0.05, abs=0.02)
    assert told["effect_ha"] == pytest.approx(told["with_ha"] - told["without_ha"], abs=0.011)
    assert np.array_equal(matched == 255, unmatched == 255)
    assert not [r for r in summary["reasons"] if "px apart" in r or "--match-radiometry" in r]
    if abs(told["effect_ha"]) > done.settings.review_matching * told["without_ha"]:
        assert summary["verdict"] != "plausible"
    before = classes(done.run.path("prediction_2016.tif"))
    assert np.array_equal(classes(run.path("prediction_2016.tif")), before)

    plain = run_job(run, job, done.settings.model_copy(update=LENIENT))
    assert not run.has("prediction_2025_unmatched.tif"), "what an earlier run left would look like this one's"
    assert "matching" not in plain
    assert "pair_corrected" not in run.read_json("quality.json")
    assert (plain["verdict"], plain["plausible"]) == ("review", True)
    for words in ("px apart", "differs between the dates by more than 30%"):
        assert [reason for reason in plain["reasons"] if words in reason]


def test_preparing_again_gives_the_same_to_the_last_pixel(done: Done, tmp_path: Path) -> None:
    run, files = Run(tmp_path / "again"), [SceneFiles(done.job.before, done.job.labels, done.job.before.stem)]
    prepared = prepare(run, files, done.settings, lambda _d, _t: None)
    assert prepared.contract == load(done.run.path("unet_mining_detector.pt")).contract
    assert {**run.read_json("split.json"), "run_id": "small"} == done.run.read_json("split.json")
    assert np.array_equal(classes(run.path("mask.tif")), classes(done.run.path("mask.tif")))
    assert {c["name"]: c for c in run.read_json("quality.json")["checks"]}.items() <= {
        c["name"]: c for c in done.run.read_json("quality.json")["checks"]
    }.items()


@pytest.mark.slow
def test_a_part_kept_apart_is_scored_beside_validation(done: Done, tmp_path: Path) -> None:
    run, files = Run(tmp_path / "t"), [SceneFiles(done.job.before, done.job.labels, "before")]
    settings = {"test_share": 0.2, "max_gap_px": 0, "epochs": 1, "width": 4}
    train_run(run, files, done.settings.model_copy(update=settings))
    evaluation, split = run.read_json("evaluation.json"), run.read_json("split.json")
    test = evaluation["test"]
    assert split["shared_pixels"] == 0
    assert test["mines"] == split["test_mines"] >= 1
    assert test["threshold"] == evaluation["threshold"]
    assert test["calibration"] == evaluation["calibration"]
    (windows,) = split["scenes"].values()
    mask = classes(run.path("mask.tif"))
    raster = open_raster(done.job.before)
    seen = ~np.isnan(read(raster, whole(raster.shape))).any(axis=0)
    for part, scored in (("test", test), ("validation", evaluation)):
        ground = np.zeros(mask.shape, bool)
        for row, col, height, width in windows[part]:
            ground[row : row + height, col : col + width] = True
        assert scored["pixels"] == int((ground & seen & (mask != 255)).sum())
        assert scored["labelled_ha"] == pytest.approx(row_hectares(ground & seen & (mask == 1), raster.grid), rel=1e-3)
    assert "test" not in done.run.read_json("evaluation.json")


def test_one_mine_can_be_left_out_of_training(done: Done, tmp_path: Path) -> None:
    raster = open_raster(done.job.before)
    zones = outline_zones(open_labels(done.job.labels), raster.grid)
    number = int(np.argmax(np.bincount(zones[zones > 0])))
    run, files = Run(tmp_path / "t"), [SceneFiles(done.job.before, done.job.labels, "before")]
    settings = {"leave_mine_out": number, "max_gap_px": 0}
    prepare(run, files, done.settings.model_copy(update=settings), lambda _d, _t: None)
    split = run.read_json("split.json")
    assert split["left_out_mine"] == number
    assert split["shared_pixels"] == 0
    (windows,) = split["scenes"].values()
    taught, scored = np.zeros(zones.shape, bool), np.zeros(zones.shape, bool)
    for ground, part in ((taught, "training"), (scored, "validation")):
        for row, col, height, width in windows[part]:
            ground[row : row + height, col : col + width] = True
    assert not taught[zones == number].any()
    assert scored[zones == number].all()
    assert (zones[taught] > 0).any()


def test_a_mine_that_is_not_there_cannot_be_left_out(done: Done, tmp_path: Path) -> None:
    files = [SceneFiles(done.job.before, done.job.labels, "before")]
    with pytest.raises(SplitError, match="99"):
        prepare(
            Run(tmp_path / "t"), files, done.settings.model_copy(update={"leave_mine_out": 99}), lambda _d, _t: None
        )


def test_one_writer_a_run(done: Done) -> None:
    with done.run.locked(), pytest.raises(RunError, match="in use"):
        run_job(done.run, done.job, done.settings)


def test_a_failed_run_keeps_the_earlier_model(done: Done) -> None:
    model = done.run.path("unet_mining_detector.pt")
    kept = sha256_of(model)
    with pytest.raises(ModelError):
        run_job(done.run, done.job, done.settings.model_copy(update={"init": str(done.run.path("log.txt"))}))
    assert sha256_of(model) == kept
    assert done.run.status().state == "failed"
