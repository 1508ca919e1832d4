"""The Hilbert-Schmidt independence criterion of two kernels: 0 where the variables are independent.

Every estimator here is linear in the second kernel: HSIC(K, L) = sum over i, j of W_ij L_ij, where W depends on K alone.
So W is computed once and serves all labels and all their mixtures.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from s3prl_plugins.errors import UserError

__all__ = ["FEWEST", "Centring", "hsic", "pair_weights"]

Centring = Literal["textbook", "released", "unbiased"]
"""`textbook`: tr(KHLH) / n^2 with H = I - 11'/n (Gretton et al. 2005, up to n^2 for their (n-1)^2), never negative.
`released`: the same with H = I - 11'/n^2, as the selection papers' code has it: means are hardly removed.
`unbiased`: Song et al. 2012, equation 5: expectation 0 under independence at any n, so values may be negative."""

FEWEST = 4
"""Samples that every estimator needs."""


def pair_weights(kernel: Tensor, centring: Centring = "textbook") -> Tensor:
    """W (n, n) float64, symmetric, of a symmetric kernel K (n, n).

    :raises UserError: fewer than 4 samples.
    """
    kernel = kernel.double()
    n = len(kernel)
    if n < FEWEST:
        raise UserError(f"HSIC needs at least {FEWEST} samples of a class, found {n}; leave smaller classes out")
    if centring == "unbiased":
        off = kernel - torch.diag(kernel.diagonal())
        rows = off.sum(dim=1)
        weights = off + rows.sum() / ((n - 1) * (n - 2)) - (rows[:, None] + rows[None, :]) / (n - 2)
        return (weights - torch.diag(weights.diagonal())) / (n * (n - 3))
    share = 1 / n if centring == "textbook" else 1 / n**2
    rows = share * kernel.sum(dim=1)
    return (kernel - rows[:, None] - rows[None, :] + share * rows.sum()) / n**2


def hsic(kernel: Tensor, other: Tensor, centring: Centring = "textbook") -> float:
    """HSIC of two kernels (n, n) of the same n samples."""
    return float((pair_weights(kernel, centring) * other.double()).sum())
