"""3x3 convolutions with fewer products for prediction on a CPU (Lavin & Gray 2016)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minedetect.cpu_layers import BAND_VALUES, LEAST_ROWS, Scratch

TILE_PX = 4
"""Outputs along one axis made at once, from 4 + 2 inputs by 6 products instead of 12."""
LEAST_CHANNELS = 64
"""With fewer channels on either side the sums before and after the products cost more than those save."""
TILES = 512
"""Square tiles made at once: few enough for the processor's cache, many enough for its matrix product."""

NEAR, FAR = 0.75, 1.5
"""The polynomials' points are 0, these two with either sign, and infinity. With 1 and 2 in their place, as in section
4.1, the sums need no scaling, but rounding to bf16 does 1.4 times the harm; FAR is twice NEAR in `_from_points`."""


def kernel_to_points() -> Tensor:
    """A kernel of 3 taps as a polynomial's values at the six points: float64 (6, 3), G of section 4.1."""
    points = (0, NEAR, -NEAR, FAR, -FAR)
    rows = list[list[float]]()
    for point in points:
        apart = torch.tensor([point - other for other in points if other != point], dtype=torch.float64).prod().item()
        rows.append([point**power / apart for power in range(3)])
    return torch.tensor([*rows, [0, 0, NEAR**-3]], dtype=torch.float64)


