"""Reverberation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.rooms import Room

__all__ = ["Reverberation"]


@dataclass(frozen=True, kw_only=True)
class Reverberation(Distortion):
    """The speaker in a room; energy and delay stay."""

    probability: float = 0.5
    room: Room = field(default_factory=Room)

    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        return self.room.reverberate(wave, random)
