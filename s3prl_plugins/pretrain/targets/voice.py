"""Targets about the voice: fundamental frequency, voicing, harmonics-to-noise ratio, and PASE's prosody."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.targets.energy import LogEnergy, ZeroCrossingRate
from s3prl_plugins.pretrain.targets.frames import Target
from s3prl_plugins.pretrain.targets.pitch import Pitch, track

__all__ = ["F0", "LogHnr", "Prosody", "Voicing", "fill_unvoiced"]


@dataclass(frozen=True, kw_only=True)
class _PitchTarget(Target):
    low: float = 60.0
    """Lowest fundamental frequency, Hz."""
    high: float = 500.0
    """Highest fundamental frequency, Hz."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 20 <= self.low < self.high <= SAMPLE_RATE / 8:
            raise ConfigError(
                f"low and high must be 20 <= low < high <= {SAMPLE_RATE // 8} Hz, found {self.low}, {self.high}"
            )

    @property
    def channels(self) -> int:
        return 1

    def pitch(self, waves: Tensor) -> Pitch:
        return track(waves, self.low, self.high, self.hop, self.centre)


@dataclass(frozen=True, kw_only=True)
class F0(_PitchTarget):
    """Fundamental frequency in Hz, 0 where unvoiced (arXiv 2104.07388, table 1)."""

    def measure(self, waves: Tensor) -> Tensor:
        return self.pitch(waves).hertz.unsqueeze(-1)


@dataclass(frozen=True, kw_only=True)
class Voicing(_PitchTarget):
    """How periodic a frame is, 0 to 1: the height of the autocorrelation at the pitch (arXiv 2104.07388, table 1)."""

    def measure(self, waves: Tensor) -> Tensor:
        return self.pitch(waves).periodicity.unsqueeze(-1)


@dataclass(frozen=True, kw_only=True)
class LogHnr(_PitchTarget):
    """Harmonics-to-noise ratio in dB, -20 to 40: 10 log10(r / (1 - r)) for the height r of the autocorrelation at the
    pitch (Boersma 1993, equation 4; arXiv 2104.07388, table 1)."""

    def measure(self, waves: Tensor) -> Tensor:
        ratio = torch.logit(self.pitch(waves).periodicity.double(), 1e-6) * (10 / math.log(10))
        return ratio.clamp(-20, 40).float().unsqueeze(-1)


@dataclass(frozen=True, kw_only=True)
class Prosody(_PitchTarget):
    """PASE's prosody (arXiv 1904.03416, section 3.2): natural logarithm of the fundamental frequency, interpolated where
    unvoiced; voicing (0 to 1); zero-crossing rate (0 to 1); energy in dB.

    The released code finds pitch with SWIPE up to 300 Hz, has a binary voicing and a linear energy.
    """

    window: int = 320
    """Samples for zero-crossing rate and energy."""

    @property
    def channels(self) -> int:
        return 4

    def measure(self, waves: Tensor) -> Tensor:
        pitch = self.pitch(waves)
        crossings = ZeroCrossingRate(hop=self.hop, centre=self.centre, window=self.window).measure(waves)
        energy = LogEnergy(hop=self.hop, centre=self.centre, window=self.window).measure(waves)
        contour = fill_unvoiced(pitch.hertz.clamp(min=self.low).log(), pitch.hertz > 0)
        return torch.cat([contour.unsqueeze(-1), pitch.periodicity.unsqueeze(-1), crossings, energy], -1)


def fill_unvoiced(values: Tensor, voiced: Tensor) -> Tensor:
    """Interpolate linearly between voiced frames and hold the first and last; rows without voice stay as they are.

    :param values: (batch, frames).
    :param voiced: (batch, frames), bool.
    """
    frames = values.shape[1]
    places = torch.arange(frames, device=values.device).expand_as(values)
    before = torch.where(voiced, places, -1).cummax(1).values
    after = torch.where(voiced, places, frames).flip(1).cummin(1).values.flip(1)
    left = torch.where(before < 0, after, before).clamp(max=frames - 1)
    right = torch.where(after == frames, left, after)
    share = (places - left).to(values.dtype) / (right - left).clamp(min=1)
    filled = torch.lerp(values.gather(1, left), values.gather(1, right), share)
    return torch.where(voiced.any(1, keepdim=True), filled, values)
