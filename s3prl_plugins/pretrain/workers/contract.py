"""What a worker sees and gives, and the small network that most of them are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError

__all__ = ["Builder", "Mlp", "Views", "Worker", "check_sizes"]


@dataclass(frozen=True)
class Views:
    """One batch of equally long crops."""

    clean: Tensor
    """(crops, samples): the chunk before distortions."""
    chunk: Tensor
    """(crops, frames, dim): embedding of the distorted chunk."""
    context: Tensor
    """(crops, frames, dim): embedding of another stretch of the same utterance; empty where no worker `pairs`."""
    other: Tensor
    """(crops, frames, dim): embedding of a stretch of another utterance; empty as `context`."""


class Worker(nn.Module, ABC):
    """Solves one task on the encoder's output; its loss trains both (PASE, arXiv 1904.03416, section 3.2)."""

    least: int = 1
    """Frames a chunk must have."""
    pairs: bool = False
    """Whether it looks at `context` and `other`."""

    @abstractmethod
    def forward(self, views: Views, random: torch.Generator) -> Tensor:
        """Mean loss, a float32 scalar; `random` (a CPU generator) is this worker's alone."""


Builder = Callable[[int, Mapping[str, Any]], Worker]
"""(dim of the embedding, options of the configuration) -> worker; `ConfigError` for a wrong option."""


class Mlp(nn.Module):
    """Linear, PReLU with a slope per unit, linear, on the last axis: PASE's 1x1 convolutions."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.activation = nn.PReLU(hidden)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, values: Tensor) -> Tensor:
        hidden = self.first(values).flatten(0, -2)
        given: Tensor = self.last(self.activation(hidden))
        return given.reshape(*values.shape[:-1], -1)


def check_sizes(**sizes: int) -> None:
    """:raises ConfigError: one of them is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name} must be at least 1, found {size}")
