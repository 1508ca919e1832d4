"""Weights of a group of labels: the mixture that depends least on the speech within a class (arXiv 2107.00594, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.seeding import generator

__all__ = ["Pairs", "WeightConfig", "fit_weights", "sparsemax"]

_BLOCK = 1 << 15
"""Pairs computed at a time: they stay in the processor's cache."""


@dataclass(frozen=True)
class Pairs:
    """Mean HSIC over classes as a sum over pairs of samples: constant + sum of weight * exp(-energy)."""

    weight: Tensor
    """(pairs,), from the speech kernels."""
    energy: Tensor
    """(labels, pairs): -log of each label's kernel, cut off at 10 as in the released code: a label alone cannot part two
    samples whose other labels are close."""
    constant: float
    """What the pairs of a sample with itself add, where every label's kernel is 1."""

    def utility(self, mixture: Tensor) -> tuple[float, Tensor]:
        """Mean HSIC of the mixture exp(-sum of mixture * energy), and its gradient (labels,)."""
        value, gradient = self.constant, torch.zeros(len(self.energy), dtype=torch.float64)
        mixture = mixture.to(self.energy.dtype)
        for weight, energy in zip(torch.split(self.weight, _BLOCK), torch.split(self.energy, _BLOCK, dim=1)):
            terms = (mixture @ energy).neg_().exp_().mul_(weight)
            value += float(terms.sum())
            gradient -= (energy @ terms).double()
        return value, gradient


@dataclass(frozen=True)
class WeightConfig:
    """How the weights are found: gradient descent with momentum on free numbers that `method` maps to weights of sum 1."""

    method: Literal["softmax", "sparsemax"] = "softmax"
    """`sparsemax` (arXiv 1602.02068) can set weights to exactly 0."""
    start: Literal["equal", "released"] = "equal"
    """`released`: as the papers' code, from numbers drawn from N(0, 1) for softmax, from 1 + 0.05 N(0, 1) for sparsemax; the
    last step counts. For softmax 1000 steps do not lead far from that start: its weights are largely the seed's.
    `equal`: from equal weights, and once more leaning to the label of lowest utility; the best point met counts, and HSIC is
    measured in units of the largest utility of a single label, so that step and penalty suit any scale."""
    steps: int = 1000
    lr: float | None = None
    """None: 0.01 from the `released` start (papers), 0.1 otherwise."""
    momentum: float = 0.9
    spread: float = 0.5
    """Times the length of the weight vector, added to what is minimised: larger values spread the weights. At 0, as in the
    papers, the minimum is often a single label, which their code meets only if it goes on for long."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, found {self.steps}")
        if self.lr is not None and self.lr <= 0:
            raise ConfigError(f"lr must be above 0, found {self.lr}")
        if self.spread < 0:
            raise ConfigError(f"spread must not be negative, found {self.spread}")


def sparsemax(free: Tensor) -> Tensor:
    """The point of the simplex nearest to `free` (labels,); arXiv 1602.02068, algorithm 1. Differentiable."""
    ordered = free.sort(descending=True).values
    sums = ordered.cumsum(0)
    counts = torch.arange(1, len(free) + 1, dtype=free.dtype)
    support = int((1 + counts * ordered > sums).sum())
    return (free - (sums[support - 1] - 1) / support).clamp(min=0)


def fit_weights(pairs: Pairs, config: WeightConfig, seed: int, progress: bool = False) -> Tensor:
    """Weights (labels,) float64, not negative, of sum 1. What is minimised is not convex, so this is a
    minimum, perhaps not the lowest; sparsemax weights are never worse than the best single label."""
    count, sparse = len(pairs.energy), config.method == "sparsemax"
    if config.start == "released":
        noise = torch.randn(count, generator=generator(seed, "pretext", "weights"), dtype=torch.float64)
        return _descend(pairs, config, 1 + 0.05 * noise if sparse else noise, 1.0, progress)[0]
    single = torch.tensor([pairs.utility(one)[0] for one in torch.eye(count)], dtype=torch.float64)
    scale = max(float(single.abs().max()), 1e-12)
    leaning = torch.zeros(count, dtype=torch.float64)
    leaning[single.argmin()] = 0.5 if sparse else 3.0
    found = [_descend(pairs, config, start, scale, progress) for start in (torch.zeros_like(leaning), leaning)]
    if sparse:
        alone = torch.nn.functional.one_hot(single.argmin(), count).double()
        found.append((alone, float(single.min()) / scale + config.spread))
    return min(found, key=lambda one: one[1])[0]


def _descend(pairs: Pairs, config: WeightConfig, start: Tensor, scale: float, progress: bool) -> tuple[Tensor, float]:
    """Weights and what they reach."""
    free = start.clone().requires_grad_(True)
    released = config.start == "released"
    optimizer = torch.optim.SGD([free], lr=config.lr or (0.01 if released else 0.1), momentum=config.momentum)
    best, lowest = start, float("inf")
    for _ in tqdm(range(config.steps), desc="weights", unit="step", leave=False, disable=not progress):
        weights = sparsemax(free) if config.method == "sparsemax" else free.softmax(dim=0)
        point = weights.detach()
        value, gradient = pairs.utility(point)
        loss = value / scale + config.spread * float(point.norm())
        if loss < lowest or released:
            best, lowest = point, loss
        optimizer.zero_grad()
        torch.autograd.backward(weights, gradient / scale + config.spread * point / point.norm())
        optimizer.step()
    return best, lowest
