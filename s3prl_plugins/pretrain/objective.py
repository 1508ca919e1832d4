"""What the pretraining trainer asks of a model: named losses on a batch of crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from s3prl_plugins.pretrain.speech import Crop

__all__ = ["Batch", "Losses", "Objective"]


@dataclass(frozen=True)
class Batch:
    """Equally long crops."""

    waves: Tensor
    """(crops, samples)."""
    crops: Sequence[Crop]
    """Where they come from, for objectives that keep targets per utterance."""

    def to(self, device: torch.device) -> Batch:
        return Batch(self.waves.to(device), self.crops)


@dataclass(frozen=True)
class Losses:
    """What one forward pass gives."""

    terms: dict[str, Tensor]
    """Name -> mean loss (scalar); the trainer weighs and adds them."""
    shown: dict[str, float] = field(default_factory=dict)
    """Other numbers worth logging."""


class Objective(Protocol):
    """A module with everything that is trained: the encoder and what its losses need."""

    def __call__(self, batch: Batch, random: torch.Generator) -> Losses:
        """Losses of a batch; everything random beside dropout is drawn from `random` (a CPU generator)."""
        ...
