"""What training minimises: weighted cross-entropy, with soft Dice of the mine class added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minedetect.config import OptimizerSettings
from minedetect.errors import SplitError
from minedetect.raster import IGNORE, MINE
from minedetect.tiles import TrainingScene, class_shares

Total = Callable[[Tensor], Tensor]
"""Sum of a tensor over all processes, which gradients pass through."""


def alone(part: Tensor) -> Tensor:
    """The sum over the one process there is."""
    return part


@dataclass(frozen=True)
class Loss:
    """Weighted cross-entropy and soft Dice, the same however a batch is cut over steps and processes.

    Args:
        weights: float32 (2,), of background and mine.
        dice: weight of the Dice term (Milletari et al. 2016, with squared denominators left out).
    """

    weights: Tensor
    dice: float

    def weight_of(self, labels: Tensor) -> Tensor:
        """Sum of the class weights of the known pixels, what cross-entropy is divided by.

        Args:
            labels: int64 (N, H, W); IGNORE counts for nothing.
        """
        return self.weights[0] * (labels == 0).sum() + self.weights[1] * (labels == MINE).sum()

    def __call__(self, logits: Tensor, labels: Tensor, whole: Tensor | None = None, total: Total = alone) -> Tensor:
        """Loss of a batch, or of one part of it, so that the parts' losses add up to the batch's.

        The cross-entropy of parts adds up exactly. The Dice term is that of the part, over all processes,
        times its share of the weight.

        Args:
            logits: (N, 2, H, W).
            labels: int64 (N, H, W); IGNORE counts for nothing.
            whole: `weight_of` the whole batch over all processes; None where this is all of it.
            total: sums over all processes.
        """
        return self.of(total(self.sums(logits, labels)), whole)

    def sums(self, logits: Tensor, labels: Tensor) -> Tensor:
        """All that the loss of some pixels is made of; sums of several batches add up.

        Returns:
            float32 (5,): weighted cross-entropy, probability on mines, probability, mines, weight.
        """
        logits = logits.float()
        entropy = F.cross_entropy(logits, labels, weight=self.weights, ignore_index=IGNORE, reduction="sum")
        probability = logits.softmax(dim=1)[:, MINE] * (labels != IGNORE)
        mine = (labels == MINE).float()
        return torch.stack([entropy, (probability * mine).sum(), probability.sum(), mine.sum(), self.weight_of(labels)])

    def of(self, sums: Tensor, whole: Tensor | None = None) -> Tensor:
        """The loss of some sums, as part of `whole` or by themselves."""
        entropy, overlap, predicted, labelled, weight = sums
        whole = (weight if whole is None else whole).clamp(min=torch.finfo(torch.float32).tiny)
        dice = 1 - (2 * overlap + 1) / (predicted + labelled + 1)
        loss: Tensor = entropy / whole + self.dice * dice * (weight / whole)
        return loss


def class_weights(scenes: Sequence[TrainingScene], settings: OptimizerSettings) -> Tensor:
    """Weights of background and mine: as set, else the square root of inverse frequency, at mean 1.

    The full inverse frequency makes a network call everything near a mine a mine; its root still
    lifts the rare class. Probabilities are calibrated afterwards in any case.

    Raises:
        SplitError: the training tiles hold one class only.
    """
    shares = class_shares(scenes)
    if not all(shares):
        raise SplitError("The training tiles hold one class only. Add labels, or choose a smaller --tile-px.")
    roots = [share**-0.5 for share in shares]
    computed = [2 * r / sum(roots) for r in roots]
    return torch.tensor([settings.background_weight or computed[0], settings.mine_weight or computed[1]])
