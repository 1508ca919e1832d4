"""What a scale sees and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Measured", "Scale", "ScaleViews"]


@dataclass(frozen=True)
class ScaleViews:
    """Two stretches of each utterance, and what the encoder makes of them."""

    clean: Tensor
    """(crops, samples): the first stretch."""
    local: Tensor
    """(crops, frames, dim): h of the first stretch, the convolutions' output; nothing is masked."""
    mask: Tensor
    """(crops, frames), True where the transformer did not see h."""
    context: Tensor
    """(crops, frames, dim): c of the first stretch, the transformer's output on masked h; empty where no scale is
    `contextual`."""
    other: Tensor
    """(crops, samples): the second stretch."""
    other_context: Tensor
    """c of the second stretch; empty where no scale `pairs`."""


class Measured(NamedTuple):
    """What a scale gives."""

    loss: Tensor
    """Float32 scalar."""
    shown: dict[str, float]
    """Other numbers worth logging."""


class Scale(nn.Module, ABC):
    """One time scale: a loss that trains the encoder, and what only this loss needs."""

    contextual: bool = False
    """Whether it looks at `context`."""
    pairs: bool = False
    """Whether it looks at `other_context`; such a scale is `contextual`, too."""

    @abstractmethod
    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        """`random` (a CPU generator) is this scale's alone."""
