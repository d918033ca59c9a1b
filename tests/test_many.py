"""A list of scenes predicted into a folder: on workers of this machine and on a cluster that loses one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from odc.geo.geobox import GeoBox

from minedetect import many
from minedetect.bands import BandContract
from minedetect.cli import main
from minedetect.cluster import Outcome, SceneTask, predict_task
from minedetect.cog import CogProfile, write_cog
from minedetect.coverage import Covered
from minedetect.errors import BadInput, SettingError
from minedetect.files import sha256_of
from minedetect.model import Detector, UNet, load, save
from minedetect.pipeline import predict_image
from minedetect.predict import Output
from minedetect.presets import settings_from

BANDS = ("B2", "B3")
SETTINGS = settings_from({"device": "cpu", "min_patch_ha": 0}, gpu=False)
GROUND = GeoBox.from_bbox((500_000, 8_600_000, 510_000, 8_601_280), "EPSG:32735", resolution=10)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    contract = BandContract(BANDS, "reflectance", (0.0, 0.0), (1.0, 1.0), 10.0)
    net = UNet(2, 4).eval()
    with torch.no_grad():  # half of the ground is called mine, by chance
        mine_less_rest = torch.diff(net(torch.rand(1, 2, 128, 128)), dim=1)
        net.head.bias[1] -= mine_less_rest.median()
    save(Detector(net, 4, contract), path)
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes side by side, each sharing a quarter of its ground with the one before."""
    folder = tmp_path_factory.mktemp("scenes")
    pixels = np.random.default_rng(0).random((2, *GROUND.shape), dtype=np.float32)
    names = [f"scene_{n:02d}.tif" for n in range(12)]
    for n, name in enumerate(names):
        cols = slice(72 * n, 72 * n + 96)
        profile = CogProfile("float32", float("nan"), BANDS, {})
        write_cog(folder / name, pixels[:, :, cols], GROUND[:, cols], profile)
    (folder / "scenes.csv").write_text("image\n" + "\n".join(names) + "\n")
    return folder / "scenes.csv"


def pixels_of(path: Path) -> Any:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def task(scenes: Path, out: Path, number: int = 0) -> SceneTask:
    return many.scene_tasks(scenes, out, with_probability=True)[number]


def test_a_scene_that_was_done_is_kept_and_another_question_is_answered_anew(
    scenes: Path, model: Path, tmp_path: Path
) -> None:
    one, sha256 = task(scenes, tmp_path), sha256_of(model)
    assert predict_task(one, model, sha256, SETTINGS).state == "predicted"
    written = one.prediction.stat().st_mtime_ns
    assert predict_task(one, model, sha256, SETTINGS).state == "kept"
    assert one.prediction.stat().st_mtime_ns == written
    assert predict_task(one, model, sha256, SETTINGS.model_copy(update={"min_patch_ha": 1.0})).state == "predicted"
    assert one.probability is not None
    one.probability.unlink()
    assert predict_task(one, model, sha256, SETTINGS).state == "predicted"


def test_a_bad_scene_is_told_and_stops_no_other(scenes: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("not a picture")
    table = tmp_path / "two.csv"
    table.write_text("image\ntext.tif\nnowhere.tif\n")
    ended = [predict_task(t, model, sha256_of(model), SETTINGS) for t in many.scene_tasks(table, tmp_path / "o", False)]
    assert [o.state for o in ended] == ["failed", "failed"]
    assert "not a TIFF" in ended[0].reason
    assert "is not there, seen from this worker" in ended[1].reason


def test_another_model_file_on_a_worker_is_refused(scenes: Path, model: Path, tmp_path: Path) -> None:
    ended = predict_task(task(scenes, tmp_path), model, "0" * 64, SETTINGS)
    assert ended.state == "failed"
    assert "another file on this worker" in ended.reason


def test_the_summary_adds_up_and_names_what_failed(tmp_path: Path) -> None:
    ended = [
        Outcome("a", Path("a.tif"), Path("p_a.tif"), "predicted", seconds=1.0, hectares=Covered(10, 100, 10, 100)),
        Outcome("b", Path("b.tif"), Path("p_b.tif"), "kept", hectares=Covered(8, 100, 3, 60)),
        Outcome("=c", Path("c.tif"), Path("p_c.tif"), "failed", reason="It is empty."),
    ]
    content = many.write_summary(tmp_path, ended, 2.0)
    assert content == json.loads((tmp_path / "scenes.json").read_text())
    assert (content["mine_ha"], content["observed_ha"], content["sum_ha"]) == (13, 160, 18)
    assert (content["predicted"], content["kept"], content["failed"]) == (1, 1, 1)
    told = "\n".join(many.lines(content, tmp_path))
    assert "13.0 ha mine on 160.0 ha" in told
    assert "5.0 ha lie where scenes overlap" in told
    assert "failed  =c: It is empty." in told
    assert "'=c," in (tmp_path / "scenes.csv").read_text()


def test_a_list_without_images_or_over_its_own_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("picture\na.tif\n")
    with pytest.raises(BadInput, match="needs the columns image"):
        many.scene_tasks(tmp_path / "empty.csv", tmp_path, False)
    (tmp_path / "clash.csv").write_text("image\na.tif\nprediction_a.tif\n")
    with pytest.raises(SettingError, match="written over"):
        many.scene_tasks(tmp_path / "clash.csv", tmp_path, False)


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["a.tif", "--scenes", "s.csv"],
        ["a.tif", "--scheduler", "tcp://x:1"],
        ["--scenes", "s.csv", "--probability", "p"],
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags: list[str], model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *flags, "--model", str(model), "--out", str(tmp_path / "o")])
    assert ended.value.code == 2


