"""What all frame-level targets share: which samples a frame is about, differences, neighbouring frames."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.functional import compute_deltas

from s3prl_plugins.errors import ConfigError

__all__ = ["CENTRE", "HOP", "Target", "cut", "frame_count"]

HOP = 160
"""Samples at 16 kHz from one frame of PASE's encoder to the next."""
CENTRE = 150.5
"""Sample (from 0) in the middle of what PASE's encoder sees for frame 0.

Its eight convolutions pad k // 2 - 1 samples on the left where they stride, so each moves the middle: the one of kernel
20 by half a sample, the strided ones of kernel 11 by one step of their input, 10 + 20 + 40 + 80 samples. The released
code centres its targets on sample 0 instead, 9 ms earlier.
"""
_DELTA_FRAMES = 9


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """Numbers that describe each frame of a waveform; what a regression worker learns to predict.

    A subclass measures `channels` numbers a frame. Called with waves (batch, samples) at 16 kHz, of any floating type,
    it gives (batch, frames, dim) float32 on the waves' device, without gradients and outside autocast. Frame n is about
    the samples around hop * n + centre; beyond its ends a wave is mirrored, as the encoder does it.

    :raises ValueError: waves of another shape or type, or too short for one frame.
    """

    hop: int = HOP
    """Samples from one frame to the next."""
    centre: float = CENTRE
    """Middle of frame 0, in samples: a multiple of 0.5."""
    deltas: int = 0
    """How many orders of differences over 9 frames are appended. Those of second order are differences of
    differences (PASE's librosa fits a parabola)."""
    context: int = 1
    """Neighbouring frames given with each frame, its own in the middle; an odd number. Zeros stand beyond the ends.
    The values of one channel stand together (PASE+, arXiv 2001.09239: 7)."""

    def __post_init__(self) -> None:
        if self.hop < 1:
            raise ConfigError(f"hop must be at least 1 sample, found {self.hop}")
        if self.centre < 0 or (2 * self.centre) % 1:
            raise ConfigError(f"centre must be a multiple of 0.5 that is not negative, found {self.centre}")
        if self.deltas < 0:
            raise ConfigError(f"deltas must not be negative, found {self.deltas}")
        if self.context < 1 or self.context % 2 == 0:
            raise ConfigError(f"context must be an odd number of frames, found {self.context}")

    @property
    @abstractmethod
    def channels(self) -> int:
        """Numbers measured per frame."""

    @abstractmethod
    def measure(self, waves: Tensor) -> Tensor:
        """(batch, samples) float32 -> (batch, frames, channels)."""

    @property
    def dim(self) -> int:
        """Numbers per frame with differences and context."""
        return self.channels * (1 + self.deltas) * self.context

    def __call__(self, waves: Tensor) -> Tensor:
        if waves.ndim != 2 or not waves.is_floating_point():
            raise ValueError(f"waves must be floating (batch, samples), found {waves.dtype} {tuple(waves.shape)}")
        if frame_count(waves.shape[1], self.hop, self.centre) < 1:
            raise ValueError(f"waves must have over {self.centre} samples, one frame, found {waves.shape[1]}; pad them")
        with torch.no_grad(), torch.autocast(waves.device.type, enabled=False):
            parts = [self.measure(waves.float()).transpose(1, 2)]
            for _ in range(self.deltas):
                parts.append(compute_deltas(parts[-1], _DELTA_FRAMES))
            values = torch.cat(parts, 1)
            side = self.context // 2
            return pad(values, (side, side)).unfold(2, self.context, 1).transpose(1, 2).flatten(2)


def frame_count(samples: int, hop: int = HOP, centre: float = CENTRE) -> int:
    """Frames whose middle lies in a wave of so many samples: with the defaults, as many as PASE's encoder gives."""
    return max(0, math.floor((samples - 0.5 - centre) / hop) + 1)


def cut(waves: Tensor, window: int, hop: int, centre: float) -> Tensor:
    """(batch, samples) -> (batch, frames, window): the samples around the middle of each frame.

    Where the middle of the window falls between two samples while `centre` does not (or the other way round), the window
    begins half a sample late.
    """
    samples = waves.shape[1]
    first = math.ceil(centre - (window - 1) / 2)
    last = first + (frame_count(samples, hop, centre) - 1) * hop + window
    places = torch.arange(first, last, device=waves.device).remainder(max(1, 2 * (samples - 1)))
    mirrored = torch.minimum(places, 2 * (samples - 1) - places)
    return waves[:, mirrored].unfold(1, window, hop)
