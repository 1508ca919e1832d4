"""Projecting conflicting gradients, on their inner products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from s3prl_plugins.balancers.contract import GradientOptions
from s3prl_plugins.balancers.fixed import FixedWeights
from s3prl_plugins.seeding import generator

__all__ = ["PCGrad", "PCGradOptions"]


@dataclass(frozen=True)
class PCGradOptions(GradientOptions):
    """Options of `pcgrad`; `per: tensor` and `reduction: mean` are those of the code released with arXiv 2110.09930."""

    reduction: Literal["sum", "mean"] = "sum"
    """What is done with the projected gradients."""


class PCGrad(FixedWeights):
    """Gradient surgery (Yu et al., arXiv 2001.06782, algorithm 1): every task's gradient g_i visits the others in random
    order, and where it conflicts with g_j it loses its part along g_j:

        if g_i . g_j < 0:   g_i <- g_i - (g_i . g_j / |g_j|^2) g_j     (g_j as it was)

    The projected gradients are combinations of the rows, so only coefficients are updated: the projections cost K^3
    multiplications, not K^2 passes over the parameters. Equal to the loop over gradients up to rounding.

    The paper sums over the projected gradients; the released code of arXiv 2110.09930 takes their mean, tensor by tensor,
    and draws the orders from the global `random`. Here they depend on (seed, step), and all groups share them.
    """

    def __init__(self, names: Sequence[str], options: PCGradOptions, seed: int) -> None:
        super().__init__(names, options.weights)
        self.options, self._reduction, self._seed = options, options.reduction, seed

    def combine(self, step: int, gram: Tensor, losses: Mapping[str, float]) -> Tensor:
        tasks = gram.shape[-1]
        random = generator(self._seed, "pcgrad", step)
        orders = [[j for j in torch.randperm(tasks, generator=random).tolist() if j != i] for i in range(tasks)]
        coefficients = torch.eye(tasks, dtype=torch.float64).repeat(len(gram), 1, 1)
        rows = torch.arange(tasks)
        for others in zip(*orders):
            visited = torch.tensor(others)
            products = (coefficients * gram[:, visited]).sum(dim=-1)
            squares = gram[:, visited, visited]
            shares = torch.where(products < 0, products / squares, torch.zeros_like(products))
            coefficients[:, rows, visited] -= shares
        return coefficients.mean(dim=1) if self._reduction == "mean" else coefficients.sum(dim=1)
