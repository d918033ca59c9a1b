from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from minedetect import draft as drafts
from minedetect.cli import app
from minedetect.config import Settings
from minedetect.draft import Draft, Given
from minedetect.errors import RunError, SettingError
from minedetect.presets import as_flags
from minedetect.runs import DRAFT, STATUS, Run, list_runs


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINEDETECT_HOME", str(tmp_path))
    return tmp_path


def whole(folder: Path) -> Draft:
    draft = Draft(years=("2016", "2025"))
    for role in drafts.ROLES:
        path = folder / f"{role}.tif"
        path.write_bytes(role.encode())
        draft = draft.with_input(role, Given(path=str(path), name=f"my {role}.tif", sha256=role))
    return draft


def test_a_draft_is_read_as_it_was_written(home: Path) -> None:
    run = drafts.create("mine")
    given = whole(home).with_values(bands="B2,B3", exclude_mine=(3, 1), tile_px=64)
    drafts.update(run, lambda _: given)
    again = drafts.read(Run(run.root))
    assert again.inputs == given.inputs
    assert again.settings() == given.settings()
    assert again.key() == given.key()
    assert list_runs() == []
    assert drafts.list_drafts() == [run]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-flag", ".", "incoming", "x" * 101])
def test_a_name_that_is_no_free_folder_name_is_refused(home: Path, name: str) -> None:
    with pytest.raises(RunError):
        drafts.create(name)
    assert list(home.iterdir()) == []


def test_a_name_is_given_once(home: Path) -> None:
    assert drafts.unused_name() == "run-1"
    drafts.create("run-1")
    assert drafts.unused_name() == "run-2"
    with pytest.raises(RunError, match="already"):
        drafts.create("run-1")


def test_a_begun_run_is_no_longer_listed_as_a_draft(home: Path) -> None:
    run = drafts.create("mine")
    run.path(STATUS).write_text("{}", encoding="utf-8")
    assert drafts.list_drafts() == []
    assert drafts.read(run) == Draft()


def test_of_many_who_change_a_draft_at_once_none_is_lost(home: Path) -> None:
    run = drafts.create("mine")

    def add(number: int) -> None:
        drafts.update(run, lambda draft: draft.model_copy(update={"mine_classes": (*draft.mine_classes, number)}))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drafts.read(run).mine_classes) == list(range(20))


@pytest.mark.parametrize("content", ["{", "[]", '{"inputs": 3}', '{"unheard_of": 1}', '{"inputs": {"other": {}}}'])
def test_a_damaged_draft_is_a_sentence(home: Path, content: str) -> None:
    run = drafts.create("mine")
    run.path(DRAFT).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        drafts.read(run)


def test_what_is_missing_is_said_one_by_one(home: Path) -> None:
    assert len(Draft().missing()) == 4
    draft = whole(home)
    assert draft.missing() == []
    assert "first date" in draft.with_input("labels", None).missing()[0]
    same = draft.model_copy(update={"years": ("2016", "2016")})
    assert "different labels" in same.missing()[0]
    assert "tile-px" in draft.with_values(tile_px=7).missing()[0]
    Path(draft.inputs["after"].path).unlink()
    assert "my after.tif is no longer" in draft.missing()[0]
    with pytest.raises(SettingError):
        draft.arguments(Run(home / "mine"))


def test_new_outlines_forget_which_were_left_out(home: Path) -> None:
    draft = whole(home).with_values(exclude_mine=(2,), bands="B2")
    other = draft.with_input("labels", Given(path="x", name="x"))
    assert "exclude_mine" not in other.values
    assert draft.with_input("after", None).values == draft.values


def test_the_key_changes_with_what_findings_depend_on(home: Path) -> None:
    draft = whole(home)
    changed = (
        draft.with_input("after", None),
        draft.with_values(bands="B2"),
        draft.with_values(exclude_mine=(1,)),
        draft.with_values(acquired="2016-08-24"),
        draft.model_copy(update={"mine_classes": (3,)}),
    )
    assert len({draft.key(), *(other.key() for other in changed)}) == 6
    unaffected = draft.with_values(mine_definition="Pits", epochs=3).model_copy(update={"years": ("a", "b")})
    assert unaffected.key() == draft.key()


def test_findings_count_for_the_draft_they_were_made_of(home: Path) -> None:
    run = drafts.create("mine")
    assert drafts.findings(run) is None
    drafts.check_run(run).write_json(drafts.FINDINGS, {"key": drafts.read(run).key(), "verdict": "ok"})
    assert drafts.findings(run) == {"run_id": "check", "key": drafts.read(run).key(), "verdict": "ok"}
    drafts.update(run, lambda draft: draft.with_values(bands="B2"))
    assert drafts.findings(run) is None


def test_the_command_line_takes_what_the_draft_says(home: Path) -> None:
    """Parsed by the program itself: the same settings, files and years come out."""
    given = {
        "bands": "B2,B3,B4",
        "mine_definition": '--out $(x) "pits"',
        "exclude_mine": (2, 5),
        "match_radiometry": True,
        "flips": False,
        "epochs": 3,
        "learning_rate": 0.0005,
    }
    draft = whole(home).with_values(**given).model_copy(update={"mine_classes": (1, 3)})
    line = draft.arguments(Run(home / "mine"))
    command, bound, _ = app.parse_args(line)
    assert command.__name__ == "run"
    told = bound.arguments
    assert [str(told[name]) for name in ("before", "after", "labels", "labels_after")] == [
        draft.inputs[role].path for role in drafts.ROLES
    ]
    assert told["years"] == ("2016", "2025")
    assert told["out"] == "mine"
    assert tuple(told["mine_class"]) == (1, 3)
    assert {name: getattr(told["settings"], name) for name in given} == given


@pytest.mark.slow
def test_every_setting_survives_the_way_over_flags(home: Path) -> None:
    for name, field in Settings.model_fields.items():
        value = (1, 2) if name == "exclude_mine" else field.default
        line = [*whole(home).arguments(Run(home / "mine")), *as_flags({name: value})]
        _, bound, _ = app.parse_args(line)
        settings = bound.arguments["settings"]
        assert settings is None or getattr(settings, name) == value, name


def test_settings_chosen_by_hand_stay_though_they_are_the_defaults(home: Path) -> None:
    draft = Draft(values={"preset": "cpu", "epochs": 50})
    assert draft.with_values(tile_px=64).settings().epochs == 50
    assert draft.with_values(tile_px=64).with_values(tile_px=256).values == draft.values
    json.dumps(draft.model_dump())
