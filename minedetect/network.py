"""A trained network made quick for prediction: batch norm folded away, in the device's precision."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from minedetect.augment import turn, turn_back
from minedetect.devices import Device
from minedetect.model import FACTOR_PX, Detector, Net, on_device, parts_of
from minedetect.raster import MINE, Float
from minedetect.windows import Network


def folded(net: Net) -> Net:
    """A new network without batch norm that computes the same: each convolution takes on the scale that followed it.

    Scale and shift of batch norm in evaluation are constants (Jacob et al. 2018, section 3.2).

    Args:
        net: stays as it is.
    """
    new = copy.deepcopy(net).eval()
    for part in parts_of(new):
        for blocks in (part.down, part.join):
            for number, block in enumerate(blocks):
                blocks[number] = _without_norm(block)
    return new


def _without_norm(block: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in block.children():
        before = layers[-1] if layers else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(before, layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def factor_of(net: Net) -> int:
    """Cells of this side, aligned on the scene, are one pixel of the network's deepest stage."""
    return FACTOR_PX * net.coarsen


def margin_of(net: Net) -> int:
    """How far beyond such a cell a pixel can lie and still change something in it, rounded up to whole cells.

    Followed back from the logits through every layer (Araujo et al. 2019, section 2); the way through the deepest
    stage is the longest.
    """
    part, low, high = parts_of(net)[0], 0, FACTOR_PX - 1
    for block in reversed(part.join):
        low, high = (low - _reach(block)) // 2, (high + _reach(block)) // 2
    for stage, block in reversed(list(enumerate(part.down))):
        low, high = low - _reach(block), high + _reach(block)
        if stage:
            low, high = 2 * low, 2 * high + 1
    farthest = max(-low, high - (FACTOR_PX - 1))
    return -(-farthest // FACTOR_PX) * factor_of(net)


def _reach(block: nn.Module) -> int:
    return sum(int(layer.kernel_size[0]) // 2 for layer in block.modules() if isinstance(layer, nn.Conv2d))


def network_of(detector: Detector, device: Device, eightfold: bool) -> Network:
    """The detector as a function of numpy arrays: raw probability of mine, not yet calibrated.

    Args:
        detector: its own network stays as it is.
        device: where, and in which precision.
        eightfold: average over the eight flips and turns.
    """
    dtype = torch.bfloat16 if device.bf16 else torch.float32
    net = on_device(folded(detector.net).to(dtype), device.torch)
    turns = range(8) if eightfold else range(1)

    def mine(x: Tensor) -> Tensor:
        logits: Tensor = net(x.to(dtype).contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(dim=1)[:, MINE]

    def probability(pixels: Float) -> Float:
        with torch.inference_mode():
            x = torch.from_numpy(pixels).to(device.torch)[None]
            total = turn_back(mine(turn(x, 0)), 0)
            for number in turns[1:]:
                total = total + turn_back(mine(turn(x, number)), number)
            result: Float = (total / len(turns))[0].cpu().numpy()
            return result

    return Network(probability, margin_of(detector.net), factor_of(detector.net))
