"""LIM and GIM: do two stretches of speech belong together, frame by frame or as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.config import build
from s3prl_plugins.pretrain.workers.contract import Views, Worker
from s3prl_plugins.pretrain.workers.pairs import PairConfig, PairLoss

__all__ = ["GlobalInfoMax", "GlobalInfoMaxConfig", "LocalInfoMax", "build_gim", "build_lim"]


@dataclass(frozen=True)
class GlobalInfoMaxConfig(PairConfig):
    """Options."""

    augment: bool = False
    """Both orders of each pair (PASE+)."""


class LocalInfoMax(Worker):
    """LIM: frame n of the chunk goes with frame n of the context, not of the other utterance (Ravanelli and Bengio,
    arXiv 1812.00271; PASE, section 3.2)."""

    pairs = True

    def __init__(self, dim: int, config: PairConfig) -> None:
        super().__init__()
        self.network = PairLoss(2 * dim, config.hidden)

    def forward(self, views: Views, random: torch.Generator) -> Tensor:
        true = torch.cat([views.chunk, views.context], -1)
        false = torch.cat([views.chunk, views.other], -1)
        return self.network.loss(true, false)


class GlobalInfoMax(Worker):
    """GIM: as LIM for the means over time of the stretches (Hjelm et al., arXiv 1808.06670; PASE, section 3.2).

    The second order of false pairs is that of the released code: the context with the other utterance.
    """

    pairs = True

    def __init__(self, dim: int, config: GlobalInfoMaxConfig) -> None:
        super().__init__()
        self.augment = config.augment
        self.network = PairLoss(2 * dim, config.hidden)

    def forward(self, views: Views, random: torch.Generator) -> Tensor:
        chunk, context, other = (view.mean(1) for view in (views.chunk, views.context, views.other))
        true, false = [torch.cat([chunk, context], -1)], [torch.cat([chunk, other], -1)]
        if self.augment:
            true.append(torch.cat([context, chunk], -1))
            false.append(torch.cat([context, other], -1))
        return self.network.loss(torch.cat(true), torch.cat(false))


def build_lim(dim: int, options: Mapping[str, Any]) -> LocalInfoMax:
    return LocalInfoMax(dim, build(PairConfig, options, "worker_options.lim"))


def build_gim(dim: int, options: Mapping[str, Any]) -> GlobalInfoMax:
    return GlobalInfoMax(dim, build(GlobalInfoMaxConfig, options, "worker_options.gim"))
