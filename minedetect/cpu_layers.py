"""Layers of a U-Net made quick for prediction on a CPU: memory used again, in float32 fewer products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE_PX = 4
"""Side of the outputs made at once, from (4 + 2) x (4 + 2) inputs: 36 products for 16 outputs instead of 144."""
LEAST_CHANNELS = 64
"""With fewer channels on either side the sums before and after the products cost more than those save."""
TILES = 512
"""Tiles made at once: few enough for the processor's cache, many enough for its matrix product."""

BAND_VALUES, LEAST_ROWS = 2**20, 8
"""Values of a band of results, as many as stay in the processor's cache; and rows, few of them seen twice."""
ROOM_FOR_WEIGHTS = 4
"""A band has at least so many times the values of the kernel, which the library sorts anew in every call."""

KERNEL_TO_POINTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""G of Lavin & Gray (2016), section 4.1: a kernel of 3 taps at the points 0, 1, -1, 2, -2 and infinity."""


class Scratch:
    """Memory that layers take turns to use: fresh from the system it costs a third of their time.

    Args:
        dtype: of its values.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._values = torch.empty(0, dtype=dtype)

    def take(self, *shapes: tuple[int, ...]) -> list[Tensor]:
        """Tensors of these shapes, of whatever content; what was taken before is overwritten."""
        sizes = [-(-prod(shape) // 16) * 16 for shape in shapes]  # each begins where vector instructions like it
        if sum(sizes) > self._values.numel():
            self.free()  # the old goes before the new comes
            self._values = self._values.new_empty(sum(sizes))
        begins = accumulate(sizes, initial=0)
        return [self._values[b : b + prod(shape)].view(shape) for b, shape in zip(begins, shapes, strict=False)]

    def free(self) -> None:
        """Give the memory back to the system once nobody holds a tensor of it."""
        self._values = self._values.new_empty(0)


class Winograd(nn.Module):
    """A padded 3x3 convolution and ReLU with a quarter of the products, the same to rounding (Lavin & Gray 2016).

    Args:
        conv: 3x3, stride 1, padding 1, with a bias; stays as it is.
        scratch: shared by convolutions that do not run at once.
        result: what is returned lies there, until somebody else takes it.
    """

    def __init__(self, conv: nn.Conv2d, scratch: Scratch, result: Scratch) -> None:
        super().__init__()
        g, kernel = torch.tensor(KERNEL_TO_POINTS, dtype=torch.float64), conv.weight.detach().double()
        products = torch.einsum("ia,ocab,jb->ijco", g, kernel, g).flatten(0, 1)
        self.products = nn.Buffer(products.float().contiguous())  # (36, C, K)
        self.bias = nn.Buffer(conv.bias.detach() if conv.bias is not None else torch.zeros(conv.out_channels))
        self.scratch, self.result = scratch, result

    def forward(self, *parts: Tensor) -> Tensor:
        """Convolve.

        Args:
            parts: float32 (N, C_i, H, W), channels-last, taken as one tensor of all their channels.

        Returns:
            (N, K, H, W), channels-last.
        """
        count, _, height, width = parts[0].shape
        rows, cols = -(-height // TILE_PX), -(-width // TILE_PX)
        (made,) = self.result.take((count, rows, TILE_PX, cols, TILE_PX, len(self.bias)))
        step = max(1, TILES // cols)
        for number in range(count):
            images = [part[number].permute(1, 2, 0) for part in parts]
            for row in range(0, rows, step):
                self._band(images, row * TILE_PX, made[number, row : row + step])
        flat = made.view(count, rows * TILE_PX, cols * TILE_PX, len(self.bias))
        return flat[:, :height, :width].permute(0, 3, 1, 2)

    def _band(self, images: Sequence[Tensor], top: int, out: Tensor) -> None:
        """Outputs of some rows of tiles.

        Columns lie apart by their place in a tile, so that one place of all tiles is one run of memory.

        Args:
            images: (H, W, C_i) each.
            top: the first row.
            out: (rows, 4, columns, 4, K) of tiles.
        """
        rows, _, cols = out.shape[:3]
        _, taken, given = self.products.shape
        seen, down, points, products, across, found, *spare = self.scratch.take(
            (TILE_PX * rows + 2, TILE_PX, cols + 1, taken),
            (6, rows, TILE_PX, cols + 1, taken),
            (6, 6, rows, cols, taken),
            (36, rows * cols, given),
            (6, TILE_PX, rows, cols, given),
            (TILE_PX, TILE_PX, rows, cols, given),
            (2, rows, TILE_PX, cols + 1, taken),
            (2, 6, rows, cols, taken),
            (4, 6, rows, cols, given),
            (4, TILE_PX, rows, cols, given),
        )
        _look(images, top - 1, seen)
        _to_points([seen[i : i + TILE_PX * rows - 3 : TILE_PX] for i in range(6)], list(down), spare[0])
        columns = [down[:, :, j % TILE_PX, j // TILE_PX : j // TILE_PX + cols] for j in range(6)]
        _to_points(columns, list(points.unbind(1)), spare[1])
        torch.bmm(points.flatten(2, 3).flatten(0, 1), self.products, out=products)
        _from_points(list(products.view(6, 6, rows, cols, given).unbind(1)), list(across.unbind(1)), spare[2])
        _from_points(list(across), list(found), spare[3])
        found += self.bias
        torch.clamp_min(found.permute(2, 0, 3, 1, 4), 0, out=out)


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
        """Double the sides of float32 (N, C, H, W), channels-last: (N, K, 2 H, 2 W), channels-last."""
        count, taken, height, width = x.shape
        given = len(self.bias) // 4
        (made,) = self.result.take((count, height, 2, width, 2, given))
        step = max(1, 4 * TILES // width)
        for number in range(count):
            image = x[number].permute(1, 2, 0)
            for row in range(0, height, step):
                band = image[row : row + step].reshape(-1, taken)
                (four,) = self.scratch.take((len(band), 4 * given))
                torch.addmm(self.bias, band, self.products, out=four)
                made[number, row : row + step] = four.view(-1, width, 2, 2, given).transpose(1, 2)
        return made.view(count, 2 * height, 2 * width, given).permute(0, 3, 1, 2)


def _look(images: Sequence[Tensor], top: int, seen: Tensor) -> None:
    """Rows of images from `top` on, one pixel of zeros around the image, sorted by place in a tile."""
    height, end = images[0].shape[0], top + len(seen)
    inside = slice(max(0, top), min(height, end))
    seen[: inside.start - top] = 0
    seen[inside.stop - top :] = 0
    seen[:, :, 0] = 0
    seen[:, :, -2:] = 0
    rows, channel = seen[inside.start - top : inside.stop - top], 0
    for image in images:
        channels = slice(channel, channel + image.shape[2])
        for place in range(TILE_PX):
            columns = image[inside, (place - 1) % TILE_PX :: TILE_PX]
            first = 1 if place == 0 else 0
            rows[:, place, first : first + columns.shape[1], channels] = columns
        channel = channels.stop


def _to_points(x: Sequence[Tensor], out: Sequence[Tensor], spare: Tensor) -> None:
    """Six values of each tile along one axis, as a polynomial's at six points: B transposed of section 4.1."""
    even, odd = spare
    torch.sub(x[4], x[2], alpha=4, out=even)
    torch.sub(x[3], x[1], alpha=4, out=odd)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(x[4], x[2], out=even)
    torch.sub(x[3], x[1], out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    torch.sub(x[0], x[2], out=out[0])
    torch.add(even, out[0], alpha=4, out=out[0])
    torch.sub(x[5], x[3], out=out[5])
    torch.sub(out[5], odd, alpha=4, out=out[5])


def _from_points(m: Sequence[Tensor], out: Sequence[Tensor], spare: Tensor) -> None:
    """Four outputs of each tile along one axis from six points: A transposed of section 4.1."""
    one, one_odd, two, two_odd = spare
    torch.add(m[1], m[2], out=one)
    torch.sub(m[1], m[2], out=one_odd)
    torch.add(m[3], m[4], out=two)
    torch.sub(m[3], m[4], out=two_odd)
    torch.add(m[0], one, out=out[0])
    out[0].add_(two)
    torch.add(one_odd, two_odd, alpha=2, out=out[1])
    torch.add(one, two, alpha=4, out=out[2])
    torch.add(one_odd, two_odd, alpha=8, out=out[3])
    out[3].add_(m[5])
