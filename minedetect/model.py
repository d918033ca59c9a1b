"""The U-Net, and the file that keeps it together with bands, scaling, threshold and provenance."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minedetect.bands import BandContract
from minedetect.calibrate import Calibration
from minedetect.config import DeviceSettings
from minedetect.errors import BadInput, DeviceError, ModelError
from minedetect.runs import replacing

CLASSES = 2
STAGES = 5
FACTOR_PX = 2 ** (STAGES - 1)
"""Input sides must be multiples of this: four halvings."""
FORMAT = 1


def double_conv(c_in: int, c_out: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch norm and ReLU; batch norm makes a bias needless."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
        nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with batch norm and padded convolutions.

    Args:
        bands: C, input channels.
        width: channels of the first stage; each further stage doubles them.
    """

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        channels = [width * 2**stage for stage in range(STAGES)]
        self.down = nn.ModuleList(double_conv(a, b) for a, b in pairwise([bands, *channels]))
        pairs = list(pairwise(channels))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in pairs)
        self.join = nn.ModuleList(double_conv(2 * shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(width, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits.

        Args:
            x: float (N, C, H, W), scaled; H and W multiples of 16.

        Returns:
            (N, 2, H, W): background and mine.
        """
        skips: list[Tensor] = []
        for stage, block in enumerate(self.down):
            x = block(x if stage == 0 else F.max_pool2d(x, 2))  # (N, width * 2^stage, H / 2^stage, W / 2^stage)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], dim=1))  # back up one stage
        logits: Tensor = self.head(x)  # (N, 2, H, W)
        return logits


@dataclass(frozen=True)
class Device:
    """Where and in which precision to compute.

    Args:
        kind: "cpu" or "cuda".
        bf16: run convolutions in bfloat16.
        name: for people.
    """

    kind: str
    bf16: bool
    name: str

    @property
    def torch(self) -> torch.device:
        return torch.device(self.kind)

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "float32"


def gpu_present() -> bool:
    """Whether CUDA has a device."""
    return bool(torch.cuda.is_available())


def _cpu_has_bf16() -> bool:
    """Whether the processor computes bf16 itself; where it is emulated it is slower than float32."""
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(native and torch.backends.mkldnn.enabled)


def pick_device(settings: DeviceSettings) -> Device:
    """The device and precision that the settings and the machine allow.

    Raises:
        DeviceError: a GPU was asked for and there is none.
    """
    if settings.device == "cuda" and not gpu_present():
        raise DeviceError("There is no CUDA device here. Use --device cpu, or see `minedetect doctor`.")
    kind = "cuda" if settings.device != "cpu" and gpu_present() else "cpu"
    if kind == "cuda":
        capable = torch.cuda.is_bf16_supported()
        name = torch.cuda.get_device_name()
    else:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        capable = _cpu_has_bf16()
        name = f"CPU, {torch.get_num_threads()} threads"
    if settings.precision == "bf16" and not capable:
        raise DeviceError(f"{name} has no bf16. Use --precision float32 or auto.")
    return Device(kind, capable and settings.precision != "float32", name)


@dataclass(frozen=True)
class Detector:
    """A trained network with all that is needed to use it rightly.

    Args:
        net: the U-Net.
        width: its width.
        contract: bands, unit, scaling, pixel size.
        calibration: from network output to probability, and the threshold.
        provenance: run id, input hashes, settings, scores, versions; plain JSON values.
    """

    net: UNet
    width: int
    contract: BandContract
    calibration: Calibration = field(default_factory=Calibration)
    provenance: dict[str, Any] = field(default_factory=dict)

    def calibrated(self, calibration: Calibration, provenance: dict[str, Any]) -> Detector:
        return replace(self, calibration=calibration, provenance={**self.provenance, **provenance})


def on_device(net: UNet, device: Device) -> UNet:
    """The network on its device, its weights channels-last, as convolutions there like them best."""
    net = net.to(device.torch)
    for parameter in net.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def parameter_count(net: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in net.parameters())


def size_mb(net: nn.Module) -> float:
    """Size of the weights in megabytes (10^6 bytes)."""
    return sum(int(t.numel() * t.element_size()) for t in net.state_dict().values()) / 1e6


def save(detector: Detector, path: Path) -> None:
    """Write a model file: tensors and one JSON text, nothing that could run as code.

    Raises:
        BadInput: the disk is full or the folder cannot be written.
    """
    weights = {k: v.detach().cpu().contiguous() for k, v in detector.net.state_dict().items()}
    about = {
        "format": FORMAT,
        "width": detector.width,
        "contract": detector.contract.to_json(),
        "calibration": detector.calibration.to_json(),
        "provenance": detector.provenance,
        "weights_sha256": _digest(weights),
    }
    with replacing(path) as temporary:
        torch.save({"about": json.dumps(about, allow_nan=False), "weights": weights}, temporary)


def load(path: Path) -> Detector:
    """Read a model file, from a path or a run folder's model.

    Raises:
        BadInput: there is no such file, or it is empty.
        ModelError: it is damaged, tampered with, or not one of ours.
    """
    if not path.is_file():
        raise BadInput(
            "NOT_FOUND", f"{path} does not exist. Give a .pt file or a run folder that holds a trained model."
        )
    if path.stat().st_size == 0:
        raise BadInput("EMPTY", f"{path} is empty. Copy it again.")
    try:
        _require_stored(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        about, weights = json.loads(content["about"]), content["weights"]
        detector = _build(about, weights)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        IndexError,
        MemoryError,
        OverflowError,
    ) as error:
        raise ModelError(f"{path} is not a whole minedetect model. Copy it again or train anew.") from error
    if about["weights_sha256"] != _digest(weights):
        raise ModelError(f"{path} is damaged: its weights do not match their checksum. Copy it again or train anew.")
    return detector


def _require_stored(path: Path) -> None:
    """Our own files are zip archives whose members are not packed: nothing in them can unpack to more than it is."""
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("packed members")


def _build(about: dict[str, Any], weights: dict[str, Tensor]) -> Detector:
    """A detector from a file's content; ValueError where anything does not fit."""
    contract = BandContract.from_json(about["contract"])
    width = int(about["width"])
    if about["format"] != FORMAT or not 4 <= width <= 128 or not 1 <= len(contract.names) <= 64:
        raise ValueError("unknown format or size")
    with torch.device("meta"):
        expected = UNet(len(contract.names), width).state_dict()
    if weights.keys() != expected.keys() or any(weights[k].shape != expected[k].shape for k in expected):
        raise ValueError("weights do not fit the network")
    if any(not w.is_contiguous() or not torch.isfinite(w).all() for w in weights.values()):
        raise ValueError("weights are not finite")
    net = UNet(len(contract.names), width)
    net.load_state_dict(weights)
    net.eval()
    return Detector(net, width, contract, Calibration.from_json(about["calibration"]), about["provenance"])


def _digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 over names, shapes and values, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
