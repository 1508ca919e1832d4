"""What the binary workers share: tell true pairs from false ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from s3prl_plugins.pretrain.workers.contract import Mlp, check_sizes

__all__ = ["PairConfig", "PairLoss"]


@dataclass(frozen=True)
class PairConfig:
    """Options."""

    hidden: int = 256
    """Units of the hidden layer (PASE: 256)."""

    def __post_init__(self) -> None:
        check_sizes(hidden=self.hidden)


class PairLoss(Mlp):
    """Binary cross-entropy in nats of pairs joined on the last axis; log 2 is guessing."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, 1)

    def loss(self, true: Tensor, false: Tensor) -> Tensor:
        """Mean over as many true pairs as false ones, (..., inputs) each."""
        scores = self(torch.stack([true, false])).float()
        wanted = torch.zeros_like(scores)
        wanted[0] = 1
        return F.binary_cross_entropy_with_logits(scores, wanted)
