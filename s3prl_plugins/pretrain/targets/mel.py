"""Log mel filterbank (FBANK) and mel cepstrum (MFCC)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import create_dct, melscale_fbanks

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.targets.spectrum import SpectralTarget, decibels

__all__ = ["LogMel", "MelCepstrum", "mel_filters"]


def mel_filters(bins: int, filters: int, low: float, high: float, device: torch.device) -> Tensor:
    """Triangles of height 1 on the mel scale of HTK, (bins, filters)."""
    triangles: Tensor = melscale_fbanks(bins, low, high, filters, SAMPLE_RATE)
    return triangles.to(device)


@dataclass(frozen=True, kw_only=True)
class LogMel(SpectralTarget):
    """Power in mel bands in dB, 0 to 8 kHz (PASE+, arXiv 2001.09239: 40 bands; windows of 400 and 1024 samples).

    The released code has a rectangular window and a pre-emphasis, which shifts each band by a constant.
    """

    filters: int = 40
    """Mel bands."""

    @property
    def channels(self) -> int:
        return self.filters

    def measure(self, waves: Tensor) -> Tensor:
        filters = mel_filters(self.bins, self.filters, 0.0, SAMPLE_RATE / 2, waves.device)
        return decibels(self.power(waves) @ filters)


@dataclass(frozen=True, kw_only=True)
class MelCepstrum(LogMel):
    """First coefficients of the orthonormal cosine transform of `LogMel` (PASE: 20; PASE+: 13, and 20 of 2048 samples).

    The released code takes librosa's 128 bands, of which many are empty at these windows.
    """

    coefficients: int = 20
    """Cepstral coefficients from the zeroth on, at most `filters`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.coefficients <= self.filters:
            raise ConfigError(f"coefficients must be 1 to filters = {self.filters}, found {self.coefficients}")

    @property
    def channels(self) -> int:
        return self.coefficients

    def measure(self, waves: Tensor) -> Tensor:
        transform: Tensor = create_dct(self.coefficients, self.filters, "ortho").to(waves.device)
        return super().measure(waves) @ transform
