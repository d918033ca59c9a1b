"""What once went wrong and was not noticed is implausible; what is honest is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from odc.geo.geobox import GeoBox
from scipy import ndimage
from torch.nn import functional as F

from minedetect.assess import Assessment
from minedetect.bands import BandContract, value_limits
from minedetect.change import CHANGE_NODATA, FIRM, NO_CHANGE, UNCHANGED, difference, ledger
from minedetect.cli import main
from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.dates import align, open_dates
from minedetect.demo import write_inputs
from minedetect.evidence import Comparison, evidence_of, mine_share
from minedetect.grid import whole
from minedetect.measure import hectares
from minedetect.model import Detector, UNet, save
from minedetect.pipeline import Job, run_job
from minedetect.plausible import Gate, judge
from minedetect.predict import Prediction
from minedetect.raster import IGNORE, MINE, Float, Mask, open_raster, read, read_classes
from minedetect.runs import Run
from minedetect.scenes import load_scene
from minedetect.synthetic import BANDS

SETTINGS = Settings(preset="cpu", device="cpu", window_px=128)
CALLED_MINE = 0.37
"""The share of the scene that the notebook called mine."""
STRETCHED = BandContract(BANDS, "reflectance", (0.0,) * 5, (1.0,) * 5, 10.0)


def pixels_of(path: Path) -> Float:
    raster = open_raster(path)
    return read(raster, whole(raster.shape))


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return write_inputs(Run(tmp_path_factory.mktemp("gate") / "district"), (320, 256), seed=1)


@pytest.fixture(scope="module")
def stretched(district: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The district as the notebook saw it: each date from 2 to 98 % of its own values, all bands together."""
    folder, paths = tmp_path_factory.mktemp("stretched"), []
    for path in (district.before, district.after):
        raster, pixels = open_raster(path), pixels_of(path)
        low, high = np.nanpercentile(pixels, [2, 98])
        profile = CogProfile("float32", float("nan"), BANDS, {})
        write_cog(folder / path.name, np.clip((pixels - low) / (high - low), 0, 1), raster.grid, profile)
        paths.append(folder / path.name)
    return replace(district, before=paths[0], after=paths[1])


def bright_is_mine(image: Float) -> Detector:
    """A U-Net whose weights are set by hand: the mean of all bands above a limit is mine, and nothing else counts."""
    net = UNet(len(BANDS), 4)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            weight.fill_(1.0 if weight.dim() == 1 and name.endswith("weight") else 0.0)
        net.down[0][0].weight[0, :, 1, 1] = 1 / len(BANDS)
        for convolution in (net.down[0][3], net.join[-1][0], net.join[-1][3]):
            convolution.weight[0, 0, 1, 1] = 1.0
        net.head.weight[MINE, 0] = 1000.0
        net.head.bias[MINE] = -1000.0 * float(np.nanquantile(image.mean(axis=0), 1 - CALLED_MINE))
    return Detector(net, 4, STRETCHED)


@pytest.fixture(scope="module")
def opened(district: Job) -> Comparison:
    """The district as a run compares it, its true classes for predictions."""
    dates = open_dates(district.dates, SETTINGS)
    scene = load_scene(district.labelled, SETTINGS, dates.names, dates.before)
    images = [pixels_of(path) for path in (district.before, district.after)]
    truth = [read_classes(open_raster(path)) for path in district.truth or ()]
    first, second = (
        np.where(np.isnan(image).any(axis=0), IGNORE, true).astype(np.uint8)
        for image, true in zip(images, truth, strict=True)
    )
    seen = images[0][:, first != IGNORE]
    return Comparison(
        years=district.years,
        scene=scene,
        rasters=(dates.before, dates.after),
        readings=dates.readings,
        predictions=(prediction(first, scene.raster.grid), prediction(second, scene.raster.grid)),
        detector=Detector(UNet(5, 4), 4, BandContract(BANDS, "reflectance", *value_limits([seen]), 10.0)),
        validation=None,
        pair=align(dates, scene, SETTINGS).left,
        mask_after=None,
        notes=(),
        truth=None,
    )


def prediction(classes: Mask, grid: GeoBox) -> Prediction:
    return Prediction(classes, grid, hectares(classes, grid, MINE), seconds=1.0, mpx_per_s=1.0, peak_rss_mb=1.0)


