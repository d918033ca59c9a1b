from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from minedetect import server
from minedetect.errors import RunError
from minedetect.labelled import MOST_BYTES

SAFE = {
    "server.address": "127.0.0.1",
    "server.allowedHosts": ["127.0.0.1", "localhost"],
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.xsrfCookieSameSite": "strict",
    "server.enableStaticServing": False,
    "server.maxUploadSize": MOST_BYTES // 2**20,  # images come by a route of their own
    "server.fileWatcherType": "none",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "viewer",
    "browser.gatherUsageStats": False,
    "runner.fastReruns": False,  # else the callbacks of two quick changes overlap, and the first may be written last
}


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    with (server.ROOT / ".streamlit" / "config.toml").open("rb") as file:
        return tomllib.load(file)


@pytest.fixture(scope="module")
def effective(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Streamlit itself makes of the file when the app is started from another folder."""
    code = f"""
import json
from streamlit import config
config._main_script_path = {str(server.LAUNCHER)!r}
print(json.dumps({{name: config.get_option(name) for name in {list(SAFE)!r}}}))
"""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    answer = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, check=True)
    options: dict[str, Any] = json.loads(answer.stdout)
    return options


@pytest.mark.parametrize("name", SAFE)
def test_the_file_sets_it(written: dict[str, Any], name: str) -> None:
    section, key = name.split(".")
    assert written[section][key] == SAFE[name]


@pytest.mark.parametrize("name", SAFE)
def test_streamlit_knows_it_and_follows(effective: dict[str, Any], name: str) -> None:
    assert effective[name] == SAFE[name]


def test_nothing_is_fetched_for_the_theme(written: dict[str, Any]) -> None:
    assert "http" not in json.dumps(written["theme"])
    assert set(written["theme"]) >= {"light", "dark"}


def test_the_command_serves_the_launcher() -> None:
    line = server.command(8599)
    assert line[:5] == [sys.executable, "-m", "streamlit", "run", str(server.ROOT / "app.py")]
    assert line[5:] == ["--server.port", "8599"]


def test_an_installation_without_the_app_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "LAUNCHER", tmp_path / "app.py")
    with pytest.raises(RunError, match="Install from the source folder"):
        server.command(8501)