@contextmanager
def started(*line: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_loses_no_scene(scenes: Path, model: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "scheduler.json", tmp_path / "out"
    with ExitStack() as held:
        scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        held.enter_context(started(*scheduler, "--scheduler-file", str(file)))
        waited(file.is_file)
        address = json.loads(file.read_text())["address"]
        worker = ["distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
        workers = [held.enter_context(started(*worker)) for _ in range(2)]
        command = ["predict", "--scenes", str(scenes), "--model", str(model), "--out", str(out), "--json"]
        command += ["--scheduler", address, "--device", "cpu", "--min-patch-ha", "0"]
        with subprocess.Popen(
            [sys.executable, "-m", "minedetect", *command], stdout=subprocess.PIPE, text=True
        ) as ours:
            waited(lambda: len(list(out.glob("prediction_*.tif"))) >= 3)
            os.kill(workers[0].pid, signal.SIGKILL)
            told, _ = ours.communicate(timeout=240)
        assert ours.returncode == 0
        content = json.loads(told)
        states = [row["state"] for row in content["scenes"]]
        assert set(states) <= {"predicted", "kept"}  # kept: written by the worker that died before it said so
        assert len(states) == 12
        assert sorted(p.name for p in out.glob("*.tif")) == [f"prediction_scene_{n:02d}.tif" for n in range(12)]
        again = subprocess.run(
            [sys.executable, "-m", "minedetect", *command], capture_output=True, text=True, check=True, timeout=240
        )
    kept = json.loads(again.stdout)
    assert kept["kept"] == 12
    assert kept["mine_ha"] == content["mine_ha"] < content["sum_ha"]
    detector = load(model)
    for image in sorted(scenes.parent.glob("scene_*.tif")):
        alone = tmp_path / "alone.tif"
        predict_image(image, detector, SETTINGS, Output(alone, None, {}), lambda _done, _total: None)
        assert np.array_equal(pixels_of(alone), pixels_of(out / f"prediction_{image.stem}.tif"))


@pytest.mark.slow
def test_this_machine_alone_serves_as_a_cluster(
    scenes: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "list.csv"
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    images = sorted(scenes.parent.glob("scene_*.tif"))[:3]
    broken.write_text("image\n" + "\n".join(str(p) for p in [*images, tmp_path / "broken.tif"]) + "\n")
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--scenes", str(broken), "--model", str(model), "--out", str(tmp_path / "out"), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert ended.value.code == 2
    assert (content["predicted"], content["failed"]) == (3, 1)
    assert content["scenes"][3]["reason"]
    assert content["mine_ha"] == pytest.approx(sum(r["counted_mine_ha"] for r in content["scenes"][:3]), abs=0.02)


def test_no_scheduler_is_told_in_words(
    scenes: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minedetect.cluster.JOIN_S", 1)
    out = str(tmp_path / "out")
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "predict",
                "--scenes",
                str(scenes),
                "--model",
                str(model),
                "--out",
                out,
                "--scheduler",
                "tcp://127.0.0.1:9",
            ]
        )
    assert ended.value.code == 2
    assert "offers no workers" in capsys.readouterr().err


def waited(until: Any, most_s: float = 120) -> None:
    end = time.monotonic() + most_s
    while not until():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
