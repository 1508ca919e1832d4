"""Speech of a lower sample rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.signals import convolve, keep_energy

__all__ = ["Downsampling"]

_TAPS = 255
_SLOPE = 125.0
"""Half the Hz over which a filter of so many taps falls."""


@dataclass(frozen=True, kw_only=True)
class Downsampling(Distortion):
    """What a lower sample rate leaves: a low-pass filter, nothing is resampled, as in the released code.

    Energy and delay stay.
    """

    probability: float = 0.25
    rate: int = 8000
    """Hz; frequencies from half of it on are taken out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1000 <= self.rate < SAMPLE_RATE:
            raise ConfigError(f"rate must be from 1000 to below {SAMPLE_RATE} Hz, found {self.rate}")

    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        from scipy.signal import firwin

        taps = firwin(_TAPS, self.rate / 2 - _SLOPE, fs=SAMPLE_RATE)
        return keep_energy(convolve(wave, torch.from_numpy(taps), _TAPS // 2), wave)