class _Tiled(nn.Module, ABC):
    """A padded 3x3 convolution and ReLU that makes several outputs at once, the same to rounding.

    Args:
        conv: 3x3, stride 1, padding 1, with a bias; stays as it is.
        scratch: shared by convolutions that do not run at once.
        result: what is returned lies there, until somebody else takes it.
    """

    tile_rows = 1

    def __init__(self, conv: nn.Conv2d, scratch: Scratch, result: Scratch) -> None:
        super().__init__()
        self.bias = nn.Buffer(conv.bias.detach() if conv.bias is not None else torch.zeros(conv.out_channels))
        self.scratch, self.result = scratch, result

    def forward(self, *parts: Tensor) -> Tensor:
        """Convolve.

        Args:
            parts: (N, C_i, H, W), channels-last, taken as one tensor of all their channels.

        Returns:
            (N, K, H, W), channels-last.
        """
        count, _, height, width = parts[0].shape
        rows, cols, given = -(-height // self.tile_rows), -(-width // TILE_PX), len(self.bias)
        (made,) = self.result.take((count, rows, self.tile_rows, cols, TILE_PX, given))
        step = self._rows_at_once(cols)
        for number in range(count):
            images = [part[number].permute(1, 2, 0) for part in parts]
            for row in range(0, rows, step):
                self._band(images, row * self.tile_rows, made[number, row : row + step])
        flat = made.view(count, rows * self.tile_rows, cols * TILE_PX, given)
        return flat[:, :height, :width].permute(0, 3, 1, 2)

    @abstractmethod
    def _rows_at_once(self, cols: int) -> int:
        """Rows of tiles that are made together, where there are so many tiles in each."""

    @abstractmethod
    def _band(self, images: Sequence[Tensor], top: int, out: Tensor) -> None:
        """Outputs of some rows of tiles.

        Columns lie apart by their place in a tile, so that one place of all tiles is one run of memory.

        Args:
            images: (H, W, C_i) each.
            top: the first row.
            out: (rows, tile_rows, columns, 4, K) of tiles.
        """


class Winograd(_Tiled):
    """Tiles of 4 x 4 outputs with a quarter of the products; float32, as rounding adds up over both axes."""

    tile_rows = TILE_PX

    def __init__(self, conv: nn.Conv2d, scratch: Scratch, result: Scratch) -> None:
        super().__init__(conv, scratch, result)
        g, kernel = kernel_to_points(), conv.weight.detach().double()
        products = torch.einsum("ia,ocab,jb->ijco", g, kernel, g).flatten(0, 1)
        self.products = nn.Buffer(products.float().contiguous())  # (36, C, K)

    def _rows_at_once(self, cols: int) -> int:
        return max(1, TILES // cols)

    def _band(self, images: Sequence[Tensor], top: int, out: Tensor) -> None:
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
        for i in range(TILE_PX):
            for j in range(TILE_PX):
                torch.add(self.bias, found[i, j], alpha=NEAR ** (i + j), out=found[i, j])
        torch.clamp_min(found.permute(2, 0, 3, 1, 4), 0, out=out)


class WinogradAcross(_Tiled):
    """Tiles of 1 x 4 outputs with half the products, as six convolutions of three rows; in bf16 good to 0.75 %.

    Rounding inputs and kernels alone makes a convolution in bf16 good to 0.24 %.
    """

    def __init__(self, conv: nn.Conv2d, scratch: Scratch, result: Scratch) -> None:
        super().__init__(conv, scratch, result)
        kernels = torch.einsum("jb,ocab->joac", kernel_to_points(), conv.weight.detach().double())
        self.kernels = nn.Buffer(kernels.float().contiguous())  # (6, K, 3, C)

    def _rows_at_once(self, cols: int) -> int:
        return max(LEAST_ROWS, BAND_VALUES // (cols * len(self.bias)))

    def _band(self, images: Sequence[Tensor], top: int, out: Tensor) -> None:
        rows, _, cols = out.shape[:3]
        _, given, _, taken = self.kernels.shape
        seen, points, found, *spare = self.scratch.take(
            (rows + 2, TILE_PX, cols + 1, taken),
            (6, rows + 2, cols, taken),
            (TILE_PX, rows, cols, given),
            (2, rows + 2, cols, taken),
            (4, rows, cols, given),
        )
        _look(images, top - 1, seen)
        columns = [seen[:, j % TILE_PX, j // TILE_PX : j // TILE_PX + cols] for j in range(6)]
        _to_points(columns, list(points), spare[0])
        products = [
            F.conv2d(point[None].permute(0, 3, 1, 2), kernel[:, :, None].permute(0, 3, 1, 2))[0].permute(1, 2, 0)
            for point, kernel in zip(points, self.kernels, strict=True)
        ]
        _from_points(products, list(found), spare[1])
        for j in range(TILE_PX):
            torch.add(self.bias, found[j], alpha=NEAR**j, out=found[j])
        torch.clamp_min(found.permute(1, 2, 0, 3), 0, out=out[:, 0])


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
    """Six values of each tile along one axis, as a polynomial's at the six points: B transposed of section 4.1."""
    even, odd = spare
    near, far = NEAR**2, FAR**2
    torch.sub(x[4], x[2], alpha=far, out=even)
    torch.sub(x[3], x[1], alpha=far, out=odd)
    torch.add(even, odd, alpha=NEAR, out=out[1])
    torch.sub(even, odd, alpha=NEAR, out=out[2])
    torch.sub(x[5], x[3], alpha=far, out=out[5])
    torch.sub(out[5], odd, alpha=near, out=out[5])
    torch.sub(x[4], x[2], alpha=near, out=even)
    torch.sub(x[3], x[1], alpha=near, out=odd)
    torch.add(even, odd, alpha=FAR, out=out[3])
    torch.sub(even, odd, alpha=FAR, out=out[4])
    torch.sub(x[2], x[0], alpha=near, out=out[0])
    torch.sub(even, out[0], alpha=far, out=out[0])


def _from_points(m: Sequence[Tensor], out: Sequence[Tensor], spare: Tensor) -> None:
    """Four outputs of each tile along one axis from six points, the j-th over NEAR^j: A transposed of section 4.1."""
    near, near_odd, far, far_odd = spare
    torch.add(m[1], m[2], out=near)
    torch.sub(m[1], m[2], out=near_odd)
    torch.add(m[3], m[4], out=far)
    torch.sub(m[3], m[4], out=far_odd)
    torch.add(m[0], near, out=out[0])
    out[0].add_(far)
    torch.add(near_odd, far_odd, alpha=2, out=out[1])
    torch.add(near, far, alpha=4, out=out[2])
    torch.add(near_odd, far_odd, alpha=8, out=out[3])
    out[3].add_(m[5])