def gate_of(comparison: Comparison, before: Mask, after: Mask, labels_after: Mask | None = None) -> Gate:
    """The verdict on two class rasters, as a run gives it."""
    grid, change = comparison.grid, difference(before, after)
    kind = np.where(change == UNCHANGED, NO_CHANGE, FIRM).astype(np.uint8)
    kind[change == CHANGE_NODATA] = IGNORE
    predictions = prediction(before, grid), prediction(after, grid)
    predicted = replace(comparison, predictions=predictions, mask_after=labels_after)
    return judge(evidence_of(predicted, ledger(before, change, kind, grid)), SETTINGS)


def noisy(classes: Mask, share: float = 0.03) -> Mask:
    """A good prediction: this share of the mines is missed, and as much other ground called mine."""
    rng, found = np.random.default_rng(0), classes.copy()
    wrong = int(share * (classes == MINE).sum())
    for value in (MINE, 0):
        places = np.flatnonzero(classes == value)
        found.flat[rng.choice(places, wrong, replace=False)] = 1 - value
    return found


def grown(classes: Mask, times: float) -> Mask:
    """All mines wider until they are so many times as large."""
    observed, wanted = classes != IGNORE, times * (classes == MINE).sum()
    distance = np.where(observed, ndimage.distance_transform_edt(classes != MINE), np.inf)
    nearest = np.argsort(distance, axis=None, kind="stable")[: int(wanted)]
    large = np.where(observed, 0, IGNORE).astype(np.uint8)
    large.flat[nearest] = MINE
    return large


def scattered(classes: Mask, overlap: float) -> Mask:
    """As many mine pixels as labelled, of which only a share lies on the labels."""
    rng, mines = np.random.default_rng(0), np.flatnonzero(classes == MINE)
    kept = int(overlap * len(mines))
    found = np.where(classes == IGNORE, IGNORE, 0).astype(np.uint8)
    found.flat[rng.choice(mines, kept, replace=False)] = MINE
    found.flat[rng.choice(np.flatnonzero(classes == 0), len(mines) - kept, replace=False)] = MINE
    return found


@pytest.mark.slow
def test_a_good_prediction_is_plausible(opened: Comparison) -> None:
    before, after = (noisy(classes) for classes in opened.classes)
    assert gate_of(opened, before, after) == Gate("plausible", ())
    assert gate_of(opened, before, after, labels_after=opened.classes[1]) == Gate("plausible", ())


