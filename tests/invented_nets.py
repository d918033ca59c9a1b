"""Networks nobody trained, whose numbers are of the size that training brings."""

import torch
from torch import nn

from minedetect.bands import BandContract
from minedetect.calibrate import Calibration
from minedetect.model import Detector, UNet


def trained_like(net: UNet) -> UNet:
    """Batch norm with the statistics of what flows through it and scales off 1; probabilities spread over 0 to 1."""
    bands = net.down[0][0].in_channels // net.coarsen**2
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # plain average
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
    with torch.no_grad():
        net.head.weight *= 3
        net.train()
        for _ in range(3):
            net(torch.rand(1, bands, 128, 128))
    return net.eval()


def plain_detector(net: UNet, calibration: Calibration | None = None) -> Detector:
    """A detector whose scaling leaves reflectance as it is, on 10 m pixels."""
    bands = net.down[0][0].in_channels // net.coarsen**2
    names = ("B2", "B3", "B4", "B8", "B11")[:bands]
    contract = BandContract(names, "reflectance", (0.0,) * bands, (1.0,) * bands, 10.0)
    return Detector(net, net.head.in_channels, contract, calibration or Calibration())
