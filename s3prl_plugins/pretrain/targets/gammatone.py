"""Log power in gammatone bands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.targets.spectrum import SpectralTarget, bin_frequencies, decibels

__all__ = ["Gammatone", "erb_spaced", "gammatone_filters"]

_EAR_Q, _MIN_BANDWIDTH = 9.26449, 24.7
"""Glasberg and Moore (1990): the ear's bandwidth at f Hz is f / 9.26449 + 24.7 Hz."""
_ORDER, _BANDWIDTH = 4, 1.019
"""Filter order, and its bandwidth over the ear's."""


def erb_spaced(low: float, filters: int, device: torch.device) -> Tensor:
    """Centre frequencies from `low` Hz up, evenly spaced on the ear's scale, the next one being 8 kHz: (filters,)."""
    shift = _EAR_Q * _MIN_BANDWIDTH
    ends = torch.log(torch.tensor([low + shift, SAMPLE_RATE / 2 + shift], dtype=torch.float64))
    steps = torch.linspace(0, 1, filters + 1, dtype=torch.float64)[:-1]
    return (torch.exp(ends[0] + steps * (ends[1] - ends[0])) - shift).float().to(device)


def gammatone_filters(bins: int, centres: Tensor) -> Tensor:
    """Power response (1 + ((f - centre) / b)^2)^-4 of fourth-order gammatone filters, (bins, filters)."""
    bandwidth = _BANDWIDTH * (centres / _EAR_Q + _MIN_BANDWIDTH)
    distance = (bin_frequencies(bins, centres.device).unsqueeze(1) - centres) / bandwidth
    return (1 + distance.square()) ** -_ORDER


@dataclass(frozen=True, kw_only=True)
class Gammatone(SpectralTarget):
    """Power in gammatone bands in dB (PASE+, arXiv 2001.09239: 40 bands from 500 Hz; windows of 400 and 2048 samples).

    The filters weigh the power spectrum; the released code weighs its square root, the magnitudes.
    """

    filters: int = 40
    """Bands."""
    low: float = 500.0
    """Centre of the lowest band, Hz."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.low < SAMPLE_RATE / 2:
            raise ConfigError(f"low must be above 0 and below {SAMPLE_RATE // 2} Hz, found {self.low}")

    @property
    def channels(self) -> int:
        return self.filters

    def measure(self, waves: Tensor) -> Tensor:
        filters = gammatone_filters(self.bins, erb_spaced(self.low, self.filters, waves.device))
        return decibels(self.power(waves) @ filters)
