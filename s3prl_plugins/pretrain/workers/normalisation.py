"""Mean and standard deviation of a target, measured once before training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Normalisation"]

_CONSTANT = 1e-6
"""Standard deviation, relative to the mean, below which a dimension is only centred."""


class Normalisation(nn.Module):
    """(values - mean) / std of each dimension, over all frames that `take` was given.

    Buffers, so that they are saved with the model. PASE's released code has another estimator: its "std" is the spread,
    over utterances, of the standard deviation within an utterance.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(dim, dtype=torch.float64))

    def take(self, values: Tensor) -> None:
        """Add values (..., dim) to the sample (Chan, Golub and LeVeque 1979)."""
        rows = values.flatten(0, -2).double()
        mean = rows.mean(0)
        count = self.count + len(rows)
        apart = mean - self.mean
        self.squares += (rows - mean).square().sum(0) + apart.square() * (self.count * len(rows) / count)
        self.mean += apart * (len(rows) / count)
        self.count.copy_(count)

    def forward(self, values: Tensor) -> Tensor:
        """Without a sample, the values as they are."""
        if self.count == 0:
            return values
        std = (self.squares / self.count).sqrt()
        std = torch.where(std > _CONSTANT * (1 + self.mean.abs()), std, 1.0)
        return (values - self.mean.to(values.dtype)) / std.to(values.dtype)
