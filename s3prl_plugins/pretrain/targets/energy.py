"""Loudness and noisiness of the samples themselves: RMS energy and zero-crossing rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.targets.frames import Target, cut
from s3prl_plugins.pretrain.targets.spectrum import decibels

__all__ = ["LogEnergy", "RmsEnergy", "ZeroCrossingRate"]


@dataclass(frozen=True, kw_only=True)
class _WindowTarget(Target):
    window: int = 400
    """Samples of the rectangular window: 400 is 25 ms."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 2:
            raise ConfigError(f"window must be at least 2 samples, found {self.window}")

    @property
    def channels(self) -> int:
        return 1

    def frames(self, waves: Tensor) -> Tensor:
        return cut(waves, self.window, self.hop, self.centre)


@dataclass(frozen=True, kw_only=True)
class RmsEnergy(_WindowTarget):
    """Root of the mean square of the samples (arXiv 2104.07388, table 1)."""

    def measure(self, waves: Tensor) -> Tensor:
        return self.frames(waves).square().mean(-1, keepdim=True).sqrt()


@dataclass(frozen=True, kw_only=True)
class LogEnergy(_WindowTarget):
    """Mean square of the samples in dB, never below -100."""

    def measure(self, waves: Tensor) -> Tensor:
        return decibels(self.frames(waves).square().mean(-1, keepdim=True))


@dataclass(frozen=True, kw_only=True)
class ZeroCrossingRate(_WindowTarget):
    """Share of neighbouring samples of opposite sign, 0 to 1; zero counts as positive (arXiv 2104.07388, table 1)."""

    def measure(self, waves: Tensor) -> Tensor:
        negative = torch.signbit(self.frames(waves + 0.0))
        return (negative[..., 1:] != negative[..., :-1]).float().mean(-1, keepdim=True)
