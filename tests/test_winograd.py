import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_support import nearly, scratch
from torch import nn

from minedetect import winograd
from minedetect.winograd import Winograd, WinogradAcross


@pytest.mark.parametrize("kind", [Winograd, WinogradAcross])
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    parts=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    given_channels=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_fewer_products_make_the_plain_convolution_with_relu(
    kind: type[Winograd] | type[WinogradAcross],
    height: int,
    width: int,
    parts: list[int],
    given_channels: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    conv = nn.Conv2d(sum(parts), given_channels, 3, padding=1)
    with torch.inference_mode():
        quick = kind(conv, scratch(), scratch())
        for size in ((height, width), (width, height)):  # what the first one left behind does not show in the second
            x = torch.randn(2, sum(parts), *size).contiguous(memory_format=torch.channels_last)
            assert nearly(quick(*x.split(parts, dim=1)), conv(x).relu())


@pytest.mark.parametrize("kind", [Winograd, WinogradAcross])
def test_large_results_are_made_in_many_pieces(
    monkeypatch: pytest.MonkeyPatch, kind: type[Winograd] | type[WinogradAcross]
) -> None:
    monkeypatch.setattr(winograd, "TILES", 8)
    monkeypatch.setattr(winograd, "BAND_VALUES", 64)
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 75, 13).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert nearly(kind(conv, scratch(), scratch())(x), conv(x).relu())


def test_in_bf16_the_sums_cost_less_than_a_hundredth() -> None:
    """Against the convolution of the same rounded inputs with kernels that were not rounded."""
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3, padding=1)
    x = torch.randn(1, 64, 24, 40).relu().bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        want = conv(x.float()).relu()
        quick = WinogradAcross(conv, scratch(torch.bfloat16), scratch(torch.bfloat16)).to(torch.bfloat16)
        found = quick(x)
        assert found.dtype == torch.bfloat16
        error = (found.float() - want).square().mean().sqrt() / want.square().mean().sqrt()
        assert 0.003 < error < 0.01
