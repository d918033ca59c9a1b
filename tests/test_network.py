from collections import defaultdict
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from invented_nets import plain_detector, trained_like
from torch import nn

from minedetect.cpu_layers import Banded, Scratch
from minedetect.devices import Device
from minedetect.grid import Window
from minedetect.model import UNet
from minedetect.network import QuickUNet, factor_of, folded, margin_of, network_of
from minedetect.stored import digest_of
from minedetect.windows import Network
from minedetect.winograd import LEAST_CHANNELS, Winograd, WinogradAcross

CPU = Device("cpu", bf16=False, name="test")


@pytest.mark.parametrize("coarsen", [1, 3])
def test_folding_leaves_no_batch_norm_the_same_numbers_and_the_model_as_it_was(coarsen: int) -> None:
    torch.manual_seed(0)
    net = trained_like(UNet(3, 6, coarsen))
    before = digest_of(net.state_dict())
    quick = folded(net)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in quick.modules())
    x = torch.rand(2, 3, 96, 144)
    with torch.inference_mode():
        want, found = net(x).softmax(1), quick(x).softmax(1)
    assert want.std() > 0.05
    assert (want - found).abs().max() < 1e-5
    assert digest_of(net.state_dict()) == before


@given(
    rows=st.tuples(st.integers(0, 63), st.integers(1, 64)),
    cols=st.tuples(st.integers(0, 31), st.integers(1, 32)),
    kind=st.sampled_from(["plain", "coarse", "wide"]),
)
def test_a_core_gets_what_it_would_get_as_part_of_everything(
    rows: tuple[int, int], cols: tuple[int, int], kind: str
) -> None:
    net, network = core_nets()[kind]
    image = np.random.default_rng(3).random((2, 64, 32), dtype=np.float32)
    core = Window(rows[0], cols[0], min(rows[1], 64 - rows[0]), min(cols[1], 32 - cols[0]))
    with torch.inference_mode():
        want = net(torch.from_numpy(image)[None]).softmax(dim=1)[0, 1].numpy()
    assert want.std() > 0.02
    found = network.probability(image, core)
    assert found.shape == (core.height, core.width)
    assert np.abs(found - want[core.slices]).max() < 1e-4


@cache
def core_nets() -> dict[str, tuple[UNet, Network]]:
    """Three kinds; the deeper stages of the wide one have enough channels for the way with fewer products."""
    torch.manual_seed(0)
    nets = {"plain": UNet(2, 4), "coarse": UNet(2, 4, coarsen=2), "wide": UNet(2, LEAST_CHANNELS // 4)}
    return {
        kind: (net, network_of(plain_detector(trained_like(net)), CPU, eightfold=False)) for kind, net in nets.items()
    }


@pytest.mark.parametrize("amx", [False, True])
def test_in_bf16_a_wide_network_answers_as_in_float32(monkeypatch: pytest.MonkeyPatch, amx: bool) -> None:
    monkeypatch.setattr("minedetect.network.cpu_has_amx", lambda: amx)
    net, float32 = core_nets()["wide"]
    quick = network_of(plain_detector(net), Device("cpu", bf16=True, name="test"), eightfold=False)
    image = np.random.default_rng(3).random((2, 64, 32), dtype=np.float32)
    off = np.abs(quick.everywhere(image) - float32.everywhere(image))
    assert 0 < off.mean() < 0.006
    assert off.max() < 0.05


@pytest.mark.parametrize(
    ("dtype", "amx", "kind"),
    [
        (torch.float32, False, Winograd),
        (torch.float32, True, Winograd),
        (torch.bfloat16, False, WinogradAcross),
        (torch.bfloat16, True, Banded),
    ],
)
def test_convolutions_of_many_channels_are_made_by_what_is_quickest_and_exact_enough(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, amx: bool, kind: type[nn.Module]
) -> None:
    monkeypatch.setattr("minedetect.network.cpu_has_amx", lambda: amx)
    net = QuickUNet(folded(UNet(2, LEAST_CHANNELS // 4).eval()), defaultdict(partial(Scratch, dtype)), dtype)
    kinds = [type(layer) for block in [*net.down, *net.join] for layer in block]
    assert kinds == [*[Banded] * 5, *[kind] * 9, *[Banded] * 4]
    assert {value.dtype for value in [*net.parameters(), *net.buffers()]} == {dtype}


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory")])
def test_a_window_for_which_memory_runs_out_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    rooms = list[Any]()

    class Watched(Scratch):
        def __init__(self, dtype: torch.dtype) -> None:
            super().__init__(dtype)
            rooms.append(self)

        @property
        def held_bytes(self) -> int:
            return self._values.nbytes

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("minedetect.network.Scratch", Watched)
    network = network_of(plain_detector(UNet(2, 4).eval()), CPU, eightfold=False)
    image = np.zeros((2, 64, 64), np.float32)
    network.everywhere(image)
    assert sum(room.held_bytes for room in rooms) > 4 * 64 * 64 * 4
    monkeypatch.setattr("minedetect.network.F.linear", fails)
    with pytest.raises(type(error)):
        network.everywhere(image)
    assert sum(room.held_bytes for room in rooms) == 0


def test_predicting_leaves_the_model_as_it_was() -> None:
    net = trained_like(UNet(1, 4))
    before = digest_of(net.state_dict())
    network_of(plain_detector(net), Device("cpu", bf16=True, name="test"), eightfold=False)
    assert digest_of(net.state_dict()) == before
    assert {p.dtype for p in net.parameters()} == {torch.float32}


@pytest.mark.parametrize("coarsen", [1, 2, 3])
def test_the_margin_is_the_field_of_view_no_less_and_hardly_more(coarsen: int) -> None:
    """A cell in the middle, watched while one far pixel grows; positive weights let nothing cancel."""
    net = UNet(1, 1, coarsen).eval().double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
        net.head.weight.fill_(1)
    factor, margin = factor_of(net), margin_of(net)
    side = 2 * margin + 3 * factor
    cell = slice(margin + factor, margin + 2 * factor)
    dark = torch.full((1, 1, side, factor), 0.5, dtype=torch.float64)

    def moves(row: int) -> bool:
        lit = dark.clone()
        lit[..., row, :] = 1e6
        with torch.inference_mode():
            return not torch.equal(net(lit)[..., cell, :], net(dark)[..., cell, :])

    assert not moves(cell.start - margin - 1)
    assert not moves(cell.stop + margin)
    assert moves(cell.start - margin + factor)
    assert moves(cell.stop + margin - factor - 1)


def test_the_margin_of_the_reference_network() -> None:
    assert [margin_of(UNet(5, 4, coarsen)) for coarsen in (1, 2, 4)] == [96, 192, 384]


def test_eightfold_prediction_does_not_depend_on_orientation() -> None:
    torch.manual_seed(0)
    network = network_of(plain_detector(trained_like(UNet(1, 4))), CPU, eightfold=True)
    image = np.random.default_rng(2).random((1, 32, 48), dtype=np.float32)
    turned = np.rot90(image, axes=(1, 2)).copy()
    np.testing.assert_allclose(np.rot90(network.everywhere(image)), network.everywhere(turned), atol=1e-5)


def test_bf16_is_close_to_float32() -> None:
    torch.manual_seed(0)
    detector = plain_detector(trained_like(UNet(3, 8)))
    image = np.random.default_rng(2).random((3, 64, 96), dtype=np.float32)
    exact, quick = (
        network_of(detector, Device("cpu", bf16, "test"), False).everywhere(image) for bf16 in (False, True)
    )
    assert exact.std() > 0.05
    assert 0 < np.abs(exact - quick).mean() < 0.02
