"""What tests of single layers share."""

import torch
from torch import Tensor

from minedetect.cpu_layers import Scratch


def scratch(dtype: torch.dtype = torch.float32) -> Scratch:
    """Memory of a layer's own."""
    return Scratch(dtype)


def nearly(found: Tensor, want: Tensor) -> bool:
    """Equal to rounding: sums of few products of numbers near 1."""
    return found.shape == want.shape and bool((found - want).abs().max() < 1e-4)
