"""Waveform worker: decode the clean chunk's samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.config import build
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.targets import HOP
from s3prl_plugins.pretrain.workers.contract import Views, Worker, check_sizes

__all__ = ["Waveform", "WaveformConfig", "build_waveform"]

_KERNEL = 30
_STRIDES = {160: (4, 4, 10), 320: (4, 8, 10)}
"""Samples from frame to frame -> strides whose product they are."""


@dataclass(frozen=True)
class WaveformConfig:
    """Options; defaults are those of PASE's released code."""

    channels: tuple[int, int, int] = (512, 256, 128)
    """Of the three transposed convolutions."""
    hidden: int = 64
    """Units per sample between them and the sample."""

    def __post_init__(self) -> None:
        for count in self.channels:
            if count < 1:
                raise ConfigError(f"channels must be at least 1 each, found {list(self.channels)}")
        check_sizes(hidden=self.hidden)


class Waveform(Worker):
    """Transposed convolutions from frames to samples, and L1 (PASE, arXiv 1904.03416, section 3.2).

    :param hop: samples from frame to frame, PASE's 160 or 320.
    """

    def __init__(self, dim: int, config: WaveformConfig, hop: int = HOP) -> None:
        super().__init__()
        if hop not in _STRIDES:
            raise ConfigError(f"frames must be {' or '.join(map(str, _STRIDES))} samples apart, found {hop}")
        layers: list[nn.Module] = []
        for stride, channels in zip(_STRIDES[hop], config.channels):
            # This padding makes the output exactly `stride` times as long.
            layers.append(nn.ConvTranspose1d(dim, channels, _KERNEL, stride, (_KERNEL - stride) // 2))
            layers.append(nn.PReLU(channels))
            dim = channels
        layers += [nn.Conv1d(dim, config.hidden, 1), nn.PReLU(config.hidden), nn.Conv1d(config.hidden, 1, 1)]
        self.decoder = nn.Sequential(*layers)

    def decode(self, embedding: Tensor) -> Tensor:
        """(crops, frames, dim) -> (crops, hop * frames)."""
        samples: Tensor = self.decoder(embedding.transpose(1, 2))
        return samples.squeeze(1)

    def forward(self, views: Views, random: torch.Generator) -> Tensor:
        return F.l1_loss(self.decode(views.chunk).float(), views.clean)


def build_waveform(dim: int, options: Mapping[str, Any]) -> Waveform:
    return Waveform(dim, build(WaveformConfig, options, "worker_options.waveform"))
