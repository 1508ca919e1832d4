"""What the Gram matrix of task gradients says of them, for the log."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["conflicts", "cosines"]


def cosines(gram: Tensor) -> Tensor:
    """(tasks, tasks) cosines of gradients from their inner products; 0 with a gradient of 0, and on the diagonal."""
    norms = gram.diagonal().clamp(min=0).sqrt()
    scale = torch.outer(norms, norms)
    return torch.where(scale > 0, gram / scale, torch.zeros_like(gram)).fill_diagonal_(0)


def conflicts(gram: Tensor) -> tuple[list[float], list[float], float]:
    """Norms and conflicts of gradients.

    :param gram: (tasks, tasks) inner products.
    :returns: each task's norm; each one's mean cosine with the others (0 for a single task); and the share of pairs
        whose cosine is negative.
    """
    tasks = len(gram)
    found = cosines(gram)
    means = found.sum(dim=1) / max(1, tasks - 1)
    pairs = max(1, tasks * (tasks - 1))
    return gram.diagonal().clamp(min=0).sqrt().tolist(), means.tolist(), float((found < 0).sum()) / pairs
