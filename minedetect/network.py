"""A trained network made quick for prediction: batch norm folded away, in the device's precision."""

from __future__ import annotations

import copy
from collections import defaultdict
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from minedetect.augment import turn, turn_back
from minedetect.cpu_layers import Banded, Rise, Scratch, halved
from minedetect.devices import Device, cpu_has_amx
from minedetect.grid import Window, whole
from minedetect.model import FACTOR_PX, Detector, Net, UNet, on_device, parts_of
from minedetect.raster import MINE, Float
from minedetect.windows import Network
from minedetect.winograd import LEAST_CHANNELS, Winograd, WinogradAcross


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


class QuickUNet(nn.Module):
    """A U-Net for prediction alone: the way up is computed only where its logits are asked for.

    The margin that the deepest stage needs is far wider than what the shallow ones of the way up do, and these hold
    most of the work.

    Args:
        part: folded, on its device, in float32.
        rooms: memory for results by their place in the network; networks that do not run at once may share it.
        dtype: what it will run in.
    """

    def __init__(self, part: UNet, rooms: defaultdict[str, Scratch], dtype: torch.dtype) -> None:
        super().__init__()
        self.coarsen, self.head = part.coarsen, part.head

        def double(block: nn.Module, room: str) -> _Double:
            first, second = (layer for layer in block.modules() if isinstance(layer, nn.Conv2d))
            return _Double(_quick(first, rooms, "between", dtype), _quick(second, rooms, room, dtype))

        self.down = nn.ModuleList(double(block, f"down {stage}") for stage, block in enumerate(part.down))
        self.up = nn.ModuleList(_quick_rise(up, rooms) for up in part.up)
        self.join = nn.ModuleList(double(block, "joined") for block in part.join)
        self.reach = _reach(part.join[0])
        self.to(dtype)

    def forward(self, x: Tensor, core: Window) -> Tensor:
        """Logits (N, 2, h, w) of the core, as of `UNet.forward`.

        Args:
            x: (N, C, H, W), sides multiples of the network's factor.
            core: what is asked for.
        """
        x = F.pixel_unshuffle(x, self.coarsen) if self.coarsen > 1 else x
        x = x.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for stage, block in enumerate(self.down):
            x = block(x if stage == 0 else _halved(x))
            skips.append(x)
        held, asked = whole((x.shape[2], x.shape[3])), [self._around(_shrunk(core, self.coarsen), skips[0])]
        skips.pop()
        for skip in skips[1:]:
            asked.append(self._around(_shrunk(asked[-1], 2), skip))
        for up, join in zip(self.up, self.join, strict=True):
            here, skip = asked.pop(), skips.pop()
            under = _shrunk(here, 2)
            risen = up(_part(x, under, held))
            x = join(skip[(..., *here.slices)], _part(risen, here, _times(under, 2)))
            held = here
        logits = F.linear(x.permute(0, 2, 3, 1), self.head.weight.flatten(1), self.head.bias).permute(0, 3, 1, 2)
        logits = F.pixel_shuffle(logits, self.coarsen) if self.coarsen > 1 else logits
        return _part(logits, core, _times(held, self.coarsen))

    def _around(self, window: Window, stage: Tensor) -> Window:
        """What the two convolutions of a stage see of it for a window of their results."""
        r = self.reach
        seen = Window(window.row - r, window.col - r, window.height + 2 * r, window.width + 2 * r)
        return seen.intersection(whole((stage.shape[2], stage.shape[3]))) or seen


class _Double(nn.Sequential):
    """Two convolutions with ReLU; the first takes parts as one tensor of all their channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        x: Tensor = self[1](self[0](*parts))
        return x


class _Plain(nn.Module):
    """Convolution and ReLU of parts taken as one tensor of all their channels."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, *parts: Tensor) -> Tensor:
        return F.relu(self.conv(torch.cat(parts, dim=1) if parts[1:] else parts[0]), inplace=True)


def _quick(conv: nn.Conv2d, rooms: defaultdict[str, Scratch], room: str, dtype: torch.dtype) -> nn.Module:
    if conv.weight.device.type != "cpu":
        return _Plain(conv)
    if min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS:
        if dtype == torch.float32:
            return Winograd(conv, rooms["sums"], rooms[room])
        if not cpu_has_amx():  # its products are so quick that the sums would take longer
            return WinogradAcross(conv, rooms["sums"], rooms[room])
    return Banded(conv, rooms[room])


def _quick_rise(conv: nn.Module, rooms: defaultdict[str, Scratch]) -> nn.Module:
    if isinstance(conv, nn.ConvTranspose2d) and conv.weight.device.type == "cpu":
        return Rise(conv, rooms["sums"], rooms["risen"])
    return conv


def _halved(x: Tensor) -> Tensor:
    return halved(x) if x.device.type == "cpu" else F.max_pool2d(x, 2)


def _part(x: Tensor, window: Window, held: Window) -> Tensor:
    """A window of a tensor that holds another one."""
    return x[(..., *window.shifted(-held.row, -held.col).slices)]


def _shrunk(window: Window, factor: int) -> Window:
    """The cells of some pixels a side that hold a window."""
    row, col = window.row // factor, window.col // factor
    return Window(row, col, -(-window.row_end // factor) - row, -(-window.col_end // factor) - col)


def _times(window: Window, factor: int) -> Window:
    return Window(*(factor * value for value in (window.row, window.col, window.height, window.width)))


def network_of(detector: Detector, device: Device, eightfold: bool) -> Network:
    """The detector as a function of numpy arrays: raw probability of mine, not yet calibrated.

    Args:
        detector: its own network stays as it is.
        device: where, and in which precision.
        eightfold: average over the eight flips and turns.
    """
    dtype = torch.bfloat16 if device.bf16 else torch.float32
    rooms = defaultdict[str, Scratch](partial(Scratch, dtype))
    nets = [QuickUNet(part, rooms, dtype) for part in parts_of(on_device(folded(detector.net), device.torch))]

    def mine(x: Tensor, core: Window) -> Tensor:
        x = x.to(dtype)
        return torch.stack([net(x, core).float().softmax(dim=1)[:, MINE] for net in nets]).mean(dim=0)

    def eight(x: Tensor, core: Window) -> Tensor:
        total = torch.zeros(x.shape[2:], device=device.torch)
        for number in range(8):
            turned = turn(x, number)
            total += turn_back(mine(turned, whole((turned.shape[2], turned.shape[3]))), number)[0]
        return total[None, core.rows, core.cols] / 8

    def probability(pixels: Float, core: Window) -> Float:
        x = torch.from_numpy(pixels).to(device.torch)[None]
        try:
            with torch.inference_mode():
                found: Float = (eight if eightfold else mine)(x, core)[0].cpu().numpy()
        except (MemoryError, RuntimeError):
            for room in rooms.values():
                room.free()  # a smaller window, tried next, begins with none of it
            raise
        return found

    return Network(probability, margin_of(detector.net), factor_of(detector.net))
