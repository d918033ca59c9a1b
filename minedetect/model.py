"""The U-Net, and the file that keeps it together with bands, scaling, threshold and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minedetect.bands import BandContract
from minedetect.calibrate import Calibration
from minedetect.config import ModelSettings
from minedetect.errors import BadInput, ModelError
from minedetect.files import replacing, sha256_once
from minedetect.stored import UNREADABLE, digest_of, read_content

CLASSES = 2
STAGES = 5
FACTOR_PX: int = 2 ** (STAGES - 1)
"""Input sides must be multiples of this: four halvings."""
FORMAT = 1
MOST_NETWORKS = 10
LEAST_PROBABILITY = 1e-9
"""Keeps the logarithm finite; far under what is told apart later."""


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
        coarsen: pixels along a side that the first stage takes as one (Shi et al. 2016, turned round): their
            values become channels, so that nothing is lost, and the logits of each come apart again at the end.
    """

    def __init__(self, bands: int, width: int, coarsen: int = 1) -> None:
        super().__init__()
        self.coarsen = coarsen
        channels = [width * 2**stage for stage in range(STAGES)]
        self.down = nn.ModuleList(double_conv(a, b) for a, b in pairwise([bands * coarsen**2, *channels]))
        pairs = list(pairwise(channels))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in pairs)
        self.join = nn.ModuleList(double_conv(2 * shallow, shallow) for shallow, _ in pairs)
        self.head = nn.Conv2d(width, CLASSES * coarsen**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits.

        Args:
            x: float (N, C, H, W), scaled; H and W multiples of 16.

        Returns:
            (N, 2, H, W): background and mine.
        """
        height, wide = x.shape[-2:]
        if self.coarsen > 1:
            factor = self.coarsen * FACTOR_PX
            x = F.pad(x, (0, -wide % factor, 0, -height % factor), mode="replicate")
            x = F.pixel_unshuffle(x, self.coarsen)  # (N, C * coarsen^2, H / coarsen, W / coarsen)
        skips: list[Tensor] = []
        for stage, block in enumerate(self.down):
            x = block(x if stage == 0 else F.max_pool2d(x, 2))  # (N, width * 2^stage, H / 2^stage, W / 2^stage)
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([skips.pop(), up(x)], dim=1))  # back up one stage; nothing outlives its use
        logits: Tensor = self.head(x)  # (N, 2 * coarsen^2, H / coarsen, W / coarsen)
        return F.pixel_shuffle(logits, self.coarsen)[..., :height, :wide] if self.coarsen > 1 else logits


class Ensemble(nn.Module):
    """Networks of one shape as one: the mean of their probabilities (Lakshminarayanan et al. 2017, section 2.4).

    Args:
        networks: at least one.
    """

    def __init__(self, networks: Iterable[UNet]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    @property
    def coarsen(self) -> int:
        return parts_of(self)[0].coarsen

    def forward(self, x: Tensor) -> Tensor:
        """Log of the mean probability, which softmax turns back into it; shapes as of a single network."""
        total = sum(net(x).float().softmax(dim=1) for net in self.networks)
        return torch.log(total / len(self.networks) + LEAST_PROBABILITY)


Net = UNet | Ensemble
Module = TypeVar("Module", bound=nn.Module)


def parts_of(net: Net) -> list[UNet]:
    """The single networks of a net."""
    return [net] if isinstance(net, UNet) else [part for part in net.networks if isinstance(part, UNet)]


@dataclass(frozen=True)
class Detector:
    """A trained network with all that is needed to use it rightly.

    Args:
        net: the U-Net, or several.
        width: its width.
        contract: bands, unit, scaling, pixel size.
        calibration: from network output to probability, and the threshold.
        provenance: run id, input hashes, settings, scores, versions; plain JSON values.
    """

    net: Net
    width: int
    contract: BandContract
    calibration: Calibration = field(default_factory=Calibration)
    provenance: dict[str, Any] = field(default_factory=dict)

    def calibrated(self, calibration: Calibration, provenance: dict[str, Any]) -> Detector:
        return replace(self, calibration=calibration, provenance={**self.provenance, **provenance})


def caveats(detector: Detector) -> tuple[str, ...]:
    """What to say wherever a model is used: that its training was stopped before its end."""
    if detector.provenance.get("finished", True):
        return ()
    epoch, iou = detector.provenance.get("best_epoch"), detector.provenance.get("validation", {}).get("iou")
    return (
        f"The model is of a training that did not end: its best epoch so far is {epoch}, with IoU {iou} on validation "
        "tiles, and it was not assessed. Go on with that training before you publish figures.",
    )


def taught_by(detector: Detector, images: Iterable[Path]) -> tuple[str, ...]:
    """What to say where images are judged by a model that learned from these very files."""
    taught = taught_sha256(detector)
    return tuple(
        f"{image.name} helped to make this model, in training or validation: what the model finds on it, and any score "
        "there, is no independent test."
        for image in images
        if sha256_once(image) in taught
    )


def taught_sha256(detector: Detector) -> set[str]:
    """SHA-256 of the images that a model was trained or validated on; empty where nobody wrote them down."""
    scenes = detector.provenance.get("scenes", {})
    return {str(digest) for digest in scenes.values()} if isinstance(scenes, dict) else set()


def together(detectors: Sequence[Detector]) -> Detector:
    """One detector that averages those of several networks; the only one of one as it is."""
    first = detectors[0]
    return replace(first, net=Ensemble(part for d in detectors for part in parts_of(d.net))) if detectors[1:] else first


def on_device(net: Module, device: torch.device) -> Module:
    """The network on its device, its weights channels-last, as convolutions there like them best."""
    net = net.to(device)
    for parameter in net.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def start_net(settings: ModelSettings, contract: BandContract) -> UNet:
    """The network training starts from: random, or with the weights of a local model file.

    Raises:
        ModelError: that file's width or bands are others.
    """
    if not settings.init:
        return UNet(len(contract.names), settings.width, settings.coarsen)
    seed = load(Path(settings.init))
    if not isinstance(seed.net, UNet):
        raise ModelError(
            f"{settings.init} holds {len(parts_of(seed.net))} networks; training starts from one. "
            "Give a model that was trained with --folds 1."
        )
    theirs, ours = (seed.width, seed.net.coarsen), (settings.width, settings.coarsen)
    if theirs != ours or seed.contract.names != contract.names:
        told = (
            f"width {width}, coarsening {coarsen} and bands {', '.join(names)}"
            for (width, coarsen), names in ((theirs, seed.contract.names), (ours, contract.names))
        )
        raise ModelError(f"{settings.init} has {next(told)}; this training has {next(told)}. They must agree.")
    return seed.net


def copied(net: nn.Module) -> dict[str, Tensor]:
    """A network's weights as they are now."""
    return {k: v.detach().clone() for k, v in net.state_dict().items()}


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
        "coarsen": detector.net.coarsen,
        "networks": len(parts_of(detector.net)),
        "contract": detector.contract.to_json(),
        "calibration": detector.calibration.to_json(),
        "provenance": detector.provenance,
        "weights_sha256": digest_of(weights),
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
        content = read_content(path)
        about, weights = json.loads(content["about"]), content["weights"]
        detector = _build(about, weights)
    except UNREADABLE as error:
        raise ModelError(f"{path} is not a whole minedetect model. Copy it again or train anew.") from error
    if about["weights_sha256"] != digest_of(weights):
        raise ModelError(f"{path} is damaged: its weights do not match their checksum. Copy it again or train anew.")
    return detector


def _build(about: dict[str, Any], weights: dict[str, Tensor]) -> Detector:
    """A detector from a file's content; ValueError where anything does not fit."""
    contract = BandContract.from_json(about["contract"])
    width, coarsen, networks = int(about["width"]), int(about.get("coarsen", 1)), int(about.get("networks", 1))
    if (
        about["format"] != FORMAT
        or not 4 <= width <= 128
        or not 1 <= coarsen <= 4
        or not 1 <= networks <= MOST_NETWORKS
        or not 1 <= len(contract.names) <= 64
    ):
        raise ValueError("unknown format or size")

    def empty() -> Net:
        nets = [UNet(len(contract.names), width, coarsen) for _ in range(networks)]
        return Ensemble(nets) if nets[1:] else nets[0]

    with torch.device("meta"):
        expected = empty().state_dict()
    if weights.keys() != expected.keys() or any(weights[k].shape != expected[k].shape for k in expected):
        raise ValueError("weights do not fit the network")
    if any(not w.is_contiguous() or not torch.isfinite(w).all() for w in weights.values()):
        raise ValueError("weights are not finite")
    net = empty()
    net.load_state_dict(weights)
    net.eval()
    return Detector(net, width, contract, Calibration.from_json(about["calibration"]), about["provenance"])
