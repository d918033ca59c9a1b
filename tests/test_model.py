import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from minedetect.bands import BandContract
from minedetect.calibrate import Calibration
from minedetect.config import DeviceSettings
from minedetect.devices import gpu_present, peak_rss_mb, pick_device
from minedetect.errors import BadInput, DeviceError, ModelError
from minedetect.model import Detector, UNet, load, parameter_count, save, size_mb

CONTRACT = BandContract(("B2", "B3", "B4"), "reflectance", (0.01, 0.02, 0.03), (0.3, 0.31, 0.32), 10.0)


def small_detector(seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return Detector(UNet(3, 4), 4, CONTRACT, Calibration(1.2, -0.3, 0.4, fitted=True), {"run_id": "r"})


def test_the_reference_network_has_31_04_million_parameters() -> None:
    with torch.device("meta"):
        net = UNet(5, 64)
    assert round(parameter_count(net) / 1e6, 2) == 31.04
    assert 100 < size_mb(net) < 150


def test_shapes_stage_by_stage() -> None:
    net = UNet(5, 8).eval()
    seen: list[tuple[int, ...]] = []
    for block in [*net.down, *net.up, *net.join]:
        block.register_forward_hook(lambda _module, _inputs, out: seen.append(tuple(out.shape)))
    logits = net(torch.zeros(2, 5, 64, 96))
    assert logits.shape == (2, 2, 64, 96)
    assert seen[:5] == [(2, 8, 64, 96), (2, 16, 32, 48), (2, 32, 16, 24), (2, 64, 8, 12), (2, 128, 4, 6)]
    assert seen[5::2] == [(2, 64, 8, 12), (2, 32, 16, 24), (2, 16, 32, 48), (2, 8, 64, 96)]  # each upsampling
    assert seen[6::2] == seen[5::2]  # each join keeps its stage's shape


@pytest.mark.parametrize("bands", [1, 3, 12])
def test_any_number_of_bands(bands: int) -> None:
    assert UNet(bands, 4).eval()(torch.zeros(1, bands, 16, 16)).shape == (1, 2, 16, 16)


def test_a_saved_model_comes_back_whole(tmp_path: Path) -> None:
    detector = small_detector()
    save(detector, tmp_path / "m.pt")
    again = load(tmp_path / "m.pt")
    assert (again.width, again.contract, again.calibration, again.provenance) == (
        detector.width,
        detector.contract,
        detector.calibration,
        detector.provenance,
    )
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(again.net.eval()(x), detector.net.eval()(x))


def test_one_flipped_weight_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    detector = small_detector()
    save(detector, path)
    needle = detector.net.head.weight.detach().numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(needle)] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged|whole"):
        load(path)


@pytest.mark.parametrize("change", ["nan", "shape", "missing", "extra", "width", "format"])
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "m.pt"
    save(small_detector(), path)
    content = torch.load(path, weights_only=True)
    about, weights = json.loads(content["about"]), content["weights"]
    if change == "nan":
        weights["head.bias"] = torch.full((2,), torch.nan)
    elif change == "shape":
        weights["head.bias"] = torch.zeros(3)
    elif change == "missing":
        del weights["head.bias"]
    elif change == "extra":
        weights["more"] = torch.zeros(1)
    else:
        about[change] = 999
    torch.save({"about": json.dumps(about), "weights": weights}, path)
    with pytest.raises(ModelError):
        load(path)


class Payload:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.path,))  # type: ignore[return-value]


def test_a_model_file_never_runs_code(tmp_path: Path) -> None:
    torch.save({"about": Payload(tmp_path / "ran"), "weights": {}}, tmp_path / "m.pt")
    with pytest.raises(ModelError):
        load(tmp_path / "m.pt")
    assert not (tmp_path / "ran").exists()


def test_missing_empty_and_cut_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        load(tmp_path / "none.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(BadInput, match="empty"):
        load(tmp_path / "empty.pt")
    save(small_detector(), tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError):
        load(tmp_path / "m.pt")


def test_a_gpu_that_is_not_there_is_refused_in_words() -> None:
    if gpu_present():
        assert pick_device(DeviceSettings(device="cuda")).kind == "cuda"
    else:
        with pytest.raises(DeviceError, match="--device cpu"):
            pick_device(DeviceSettings(device="cuda"))


def test_float32_is_float32() -> None:
    assert pick_device(DeviceSettings(device="cpu", precision="float32")).precision == "float32"


@pytest.mark.parametrize(("coarsen", "side"), [(2, 48), (2, 64), (4, 80), (3, 16)])
def test_a_coarse_network_answers_for_every_pixel(coarsen: int, side: int) -> None:
    net = UNet(3, 4, coarsen).eval()
    assert net(torch.rand(2, 3, side, side + 16)).shape == (2, 2, side, side + 16)


def test_a_coarse_network_keeps_what_lies_where(tmp_path: Path) -> None:
    """What changes in one corner changes nothing beyond the field of view, and a file brings the network back."""
    torch.manual_seed(0)
    net = UNet(3, 4, 2).eval()
    dark = torch.zeros(1, 3, 1024, 64)
    bright = dark.clone()
    bright[..., :2, :2] = 1
    differs = (net(bright) - net(dark)).abs().amax(dim=(0, 1, 3)).flatten() > 0
    assert differs[:2].all()
    assert not differs[512:].any()
    save(Detector(net, 4, CONTRACT), tmp_path / "m.pt")
    again = load(tmp_path / "m.pt").net
    assert again.coarsen == 2
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(again(x), net(x))


def test_peak_memory_is_the_process_own_not_that_of_who_started_it() -> None:
    before_mb, large = peak_rss_mb(), np.ones(75_000_000)  # 600 MB
    assert peak_rss_mb() >= before_mb
    assert peak_rss_mb() > large.nbytes / 1e6
    asks = "from minedetect.devices import peak_rss_mb; print(peak_rss_mb())"
    told = subprocess.run([sys.executable, "-c", asks], capture_output=True, check=True).stdout
    assert 50 < float(told) < large.nbytes / 1e6


def test_without_a_status_file_the_system_is_asked_for_peak_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = peak_rss_mb()
    monkeypatch.setattr("minedetect.devices.PROCESS_STATUS", tmp_path / "missing")
    assert peak_rss_mb() > 0.9 * told
