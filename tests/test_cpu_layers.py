import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from layer_support import nearly, scratch
from torch import nn

from minedetect import cpu_layers
from minedetect.cpu_layers import Banded, Rise, halved


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    parts=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    given_channels=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_bands_of_rows_make_the_plain_convolution_with_relu(
    height: int, width: int, parts: list[int], given_channels: int, seed: int
) -> None:
    torch.manual_seed(seed)
    conv = nn.Conv2d(sum(parts), given_channels, 3, padding=1)
    with torch.inference_mode():
        quick = Banded(conv, scratch())
        for size in ((height, width), (width, height)):  # what the first one left behind does not show in the second
            x = torch.randn(2, sum(parts), *size).contiguous(memory_format=torch.channels_last)
            assert nearly(quick(*x.split(parts, dim=1)), conv(x).relu())


@given(height=st.integers(1, 20), width=st.integers(1, 20), taken=st.integers(1, 6), seed=st.integers(0, 99))
def test_rising_is_the_transposed_convolution(height: int, width: int, taken: int, seed: int) -> None:
    torch.manual_seed(seed)
    conv = nn.ConvTranspose2d(taken, 3, 2, stride=2)
    x = torch.randn(2, taken, height, width).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert nearly(Rise(conv, scratch(), scratch())(x), conv(x))


def test_large_results_are_made_in_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_layers, "RISE_PIXELS", 32)
    monkeypatch.setattr(cpu_layers, "BAND_VALUES", 64)
    torch.manual_seed(0)
    conv, rise = nn.Conv2d(4, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, stride=2)
    x = torch.randn(1, 4, 75, 13).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for quick, plain in (
            (Banded(conv, scratch()), lambda x: conv(x).relu()),
            (Rise(rise, scratch(), scratch()), rise),
        ):
            assert nearly(quick(x), plain(x))


@given(
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    channels=st.integers(1, 6),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_halving_keeps_the_largest_of_four(rows: int, cols: int, channels: int, seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, channels, 2 * rows, 2 * cols, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_layers, "BAND_VALUES", 100)
        found = halved(x)
    assert torch.equal(found, F.max_pool2d(x, 2))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_memory_is_taken_once_and_grows() -> None:
    memory = scratch()
    (small,) = memory.take((3, 5))
    again, other = memory.take((2, 2), (7,))
    assert again.data_ptr() == memory.take((1,))[0].data_ptr()
    assert small.shape == (3, 5)
    assert (again.shape, other.shape) == ((2, 2), (7,))
    again.fill_(1)
    other.fill_(2)
    assert again.sum() == 4, "tensors taken together do not overlap"
    (large,) = memory.take((1000,))
    assert memory.take((1000,))[0].data_ptr() == large.data_ptr()
