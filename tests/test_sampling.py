"""A sample drawn in the background: the same as `sample` draws, in the run's own folder, given up only by name."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sampled_run import as_csv, filled, mapped, truth, write_run
from ui_support import home, status

from minedetect import sampling
from minedetect.config import SampleSettings
from minedetect.design import is_of_this_map, read_design
from minedetect.errors import RunError, SettingError
from minedetect.estimate import estimate_run
from minedetect.jobs import START_LOCK, delete
from minedetect.manifest import begin, seal
from minedetect.runs import CHECKPOINT, ESTIMATE, FOLDS_FOLDER, LOG, MANIFEST, SAMPLE_DESIGN, Run
from minedetect.sample import sample_run
from minedetect.verify import verify_run

__all__ = ["home"]

FEW = SampleSettings(n=40, min_per_stratum=5)


@pytest.fixture
def run(home: Path) -> Run:
    made = write_run(home / "r")
    made.write_status(status("done"))
    return made


def names(run: Run) -> set[str]:
    return {path.name for path in sampling.files_of(run, read_design(run).sample_id)}


def test_it_is_what_the_command_draws(run: Run, tmp_path: Path) -> None:
    child = [*sampling.COMMAND, *sampling.arguments(run, FEW)]
    subprocess.run(child, check=True, env={**os.environ, "MINEDETECT_HOME": str(run.root.parent)})
    design = read_design(run)
    assert sampling.sampling_of(run).status().state == "done"
    assert sampling.sampling_of(run).read_json(sampling.DRAWN)["sample_id"] == design.sample_id
    assert names(run) == {"sample.csv", "sample.geojson", "README.txt"}
    sample_run(run, tmp_path / "out", FEW)
    for path in sampling.files_of(run, design.sample_id):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_files_half_made_are_not_offered_and_are_made_again(run: Run) -> None:
    sampling.draw(run, FEW)
    (sampling.folder_of(run, read_design(run).sample_id) / "sample.csv").unlink()
    assert names(run) == set()
    sampling.draw(run, FEW)
    assert "sample.csv" in names(run)


def test_nobody_draws_over_a_sample(run: Run) -> None:
    sampling.draw(run, FEW)
    table = sampling.files_of(run, read_design(run).sample_id)[0]
    table.write_text(as_csv(filled(table, truth())))
    labelled = table.read_text()
    with pytest.raises(SettingError, match="may hold an interpretation"):
        sampling.draw(run, FEW)
    with pytest.raises(RunError, match="has a sample already"):
        sampling.draw(run, SampleSettings(n=41, min_per_stratum=5))
    assert sampling.sampling_of(run).status().state == "failed"
    assert "has a sample already" in sampling.sampling_of(run).status().message
    assert table.read_text() == labelled


def test_a_link_among_the_pictures_is_not_handed_out(run: Run, tmp_path: Path) -> None:
    sampling.draw(run, FEW)
    (tmp_path / "secret.png").write_bytes(b"x")
    chips = sampling.folder_of(run, read_design(run).sample_id) / "chips"
    chips.mkdir()
    (chips / "a.png").symlink_to(tmp_path / "secret.png")
    (chips / "b.png").write_bytes(b"x")
    assert names(run) == {"sample.csv", "sample.geojson", "README.txt", "b.png"}


def test_another_map_is_told_from_the_one_that_was_sampled(run: Run) -> None:
    sampling.draw(run, FEW)
    design = read_design(run)
    assert is_of_this_map(run, design)
    before, after = mapped()
    after[0, 100] = 1
    write_run(run.root, (before, after))
    assert not is_of_this_map(run, design)
    sampling.draw(run, FEW)
    assert read_design(run).sample_id != design.sample_id
    assert sampling.files_of(run, design.sample_id)  # what people may be labelling stays


def test_a_sample_given_up_takes_its_estimate_along_and_leaves_a_trace(run: Run) -> None:
    begin(run, {"command": "change"}, {}, {})
    sampling.draw(run, FEW)
    sample_id = read_design(run).sample_id
    table = sampling.files_of(run, sample_id)[0]
    table.write_text(as_csv(filled(table, truth())))
    estimate_run(run, table)
    seal(run)
    assert {SAMPLE_DESIGN, ESTIMATE} <= set(run.read_json(MANIFEST)["artifacts"])
    with pytest.raises(RunError, match="another one by now"):
        sampling.give_up(run, "s00000000")
    assert run.has(ESTIMATE)
    sampling.give_up(run, sample_id)
    assert not run.has(SAMPLE_DESIGN)
    assert not run.has(ESTIMATE)
    assert not table.exists()
    assert not {SAMPLE_DESIGN, ESTIMATE} & set(run.read_json(MANIFEST)["artifacts"])
    assert f"{sample_id} was given up" in run.path(LOG).read_text()
    sampling.draw(run, SampleSettings(n=41, min_per_stratum=5))
    assert read_design(run).sample_id != sample_id


def test_verify_knows_what_the_program_itself_leaves_in_a_run(run: Run) -> None:
    begin(run, {"command": "change"}, {}, {})
    seal(run)
    sampling.draw(run, FEW)
    run.path(START_LOCK).touch()
    run.path(f"{FOLDS_FOLDER}/1").mkdir(parents=True)
    run.path(f"{FOLDS_FOLDER}/1/{CHECKPOINT}").touch()
    found = verify_run(run)
    assert found.added == ()
    assert found.missing == found.changed == ()


def test_a_run_whose_sample_is_being_drawn_is_not_deleted(run: Run) -> None:
    sampling.sampling_of(run).root.mkdir()
    sampling.sampling_of(run).write_status(status("running"))
    with pytest.raises(RunError, match="sample of r is being drawn"):
        delete(run)
    assert run.root.exists()


def test_drawing_without_a_map_fails_in_words(home: Path) -> None:
    run = Run(home / "empty")
    run.write_status(status("done"))
    with pytest.raises(RunError, match=r"no summary\.json"):
        sampling.draw(run, FEW)
    assert "summary" in sampling.sampling_of(run).status().message
