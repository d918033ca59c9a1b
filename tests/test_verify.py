"""What is done to a finished run is told: a byte, a file, a figure, and folders that mean harm."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from conftest import as_tiff
from odc.geo.geobox import GeoBox

from minedetect.bands import BandContract
from minedetect.class_rasters import ClassPair
from minedetect.cli import main
from minedetect.cog import CogProfile, write_cog
from minedetect.config import Settings
from minedetect.demo import write_inputs
from minedetect.errors import RunError
from minedetect.files import sha256_of
from minedetect.grid import whole
from minedetect.manifest import begin, changed_inputs, look_at, seal
from minedetect.model import Detector, UNet, save
from minedetect.pipeline import Job, change_rasters, run_job
from minedetect.presets import settings_from
from minedetect.raster import open_raster, read
from minedetect.runs import CHANGE_MAP, MANIFEST, SUMMARY, Run, Status
from minedetect.verify import Verified, lines_of, verify_run

GRID = GeoBox((96, 80), rasterio.Affine(10, 0, 600_000, 0, -10, 8_600_000), "EPSG:32735")
YEARS = ("2016", "2025")


def squares(*at: tuple[int, int]) -> Any:
    classes = np.zeros((1, 96, 80), np.uint8)
    for row, col in at:
        classes[0, row : row + 20, col : col + 20] = 1
    classes[0, :3] = 255
    return classes


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two class rasters compared; nothing learned."""
    folder = tmp_path_factory.mktemp("compared")
    for name, classes in (("a.tif", squares((10, 10), (60, 40))), ("b.tif", squares((10, 15), (40, 55)))):
        (folder / name).write_bytes(as_tiff(classes, GRID, nodata=255))
    run = Run(folder / "run")
    change_rasters(run, ClassPair(folder / "a.tif", folder / "b.tif", YEARS), Settings())
    return run


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run with a network that learned nothing, and labels of the second date as polygons."""
    folder = tmp_path_factory.mktemp("applied")
    run = Run(folder / "run")
    job = write_inputs(run, (256, 192), seed=1)
    torch.manual_seed(0)
    contract = BandContract(open_raster(job.before).bands, "reflectance", (0.0,) * 5, (0.5,) * 5, 10.0)
    taught = {"scenes": {"before": sha256_of(job.before)}}
    save(Detector(UNet(5, 4), 4, contract, provenance=taught), folder / "model.pt")
    settings = settings_from({"preset": "cpu", "device": "cpu", "window_px": 128, "threshold": 0.49}, gpu=False)
    asked = Job(job.before, job.after, job.labels, YEARS, labels_after=job.labels, model=folder / "model.pt")
    run_job(run, replace(asked, truth=job.truth), settings)
    return run


@pytest.fixture
def own(compared: Run) -> Iterator[Run]:
    """To be spoiled; what was not touched need not be examined again."""
    kept = {path: path.read_bytes() for path in compared.root.iterdir()}
    yield compared
    for path in compared.root.iterdir():
        if path not in kept:
            path.unlink()
    for path, content in kept.items():
        if path.is_symlink() or not path.is_file() or path.read_bytes() != content:
            path.unlink(missing_ok=True)
            path.write_bytes(content)


@pytest.fixture
def plain(tmp_path: Path) -> Run:
    """A sealed run without figures: hashing is all there is to do."""
    run, image = Run(tmp_path / "plain"), tmp_path / "image.tif"
    image.write_bytes(b"image")
    begin(run, {"command": "train"}, {"seed": 1}, look_at({"image of a": image}))
    for name in ("mask.tif", "metrics.csv", "scenes/a/quality.json", "split.geojson"):
        run.path(name).parent.mkdir(parents=True, exist_ok=True)
        run.path(name).write_bytes(name.encode())
    seal(run)
    return run


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def edit(run: Run, name: str, change: Callable[[Any], object]) -> None:
    """Change a JSON file, and the manifest so that it matches: what a careful forger does."""
    content = run.read_json(name)
    change(content)
    run.write_json(name, content)
    reseal(run, name)


def reseal(run: Run, name: str) -> None:
    manifest = run.read_json(MANIFEST)
    path = run.path(name)
    manifest["artifacts"][name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    run.write_json(MANIFEST, manifest)


@pytest.mark.parametrize("which", ["compared", pytest.param("applied", marks=pytest.mark.slow)])
def test_a_run_left_alone_is_intact_and_every_file_is_vouched_for(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run: Run = request.getfixturevalue(which)
    found = verify_run(run)
    assert found.intact, lines_of(found, run)
    assert set(found.inputs.values()) == {"same"}
    manifest, summary = run.read_json(MANIFEST), run.read_json(SUMMARY)
    lying = {p.relative_to(run.root).as_posix() for p in run.root.rglob("*") if p.is_file()}
    inside = {given["inside"] for given in manifest["inputs"].values()}
    beside = {"status.json", "log.txt", ".lock", MANIFEST}
    assert lying - inside - beside == set(manifest["artifacts"])
    assert summary["provenance"]["model_sha256"] == manifest["model_sha256"]
    assert {r: g["sha256"] for r, g in summary["provenance"]["inputs"].items()} == {
        role: given["sha256"] for role, given in manifest["inputs"].items()
    }
    shutil.copytree(run.root, tmp_path / "elsewhere")
    assert verify_run(Run(tmp_path / "elsewhere")).intact


@pytest.mark.slow
def test_the_artifacts_themselves_name_their_run_and_what_they_rest_on(applied: Run) -> None:
    inputs = applied.read_json(MANIFEST)["inputs"]
    wanted = {"mask.tif": "image", "prediction_2016.tif": "before", "probability_2025.tif": "after"}
    for name, role in {**wanted, CHANGE_MAP: "after"}.items():
        with rasterio.open(applied.path(name)) as dataset:
            tags = dataset.tags()
        assert tags["run_id"] == "run"
        assert tags[f"{role}_sha256"] == inputs["before" if role == "image" else role]["sha256"]
        assert name == "mask.tif" or tags["model_sha256"] == inputs["model"]["sha256"]
    for place in applied.read_json(MANIFEST)["artifacts"]:
        content = applied.path(place).read_bytes()
        if place.endswith(".png"):
            assert content.startswith(b"\x89PNG")
            assert b"iTXtrun_id\0\0\0\0\0run" in content
        elif place.endswith("json"):
            assert json.loads(content)["run_id"] == "run"


def test_a_flipped_byte_of_any_artifact_is_found_there_and_nowhere_else(plain: Run) -> None:
    assert verify_run(plain).intact
    places = list(plain.read_json(MANIFEST)["artifacts"])
    assert set(places) == {"mask.tif", "metrics.csv", "scenes/a/quality.json", "split.geojson", "config.json"}
    for place in places:
        size = plain.path(place).stat().st_size
        for at in {*range(0, size, max(1, size // 5)), size - 1}:
            flip(plain.path(place), at)
            found = verify_run(plain)
            assert (found.changed, found.missing, found.added, found.intact) == ((place,), (), (), False)
            flip(plain.path(place), at)
    assert verify_run(plain).intact


@pytest.mark.slow
def test_a_figure_is_not_needed_to_find_flipped_bytes_of_a_whole_run(applied: Run, tmp_path: Path) -> None:
    shutil.copytree(applied.root, tmp_path / "run")
    run = Run(tmp_path / "run")
    places = list(run.read_json(MANIFEST)["artifacts"])
    assert len(places) >= 15
    for place in places:
        flip(run.path(place), at=run.path(place).stat().st_size // 2)
    found = verify_run(run)
    assert (set(found.changed), found.missing, found.added) == (set(places), (), ())


@pytest.mark.parametrize("name", ["mask.tif", "config.json", "scenes/a/quality.json"])
def test_each_file_that_goes_is_missed(plain: Run, name: str) -> None:
    plain.path(name).unlink()
    found = verify_run(plain)
    assert (found.missing, found.changed, found.added, found.intact) == ((name,), (), (), False)


def test_a_change_map_that_goes_takes_its_figures_with_it(own: Run) -> None:
    own.path(CHANGE_MAP).unlink()
    found = verify_run(own)
    assert found.missing == (CHANGE_MAP,)
    assert "change_map.tif is missing" in found.figures[0]


def test_a_file_that_comes_is_told_and_those_that_may_change_are_not(plain: Run) -> None:
    for name in ("log.txt", "checkpoint.pt", ".lock"):
        plain.path(name).write_text("more")
    assert verify_run(plain).intact
    plain.path("scenes/mask.tif").write_text("?")
    plain.path("here").symlink_to("/etc")
    found = verify_run(plain)
    assert (set(found.added), found.intact) == ({"here", "scenes/mask.tif"}, False)


def test_inputs_that_changed_are_told_and_those_that_are_gone_are_no_fault(plain: Run) -> None:
    image = plain.root.parent / "image.tif"
    assert changed_inputs(plain) == ()
    flip(image)
    found = verify_run(plain)
    assert (found.inputs, found.intact) == ({"image of a": "changed"}, False)
    assert "image.tif (image of a) was changed or removed while the run went on" in changed_inputs(plain)[0]
    seal(plain)
    assert verify_run(plain).notes == changed_inputs(plain)
    image.unlink()
    found = verify_run(plain)
    assert (found.inputs, found.intact) == ({"image of a": "gone"}, True)
    assert changed_inputs(plain)


def test_without_the_class_rasters_the_change_map_still_gives_its_figures(compared: Run, tmp_path: Path) -> None:
    shutil.copytree(compared.root, tmp_path / "run")
    run = Run(tmp_path / "run")
    manifest = run.read_json(MANIFEST)
    manifest["inputs"]["after"]["path"] = str(tmp_path / "gone.tif")
    run.write_json(MANIFEST, manifest)
    assert verify_run(run).intact
    edit(run, SUMMARY, CLAIMS["new_ha"])
    assert any("new_ha" in sentence for sentence in verify_run(run).figures)


def test_files_of_an_earlier_attempt_go_or_are_not_vouched_for(compared: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.root.mkdir()
    for name in ("mask.tif", "quality.json", "unet_mining_detector.pt", MANIFEST, "notes.txt"):
        run.path(name).write_text("old")
    change_rasters(run, ClassPair(compared.root.parent / "a.tif", compared.root.parent / "b.tif", YEARS), Settings())
    assert set(verify_run(run).added) == {"unet_mining_detector.pt", "notes.txt"}
    assert run.read_json(MANIFEST)["model_sha256"] is None


CLAIMS: dict[str, Callable[[Any], object]] = {
    "new_ha": lambda s: s.update(new_ha=s["new_ha"] + 0.05),
    "net_ha": lambda s: s.update(net_ha=s["net_ha"] * 2 + 1),
    "hectares 2025": lambda s: s["hectares"].update({"2025": 900.0}),
    "hectares_observed 2016": lambda s: s["hectares_observed"].update({"2016": float(0)}),
    "change_ha gone firm": lambda s: s["change_ha"]["gone"].update(firm=0.0),
    "other inputs": lambda s: s["provenance"].update(model_sha256="0" * 64),
    "could not be computed anew": lambda s: s.pop("unchanged_ha"),
    "years": lambda s: s.update(years=["../2016", "2025"]),
}


@pytest.mark.parametrize("words", CLAIMS)
def test_a_summary_edited_by_hand_is_caught_though_the_manifest_was_edited_to_match(own: Run, words: str) -> None:
    edit(own, SUMMARY, CLAIMS[words])
    found = verify_run(own)
    assert (found.changed, found.missing, found.added) == ((), (), ())
    assert [sentence for sentence in found.figures if words in sentence]
    assert not found.intact


@pytest.mark.slow
def test_rows_of_mines_must_add_up(applied: Run, tmp_path: Path) -> None:
    shutil.copytree(applied.root, tmp_path / "run")
    run = Run(tmp_path / "run")
    edit(run, SUMMARY, lambda s: s["per_mine"][0].update(after_ha=s["per_mine"][0]["after_ha"] + 5))
    found = verify_run(run).figures
    assert any("after_ha of all mines adds up" in sentence for sentence in found)
    assert any("areas.csv says now" in sentence or "areas.csv says after" in sentence for sentence in found)


def test_a_table_edited_by_hand_is_caught(own: Run) -> None:
    table = own.path("areas.csv").read_text()
    own.path("areas.csv").write_text(table.replace('"new, firm",,,', '"new, firm",,,1'))
    reseal(own, "areas.csv")
    (sentence,) = verify_run(own).figures
    assert "areas.csv says new, firm: 1" in sentence


def test_a_change_map_painted_over_is_caught(own: Run) -> None:
    raster = open_raster(own.path(CHANGE_MAP))
    pixels = np.nan_to_num(read(raster, whole(raster.shape))[0], nan=-128).astype(np.int8)
    pixels[50:60, 5:15] = 1
    write_cog(own.path(CHANGE_MAP), pixels, raster.grid, CogProfile("int8", -128, ("change",), {}))
    reseal(own, CHANGE_MAP)
    found = verify_run(own).figures
    assert any("is not the difference of both dates' classes on 100 px" in sentence for sentence in found)
    assert any("change_kind.tif gives kinds to other pixels" in sentence for sentence in found)


@pytest.mark.parametrize("place", ["../x", "/etc/hostname", "a/../../x", "a\\x", "./a", "a//b", ".."])
def test_a_manifest_that_names_places_outside_the_run_is_refused(plain: Run, place: str) -> None:
    manifest = plain.read_json(MANIFEST)
    manifest["artifacts"][place] = {"bytes": 1, "sha256": "0" * 64}
    plain.write_json(MANIFEST, manifest)
    with pytest.raises(RunError, match="no place inside the run folder"):
        verify_run(plain)


DAMAGE = {
    "list": b"[]",
    "half": b'{"run_id": "x"',
    "deep": b"[" * 100_000,
    "other": b'{"run_id": "x"}',
    "huge": b" " * (17 * 2**20),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", [MANIFEST, SUMMARY])
def test_damaged_and_hostile_json_is_told_in_words(own: Run, kind: str, name: str) -> None:
    own.path(name).write_bytes(DAMAGE[kind])
    if name == SUMMARY:
        assert any("could not be computed" in sentence for sentence in verify_run(own).figures)
    else:
        with pytest.raises(RunError, match=r"damaged|not what minedetect writes"):
            verify_run(own)


def test_a_flood_of_bytes_is_not_read(plain: Run) -> None:
    with plain.path("mask.tif").open("wb") as file:
        file.truncate(2**43)
    assert verify_run(plain).changed == ("mask.tif",)
    manifest = plain.read_json(MANIFEST)
    manifest["artifacts"]["mask.tif"]["bytes"] = 2**45
    plain.write_json(MANIFEST, manifest)
    with pytest.raises(RunError, match="claims 32,768 GiB"):
        verify_run(plain)


def test_links_and_pipes_are_not_followed(own: Run, tmp_path: Path) -> None:
    for name in ("change_kind.tif", SUMMARY):
        shutil.move(own.path(name), tmp_path / name)
        own.path(name).symlink_to(tmp_path / name)
    own.path("areas.csv").unlink()
    os.mkfifo(own.path("areas.csv"))
    found = verify_run(own)
    assert set(found.changed) == {"change_kind.tif", SUMMARY, "areas.csv"}
    assert any("only a link" in sentence for sentence in found.figures)


def test_names_cannot_steer_a_terminal(plain: Run) -> None:
    plain.path("a\x1b[31mb").write_text("")
    lines = lines_of(verify_run(plain), plain)
    assert not any("\x1b" in line for line in lines)
    assert any(r"\x1b[31m" in line for line in lines)


@pytest.mark.parametrize(
    ("state", "words"), [("failed", "did not end well"), ("running", "interrupted"), ("done", "has no manifest")]
)
def test_a_run_that_nothing_vouches_for_is_told(plain: Run, state: Any, words: str) -> None:
    plain.path(MANIFEST).unlink()
    plain.write_status(Status(run_id="plain", state=state))
    with pytest.raises(RunError, match=words):
        verify_run(plain)


def test_the_command_says_one_line_a_finding_and_ends_with_2(own: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*arguments: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        return int(ended.value.code or 0)

    assert call("verify", own.root) == 0
    assert "Verdict: intact" in capsys.readouterr().out
    own.path("areas.csv").unlink()
    flip(own.path("mines_2016.geojson"))
    assert call("verify", own.root) == 2
    said = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  changed  mines_2016.geojson") for line in said) == 1
    assert sum(line.startswith("  missing  areas.csv") for line in said) == 1
    assert call("verify", own.root, "--json") == 2
    content = json.loads(capsys.readouterr().out)
    assert (content["verdict"], content["changed"]) == ("changed", ["mines_2016.geojson"])
    assert {"artifacts", "missing", "added", "inputs"} <= content.keys()
    assert call("verify", own.root / "nowhere") == 2
    assert "There is no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_scores_on_the_image_a_model_learned_from_are_called_dependent(applied: Run) -> None:
    summary = applied.read_json(SUMMARY)
    (note,) = [note for note in summary["notes"] if "no independent test" in note]
    assert note.startswith("before_2016.tif helped to make this model")
    assert set(summary["scores_after"]) == {"iou", "dice", "precision", "recall"}


def test_a_verdict_needs_all_to_be_as_it_was() -> None:
    good = Verified(1, (), (), (), {"before": "gone"}, (), (), "0" * 64)
    assert good.intact
    assert good.to_json()["verdict"] == "intact"
