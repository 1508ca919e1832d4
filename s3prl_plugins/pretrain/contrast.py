"""Contrast of two views of each item against the other items of the batch: NT-Xent (SimCLR, arXiv 2002.05709, equation 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["info_nce", "pair_accuracy"]


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy, in nats, of finding each row's partner among the 2 * batch - 1 other rows.

    log(2 * batch - 1) where rows cannot be told apart; 0 for a batch of one, which has nothing to tell apart.
    Computed in float32.

    :param first: (batch, dim); row i of both are views of one item. They are brought to length 1.
    :param second: (batch, dim).
    :param temperature: cosines are divided by it.
    :return: scalar.
    """
    cosines, partners = _cosines(first, second)
    return F.cross_entropy(cosines / temperature, partners)


def pair_accuracy(first: Tensor, second: Tensor) -> float:
    """Share of the 2 * batch rows whose nearest other row, by cosine, is its partner."""
    with torch.no_grad():
        cosines, partners = _cosines(first, second)
        return float((cosines.argmax(1) == partners).float().mean())


def _cosines(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """(2 * batch, 2 * batch) with -inf for a row and itself; (2 * batch,) the index of each row's partner."""
    rows = len(first)
    with torch.autocast(first.device.type, enabled=False):
        views = F.normalize(torch.cat([first, second]).float(), dim=-1)
        cosines = (views @ views.T).fill_diagonal_(-torch.inf)
    return cosines, torch.arange(2 * rows, device=first.device).roll(rows)
