"""Contrast within a list: each prediction must pick its own target among others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["draw_rivals", "pick_own"]


def pick_own(
    predicted: Tensor, targets: Tensor, temperature: float, rivals: Tensor | None = None
) -> tuple[Tensor, float]:
    """InfoNCE (arXiv 1807.03748, equation 4) with cosines over temperature, computed in float32.

    log(1 + rivals), in nats, where targets cannot be told apart.

    :param predicted: (..., items, dim).
    :param targets: (..., items, dim); item i's own is number i.
    :param rivals: (..., items, items), True where item i's own target is to be told from target j; without it from all.
    :return: mean loss; share of items whose own target is nearest, a tie counted as none.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        cosines = F.normalize(predicted.float(), dim=-1) @ F.normalize(targets.float(), dim=-1).transpose(-1, -2)
    own = cosines.diagonal(dim1=-2, dim2=-1)
    left_out = torch.eye(cosines.shape[-1], dtype=torch.bool, device=cosines.device)
    if rivals is not None:
        left_out = left_out | ~rivals
    others = cosines.masked_fill(left_out, -torch.inf)
    scores = torch.cat([own.unsqueeze(-1), others], -1).flatten(0, -2) / temperature
    loss = F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))
    return loss, float((own > others.amax(-1)).float().mean())


def draw_rivals(rows: int, items: int, count: int, random: torch.Generator) -> Tensor | None:
    """For each item of each row, `count` other items of its row, each as likely; None: all of them, where there are no more.

    :return: (rows, items, items), bool, on the CPU.
    """
    if items - 1 <= count:
        return None
    draws = torch.rand(rows, items, items, generator=random)
    draws.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
    chosen = torch.zeros(rows, items, items, dtype=torch.bool)
    return chosen.scatter_(-1, draws.topk(count, -1).indices, True)
