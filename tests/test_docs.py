"""What the documents say is so."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from minedetect.presets import ALL_FIELDS, PRESETS, flag, preset_table, settings_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_setting_as_it_is() -> None:
    assert settings_table() in README, "run: python benchmarks/readme_tables.py"
    for name in ALL_FIELDS:
        assert f"`{flag(name)}`" in README


def test_the_readme_lists_every_preset_as_it_is() -> None:
    assert preset_table() in README, "run: python benchmarks/readme_tables.py"
    assert all(f"`{name}`" in README for name in PRESETS)


def test_the_python_example_is_short_and_its_names_exist() -> None:
    example, *_ = re.findall(r"### From Python\n\n```python\n(.*?)```", README, re.S)
    tree = ast.parse(example)
    assert len(example.strip().splitlines()) <= 10
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_readme_names_two_commands_and_a_picture_that_exists() -> None:
    assert "make app" in README
    assert "make test" in README
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README + CONTRIBUTING):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("row", re.findall(r"^\| [^|]+ \| (`[^|]+) \| (`[^|]+) \|$", CONTRIBUTING, re.M))
def test_every_row_of_the_guide_names_files_that_exist(row: tuple[str, str]) -> None:
    for name in re.findall(r"`([^`]+)`", " ".join(row)):
        assert (ROOT / name).exists(), name


def test_every_module_has_a_row_in_the_guide() -> None:
    for path in (ROOT / "minedetect").glob("[!_]*.py"):
        assert f"minedetect/{path.name}" in CONTRIBUTING, path.name


def test_there_is_one_list_of_dependencies() -> None:
    assert 'dependencies = { file = ["requirements.txt"] }' in (ROOT / "pyproject.toml").read_text()
