"""Removing uploads and drafts on the page Data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from draft_support import drafted, found
from streamlit.testing.v1 import AppTest
from ui_support import HOSTILE, alerts, home, opened, run_in_state, shown, status

from minedetect import draft as drafts
from minedetect import incoming, jobs
from minedetect.draft import Given
from minedetect.errors import RunError
from minedetect.incoming import Stored
from minedetect.runs import Run
from minedetect.ui import removal

__all__ = ["home"]


def upload(name: str, old: bool = True) -> Stored:
    with incoming.arriving(name) as file:
        file.write(name.encode())
        stored = file.finish()
    if old:
        os.utime(stored.path.parent / incoming.ABOUT, (0, 0))
    return stored


def uses(run: Run, file: Stored) -> Run:
    given = Given(path=str(file.path), name=file.name, sha256=file.sha256)
    drafts.update(run, lambda draft: draft.with_input("labels_after", given))
    return run


def listed(**query: str) -> AppTest:
    """The page with the list of uploads open."""
    at = opened("data", **query)
    at.session_state[removal.OPEN] = True
    return at.run()


def press(at: AppTest, label: str) -> AppTest:
    return next(b for b in at.button if b.label.startswith(label)).click().run()


def test_a_closed_list_is_not_looked_through(home: Path) -> None:
    upload("a.tif")
    at = opened("data")
    assert not at.exception
    assert not at.multiselect
    assert "Uploaded files on this server" in [e.label for e in at.expander]


def test_no_upload_is_said(home: Path) -> None:
    assert "No file was uploaded" in shown(listed())


def test_only_what_nobody_uses_is_offered(home: Path) -> None:
    free, needed = upload("free.tif"), upload("needed.tif")
    uses(drafted(home, "north"), needed)
    at = listed()
    assert not at.exception
    table = at.dataframe[-1].value
    assert dict(zip(table["File"], table["Used by"], strict=True)) == {"free.tif": "nobody", "needed.tif": "north"}
    (offered,) = at.multiselect[0].options
    assert offered.startswith("free.tif · ")
    press(at, "Choose all that nobody uses, older than an hour (1)")
    assert at.multiselect[0].value == [free.id]
    press(at, "Remove the chosen files")
    assert free.path.exists()
    assert "free" in shown(at)
    press(at, "Remove for good")
    assert not at.exception
    assert any("Removed: 1 file" in told for told in alerts(at))
    assert not free.path.exists()
    assert needed.path.exists()


def test_what_just_arrived_is_removed_only_when_it_is_chosen_itself(home: Path) -> None:
    file = upload("new.tif", old=False)
    at = listed()
    assert next(b for b in at.button if b.label.startswith("Choose all")).disabled
    at.multiselect[0].set_value([file.id]).run()
    press(at, "Remove the chosen files")
    press(at, "Remove for good")
    assert not file.path.exists()


def test_a_file_that_is_used_meanwhile_stays(home: Path) -> None:
    one, other = upload("one.tif"), upload("other.tif")
    at = listed()
    press(at, "Choose all")
    press(at, "Remove the chosen files")
    uses(drafted(home, "north"), one)
    press(at, "Remove for good")
    assert not at.exception
    assert one.path.exists()
    assert not other.path.exists()


def test_names_of_uploads_are_never_markup(home: Path) -> None:
    for text in HOSTILE:
        upload(f"{text}.tif")
    at = listed()
    press(at, "Choose all")
    press(at, "Remove the chosen files")
    assert not at.exception
    assert not any(text in e.value for text in HOSTILE for kind in ("markdown", "caption") for e in at.get(kind))


def test_a_draft_goes_when_that_is_ticked_and_its_files_stay(home: Path) -> None:
    file = upload("a.tif")
    run = uses(found(drafted(home, "north")), file)
    found(run)
    at = opened("data", run="north")
    assert next(b for b in at.button if b.label == "Delete the draft").disabled
    next(c for c in at.checkbox if c.key == "sure north").check().run()
    press(at, "Delete the draft")
    assert not at.exception
    assert any("draft north is deleted" in told for told in alerts(at))
    assert not run.root.exists()
    assert file.path.exists()


def test_a_run_that_has_begun_is_no_draft_to_delete(home: Path) -> None:
    run = found(drafted(home, "north"))
    run_in_state(home, "done", "north")
    assert "Delete this draft" not in [e.label for e in opened("data", run="north").expander]
    with pytest.raises(RunError, match="has begun"):
        jobs.delete_draft(run)
    assert run.root.exists()


def test_what_is_no_draft_is_not_deleted(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    run = drafted(home, "north")
    run.root.rename(other)
    run.root.symlink_to(other)
    (home / "empty").mkdir()
    for wrong in (run, Run(other), Run(home / "empty"), Run(home / "nothing")):
        with pytest.raises(RunError, match="There is no draft"):
            jobs.delete_draft(wrong)
    assert (other / "draft.json").exists()


def test_a_draft_whose_files_are_being_checked_stays(home: Path) -> None:
    run = drafted(home, "north")
    drafts.check_run(run).root.mkdir()
    drafts.check_run(run).write_status(status("running"))
    with pytest.raises(RunError, match="being checked"):
        jobs.delete_draft(run)
    assert run.root.exists()