@pytest.mark.slow
def test_bright_ground_called_mine_is_implausible_on_every_face(
    stretched: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, run = tmp_path / "bright.pt", Run(tmp_path / "r")
    save(bright_is_mine(pixels_of(stretched.before)), model)
    words = ["run", stretched.before, stretched.after, stretched.labels, "--years", *stretched.years, "--model", model]
    flags = ["--out", run.root, "--json", "--device", "cpu", "--window-px", "128", "--min-patch-ha", "0"]
    with pytest.raises(SystemExit) as ending:
        main([str(word) for word in (*words, *flags)])
    assert ending.value.code == 3
    summary = json.loads(capsys.readouterr().out)
    assert (summary["verdict"], summary["plausible"]) == ("implausible", False)
    predicted = read_classes(open_raster(run.path("prediction_2016.tif")))
    assert (predicted == MINE).sum() / (predicted != IGNORE).sum() == pytest.approx(CALLED_MINE, abs=0.01)
    assert "on all labelled ground of 2016: 6." in summary["reasons"][0]
    assert run.read_json("summary.json")["reasons"] == summary["reasons"]
    html = run.path("report.html").read_text()
    assert html.index("Implausible") < html.index('class="figures')


def test_hectares_right_by_luck_are_implausible(opened: Comparison) -> None:
    before, after = opened.classes
    gate = gate_of(opened, scattered(before, 0.3), after)
    assert gate.verdict == "implausible"
    assert len(gate.reasons) == 1
    assert "(IoU) is 0.1" in gate.reasons[0]
    assert "hectares are 1.00 times the labelled ones is luck" in gate.reasons[0]
    assert gate_of(opened, scattered(before, 0.6), after).verdict == "review"


def test_growth_of_four_times_that_is_predicted_well_wants_a_person_and_is_not_implausible(opened: Comparison) -> None:
    before = opened.classes[0]
    after = grown(before, 4)
    for labels_after in (None, after):
        gate = gate_of(opened, noisy(before), noisy(after), labels_after)
        assert gate.verdict == "review"
        (reason,) = gate.reasons
        assert "4.00 times" in reason


def test_nine_times_on_the_second_date_alone_is_told_and_its_own_labels_expose_it(opened: Comparison) -> None:
    before, after = opened.classes
    wrong = grown(before, 9)
    gate = gate_of(opened, before, wrong)
    assert gate.verdict == "review"
    shares = ", ".join(f"{mine_share(c):.1%} of {year}" for c, year in ((before, "2016"), (wrong, "2025")))
    assert f"9.00 times ({shares} is called mine)" in gate.reasons[0]
    exposed = gate_of(opened, before, wrong, labels_after=after)
    assert exposed.verdict == "implausible"
    assert all("on all labelled ground of 2025" in reason for reason in exposed.reasons[:2])
    assert gate.reasons[0] in exposed.reasons


@pytest.mark.slow
def test_the_second_date_is_judged_by_its_own_labels(opened: Comparison) -> None:
    before, after = opened.classes
    misplaced = scattered(after, 0.3)
    assert gate_of(opened, before, misplaced).verdict == "plausible", "nobody can know"
    assert gate_of(opened, before, misplaced, labels_after=after).verdict == "implausible"


@pytest.mark.parametrize(("part", "where"), [("validation", "validation blocks"), ("test", "test ground")])
def test_what_was_kept_from_training_is_judged_beside_the_whole_date(opened: Comparison, part: str, where: str) -> None:
    good = {"predicted_ha": 9.0, "labelled_ha": 10.0, "iou": 0.8, "baseline_iou": 0.3, "all_mine_iou": 0.05}
    bad = {**good, "iou": 0.18}
    before, after = opened.classes
    scores = {"validation": good, "test": good, part: bad}
    fine, poor = {**good, "test": good}, {**scores["validation"], "test": scores["test"]}
    assert gate_of(replace(opened, validation=Assessment(fine)), before, after) == Gate("plausible", ())
    gate = gate_of(replace(opened, validation=Assessment(poor)), before, after)
    assert gate.verdict == "implausible"
    assert [f"on the {where}" in reason and "0.18" in reason for reason in gate.reasons] == [True]


@pytest.mark.parametrize(("share", "verdict"), [(0.6, "review"), (0.3, "plausible")])
def test_a_cloud_over_most_mines_wants_a_person(opened: Comparison, share: float, verdict: str) -> None:
    before, after = opened.classes
    labelled = np.cumsum((opened.scene.mask == MINE).sum(axis=1))
    clouded = after.copy()
    clouded[: int(np.searchsorted(labelled, share * labelled[-1]))] = IGNORE
    gate = gate_of(opened, noisy(before), noisy(clouded))
    assert gate.verdict == verdict
    assert all("of the labelled hectares are hidden" in reason for reason in gate.reasons)


def notebook_network(image: Float, mask: Mask) -> UNet:
    """The notebook's training in small: only tiles with mines, weights 0.5 and 10, nothing calibrated."""
    torch.manual_seed(0)
    rng, net, tile_px = np.random.default_rng(0), UNet(len(BANDS), 4), 128
    corners = [(r, c) for r in range(0, mask.shape[0] - 127, 64) for c in range(0, mask.shape[1] - 127, 64)]
    tiles = [(slice(r, r + tile_px), slice(c, c + tile_px)) for r, c in corners]
    with_mines = [tile for tile in tiles if (mask[tile] == MINE).any()]
    optimizer, weights = torch.optim.Adam(net.parameters(), 1e-3), torch.tensor([0.5, 10.0])
    for _ in range(60):
        drawn = [with_mines[i] for i in rng.integers(0, len(with_mines), 4)]
        x = torch.from_numpy(np.stack([image[:, rows, cols] for rows, cols in drawn]))
        y = torch.from_numpy(np.stack([mask[tile] for tile in drawn]).astype(np.int64))
        optimizer.zero_grad()
        F.cross_entropy(net(x), y, weight=weights).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval()


@pytest.mark.slow
def test_the_notebook_s_training_is_implausible(stretched: Job, opened: Comparison, tmp_path: Path) -> None:
    net = notebook_network(np.nan_to_num(pixels_of(stretched.before)), opened.classes[0] == MINE)
    save(Detector(net, 4, STRETCHED), tmp_path / "notebook.pt")
    summary = run_job(Run(tmp_path / "r"), replace(stretched, model=tmp_path / "notebook.pt"), SETTINGS)
    assert summary["verdict"] == "implausible"
    assert sum("on all labelled ground of 2016" in reason for reason in summary["reasons"]) == 2
