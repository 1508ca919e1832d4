"""Gradient reversal (arXiv 1409.7495): an encoder learns to hide what a classifier learns to find."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Adversary", "reverse_gradient"]


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


def reverse_gradient(values: Tensor, scale: float) -> Tensor:
    """The values themselves; their gradient comes back times -scale."""
    reversed_: Tensor = _Reverse.apply(values, scale)
    return reversed_


class Adversary(nn.Module):
    """A classifier with one hidden layer that learns as usual while what feeds it unlearns its classes.

    The main optimizer trains it. The strength is `scale`: the loss itself keeps weight 1, or the classifier learns
    slower too.

    :param inputs: dim of the values.
    :param classes: number of classes.
    :param hidden: width.
    """

    def __init__(self, inputs: int, classes: int, hidden: int = 256) -> None:
        super().__init__()
        self.classify = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, values: Tensor, labels: Tensor, scale: float) -> tuple[Tensor, float]:
        """
        :param values: (..., inputs).
        :param labels: (...), long.
        :param scale: of the reversed gradient, at least 0.
        :return: mean cross-entropy in nats (scalar); share of right answers.
        """
        if labels.shape != values.shape[:-1]:
            raise ValueError(f"values {tuple(values.shape)} need one label each, found {tuple(labels.shape)}")
        logits = self.classify(reverse_gradient(values, scale)).float()
        accuracy = float((logits.argmax(-1) == labels).float().mean())
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten()), accuracy
