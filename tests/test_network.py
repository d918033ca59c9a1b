import numpy as np
import pytest
import torch
from invented_nets import plain_detector, trained_like
from torch import nn

from minedetect.devices import Device
from minedetect.model import UNet
from minedetect.network import factor_of, folded, margin_of, network_of
from minedetect.stored import digest_of

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
    np.testing.assert_allclose(np.rot90(network.probability(image)), network.probability(turned), atol=1e-5)


def test_bf16_is_close_to_float32() -> None:
    torch.manual_seed(0)
    detector = plain_detector(trained_like(UNet(3, 8)))
    image = np.random.default_rng(2).random((3, 64, 96), dtype=np.float32)
    exact, quick = (
        network_of(detector, Device("cpu", bf16, "test"), False).probability(image) for bf16 in (False, True)
    )
    assert exact.std() > 0.05
    assert 0 < np.abs(exact - quick).mean() < 0.02
