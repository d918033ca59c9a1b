"""What `estimate` takes and gives: only the sample that was drawn, and figures near the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from sampled_run import GRID, as_csv, filled, mapped, truth, write_run

from minedetect.allocation import STRATA
from minedetect.cli import main
from minedetect.config import SampleSettings
from minedetect.design import read_design
from minedetect.errors import BadInput, MinedetectError, RunError
from minedetect.estimate import estimate_run
from minedetect.labelled import read_labelled
from minedetect.measure import zone_hectares
from minedetect.runs import ESTIMATE, SAMPLE_DESIGN, Run
from minedetect.sample import sample_run

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Rows]:
    """A run with a sample of 400 points, and the rows of who knows the truth."""
    folder = tmp_path_factory.mktemp("sampled")
    run = write_run(folder / "r")
    sample_run(run, folder / "out", SampleSettings(n=400))
    return run, filled(folder / "out" / "sample.csv", truth())


def labelled(folder: Path, content: str | bytes) -> Path:
    path = folder / "labelled.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_figures_are_near_the_truth_and_within_their_intervals(sampled: tuple[Run, Rows], tmp_path: Path) -> None:
    run, rows = sampled
    content = estimate_run(run, labelled(tmp_path, as_csv(rows)))
    before, after = truth()
    seen = mapped()[0] != 255
    numbers = np.where(seen, np.array([[0, 2], [3, 1]])[before, after], 9)
    other, stable, new, gone = zone_hectares(numbers, GRID, 4)
    true = {"new": new, "gone": gone, "before": stable + gone, "after": stable + new, "stable_mine": stable}
    for name, hectares in (true | {"net": new - gone}).items():
        area = content["areas"][name]
        assert area["low_ha"] <= hectares <= area["high_ha"], name
        assert area["low_ha"] <= area["ha"] <= area["high_ha"], name
        assert abs(area["ha"] - hectares) < abs(area["mapped_ha"] - hectares) + 2 * area["se_ha"] + 0.1, name
    assert content["areas"]["new"]["mapped_ha"] > new + 10  # the false patch; the sample finds it out
    assert content["areas"]["new"]["ha"] == pytest.approx(new, rel=0.2)
    assert content["total_ha"] == pytest.approx(other + stable + new + gone, abs=0.01)
    assert sum(map(sum, content["matrix"]["points"])) == 400
    assert run.read_json(ESTIMATE) == {"run_id": run.name, **json.loads(json.dumps(content))}
    assert not any(content["unusable"].values())


def test_command_line_says_it_in_words_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = write_run(tmp_path / "r"), tmp_path / "out"

    def call(*arguments: Any) -> int:
        with pytest.raises(SystemExit) as ending:
            main([str(a) for a in arguments])
        return int(ending.value.code or 0)

    assert call("sample", run.root, "--n", 100, "--min-per-stratum", 20, "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n"] == 100
    assert call("estimate", run.root, out / "sample.csv") == 2
    assert "has no reference" in capsys.readouterr().err
    table = labelled(tmp_path, as_csv(filled(out / "sample.csv", truth())))
    assert call("estimate", run.root, table, "--json") == 0
    assert json.loads(capsys.readouterr().out)["areas"]["new"]["ha"] > 0
    assert call("estimate", run.root, table) == 0
    told = capsys.readouterr().out
    assert "95 % interval" in told
    assert "mine 2025" in told
    assert call("sample", run.root, "--n", 7, "--out", tmp_path / "other") == 2
    assert "--n" in capsys.readouterr().err


def test_what_excel_makes_of_it_is_read_alike(sampled: tuple[Run, Rows], tmp_path: Path) -> None:
    run, rows = sampled
    design = read_design(run)
    plain = read_labelled(labelled(tmp_path, as_csv(rows)), design)
    commas = [{**r, "lon": r["lon"].replace(".", ","), "lat": r["lat"].replace(".", ",")} for r in rows]
    loud = [{**r, "reference": f" {r['reference'].upper().replace('_', ' ')} ", "note": "=1+1;\n@x, é"} for r in rows]
    shuffled = [dict(reversed(list(r.items()))) for r in reversed(rows)]
    texts = {
        "semicolons": as_csv(commas, ";").encode("utf-8-sig"),
        "tabs": as_csv(rows, "\t").encode(),
        "notes": as_csv(loud).encode(),
        "turned round": as_csv(shuffled).encode(),
        "empty lines": (as_csv(rows) + ",,,,,,\r\n\r\n").encode(),
        "capital columns": as_csv(rows).replace("reference", "Reference").encode(),
    }
    for name, content in texts.items():
        assert read_labelled(labelled(tmp_path, content), design) == plain, name


def changed(column: str, value: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{**rows[0], column: value}, *rows[1:]]


FAULTS: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "unknown": (changed("point", "s12345678-001"), r"line 2: point 's12345678-001' is of another sample"),
    "invented": (lambda rows: [*rows, {**rows[0], "point": rows[0]["point"] + "9"}], r"line 402: .* was not drawn"),
    "moved row": (changed("row", "299999"), r"line 2: .* has other row than were drawn"),
    "moved place": (changed("lon", "27.9"), r"line 2: .* has other lon than"),
    "no number": (changed("lat", "=1+1"), r"line 2: .* has other lat than"),
    "twice": (lambda rows: [*rows, rows[0]], r"is there 2 times \(lines 2, 402\)"),
    "missing": (lambda rows: rows[1:], r"1 points are missing, the first s\w+-001"),
    "empty": (changed("reference", ""), r"line 2: .* has no reference"),
    "no word": (changed("reference", "mine"), r"line 2: .* has the reference 'mine', not one of other_both"),
    "none": (lambda rows: rows[:1], r"399 points are missing"),
    "formula": (changed("reference", "=HYPERLINK(1)"), r"'=hyperlink|'=HYPERLINK"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_anything_but_the_sample_is_refused_by_row(sampled: tuple[Run, Rows], tmp_path: Path, name: str) -> None:
    run, rows = sampled
    change, told = FAULTS[name]
    with pytest.raises(BadInput, match=told) as refused:
        estimate_run(run, labelled(tmp_path, as_csv(change(rows))))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1500


def test_many_faults_are_told_in_few_words(sampled: tuple[Run, Rows], tmp_path: Path) -> None:
    run, rows = sampled
    wrong = [{**r, "reference": "x" * 50_000} for r in rows]
    with pytest.raises(BadInput, match="and 392 more") as refused:
        estimate_run(run, labelled(tmp_path, as_csv(wrong)))
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "first line must name"),
        (b"a,b,c\n1,2,3\n", "first line must name"),
        (b"\xff\xfe\x00p\x00o", "not UTF-8"),
        (b"PK\x03\x04" + bytes(100), "first line must name"),
        (b"point,lon,lat,row,col,reference,reference\n", "a column twice"),
        (b"point,lon,lat,row,col,reference\nx,1,2,3,4,new\x00\n", "was not drawn|another sample|damaged"),
        (b'point,lon,lat,row,col,reference\n"x,1,2,3,4,new\n', "damaged"),
        (b'point,lon,lat,row,col,reference\n"' + b"x" * 200_000 + b'",1,2,3,4,new\n', "damaged"),
        (b"x" * 200_000, "first line must name"),
        (b"point,lon,lat,row,col,reference\n" + b"x,\n" * 30_000, "more than 20,000 rows"),
        (b"point,lon,lat,row,col,reference\n" + b"x" * (33 * 2**20), "larger than 32 MiB"),
    ],
)
def test_files_that_are_no_sample_are_refused(
    sampled: tuple[Run, Rows], tmp_path: Path, content: bytes, told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        estimate_run(sampled[0], labelled(tmp_path, content))


def test_no_file_and_a_folder_are_refused(sampled: tuple[Run, Rows], tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, Path("/dev/zero")):
        with pytest.raises(BadInput, match="There is no file"):
            estimate_run(sampled[0], path)


def test_unusable_points_are_left_out_and_told(sampled: tuple[Run, Rows], tmp_path: Path) -> None:
    run, rows = sampled
    new = [p.point for p in read_design(run).points if p.stratum == "new"]
    some = [{**r, "reference": "unusable"} if r["point"] in new[:7] else r for r in rows]
    content = estimate_run(run, labelled(tmp_path, as_csv(some)))
    assert content["unusable"] == dict(zip(STRATA, [0, 0, 7, 0], strict=True))
    assert any("7 of" in note and "assume" in note for note in content["notes"])
    assert sum(map(sum, content["matrix"]["points"])) == 393


def test_one_usable_point_gives_no_interval_and_none_is_refused(sampled: tuple[Run, Rows], tmp_path: Path) -> None:
    run, rows = sampled
    gone = [p.point for p in read_design(run).points if p.stratum == "gone"]
    one = [{**r, "reference": "unusable"} if r["point"] in gone[1:] else r for r in rows]
    content = estimate_run(run, labelled(tmp_path, as_csv(one)))
    assert {area["low_ha"] for area in content["areas"].values()} == {None}
    assert all(area["ha"] is not None for area in content["areas"].values())
    assert content["accuracy"]["users"]["gone"]["se"] is None
    assert any("no variance" in note for note in content["notes"])
    none = [{**r, "reference": "unusable"} if r["point"] in gone else r for r in rows]
    with pytest.raises(BadInput, match="points of the stratum gone are unusable"):
        estimate_run(run, labelled(tmp_path, as_csv(none)))


def test_points_count_by_the_ground_area_of_their_pixels(tmp_path: Path) -> None:
    """In Web Mercator far north pixels of one map differ threefold; where change lies must not bend the figure."""
    grid = GeoBox((300, 240), Affine.translation(0, 15_000_000) @ Affine.scale(10_000, -10_000), "EPSG:3857")
    before, claimed, real = np.zeros((3, 300, 240), np.uint8)
    claimed[:, 100:200] = 1
    real[:150, 100:200] = 1  # only the north of what the map calls new, where pixels are small
    run = write_run(tmp_path / "r", (before, claimed), grid)
    sample_run(run, tmp_path / "out", SampleSettings(n=4000))
    rows = filled(tmp_path / "out" / "sample.csv", (before, real))
    area = estimate_run(run, labelled(tmp_path, as_csv(rows)))["areas"]["new"]
    by_ground = zone_hectares(real, grid, 2)[1]
    assert area["mapped_ha"] > 2.5 * by_ground  # half of the pixels, but less than 40 % of the ground
    assert area["ha"] == pytest.approx(by_ground, rel=0.05)
    assert area["low_ha"] < by_ground < area["high_ha"]


def test_another_map_than_was_sampled_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r")
    with pytest.raises(RunError, match="Draw a sample first"):
        estimate_run(run, tmp_path / "x.csv")
    sample_run(run, tmp_path / "out", SampleSettings(n=40, min_per_stratum=5))
    table = labelled(tmp_path, as_csv(filled(tmp_path / "out" / "sample.csv", truth())))
    estimate_run(run, table)
    before, after = mapped()
    after[0, 100] = 1
    write_run(run.root, (before, after))
    with pytest.raises(RunError, match=r"change_map\.tif is another map"):
        estimate_run(run, table)


@pytest.mark.parametrize("damage", ["{", "[]", '{"sample_id": "s1"}', '{"files": {"../../etc/passwd": "x"}}'])
def test_a_damaged_design_is_refused(tmp_path: Path, damage: str) -> None:
    run = write_run(tmp_path / "r")
    run.path(SAMPLE_DESIGN).write_text(damage)
    with pytest.raises(MinedetectError, match="damaged"):
        estimate_run(run, tmp_path / "x.csv")
