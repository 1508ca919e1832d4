"""Clipping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.draws import draw_one

__all__ = ["Clipping"]


@dataclass(frozen=True, kw_only=True)
class Clipping(Distortion):
    """Samples beyond a share of the row's highest and of its lowest are set to it; energy falls."""

    probability: float = 0.2
    shares: tuple[float, ...] = (0.1, 0.3, 0.5)
    """One is drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ConfigError(f"shares must be numbers above 0, at most 1, found {list(self.shares)}")

    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        share = draw_one(self.shares, random)
        return wave.clamp(share * wave.min(), share * wave.max())
