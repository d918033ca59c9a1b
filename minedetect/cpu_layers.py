"""Layers of a U-Net made quick for prediction on a CPU: memory used again, a band of rows at a time."""

from __future__ import annotations

from itertools import accumulate
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BAND_VALUES, LEAST_ROWS = 2**20, 8
"""Values of a band of results, as many as stay in the processor's cache; and rows, few of them seen twice."""
ROOM_FOR_WEIGHTS = 4
"""A band has at least so many times the values of the kernel, which the library sorts anew in every call."""
RISE_PIXELS = 2048
"""Pixels whose sides are doubled at once."""


class Scratch:
    """Memory that layers take turns to use: fresh from the system it costs a third of their time.

    Args:
        dtype: of its values.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._values = torch.empty(0, dtype=dtype)

    def take(self, *shapes: tuple[int, ...]) -> list[Tensor]:
        """Tensors of these shapes, of whatever content; what was taken before is overwritten."""
        sizes = [-(-prod(shape) // 32) * 32 for shape in shapes]  # each begins where vector instructions like it
        if sum(sizes) > self._values.numel():
            self.free()  # the old goes before the new comes
            self._values = self._values.new_empty(sum(sizes))
        begins = accumulate(sizes, initial=0)
        return [self._values[b : b + prod(shape)].view(shape) for b, shape in zip(begins, shapes, strict=False)]

    def free(self) -> None:
        """Give the memory back to the system once nobody holds a tensor of it."""
        self._values = self._values.new_empty(0)


class Banded(nn.Module):
    """A padded 3x3 convolution and ReLU, some rows at a time: the same, in any precision.

    Args:
        conv: 3x3, stride 1, padding 1; stays as it is.
        result: what is returned lies there, until somebody else takes it.
    """

    def __init__(self, conv: nn.Conv2d, result: Scratch) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.result = result

    def forward(self, *parts: Tensor) -> Tensor:
        """Convolve (N, C_i, H, W), channels-last, taken as one of all their channels: (N, K, H, W), channels-last."""
        (count, _, height, width), given = parts[0].shape, len(self.weight)
        (made,) = self.result.take((count, height, width, given))
        step = max(LEAST_ROWS, max(BAND_VALUES, ROOM_FOR_WEIGHTS * self.weight.numel()) // (width * given))
        for row in range(0, height, step):
            end = min(row + step, height)
            first, last = max(0, row - 1), min(end + 1, height)
            seen = [part[:, :, first:last] for part in parts]
            x = torch.cat(seen, dim=1) if seen[1:] else seen[0]
            x = F.pad(x, (0, 0, first - row + 1, end + 1 - last)) if (first, last) != (row - 1, end + 1) else x
            found = F.conv2d(x, self.weight, self.bias, padding=(0, 1))
            torch.clamp_min(found.permute(0, 2, 3, 1), 0, out=made[:, row:end])
        return made.permute(0, 3, 1, 2)


class Rise(nn.Module):
    """A transposed 2x2 convolution of stride 2: one matrix product, its four outputs a pixel put in place.

    Args:
        conv: kernel and stride 2, with a bias; stays as it is.
        scratch: shared by layers that do not run at once.
        result: what is returned lies there, until somebody else takes it.
    """

    def __init__(self, conv: nn.ConvTranspose2d, scratch: Scratch, result: Scratch) -> None:
        super().__init__()
        given = conv.out_channels
        self.products = nn.Buffer(conv.weight.detach().permute(0, 2, 3, 1).flatten(1).contiguous())  # (C, 4 K)
        self.bias = nn.Buffer((conv.bias.detach() if conv.bias is not None else torch.zeros(given)).repeat(4))
        self.scratch, self.result = scratch, result

    def forward(self, x: Tensor) -> Tensor:
        """Double the sides of (N, C, H, W), channels-last: (N, K, 2 H, 2 W), channels-last."""
        count, taken, height, width = x.shape
        given = len(self.bias) // 4
        (made,) = self.result.take((count, height, 2, width, 2, given))
        step = max(1, RISE_PIXELS // width)
        for number in range(count):
            image = x[number].permute(1, 2, 0)
            for row in range(0, height, step):
                band = image[row : row + step].reshape(-1, taken)
                (four,) = self.scratch.take((len(band), 4 * given))
                torch.addmm(self.bias, band, self.products, out=four)
                made[number, row : row + step] = four.view(-1, width, 2, 2, given).transpose(1, 2)
        return made.view(count, 2 * height, 2 * width, given).permute(0, 3, 1, 2)


def halved(x: Tensor) -> Tensor:
    """The largest of each 2 x 2 values, some rows at a time: (N, C, H, W), channels-last, of even sides."""
    rows = x.permute(0, 2, 3, 1)
    count, height, width, channels = rows.shape
    found = rows.new_empty((count, height // 2, width // 2, channels))
    step = 2 * max(1, BAND_VALUES // (2 * count * width * channels))
    for row in range(0, height, step):
        band = rows[:, row : row + step]
        larger = torch.maximum(band[:, 0::2], band[:, 1::2])
        torch.maximum(larger[:, :, 0::2], larger[:, :, 1::2], out=found[:, row // 2 : row // 2 + larger.shape[1]])
    return found.permute(0, 3, 1, 2)
