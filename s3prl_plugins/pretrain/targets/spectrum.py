"""Log power spectrum (LPS), and the short-time power spectrum under it and other targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.targets.frames import Target, cut

__all__ = ["FLOOR", "LogPowerSpectrum", "SpectralTarget", "bin_frequencies", "decibels"]

FLOOR = 1e-10
"""Added to powers before the logarithm: -100 dB of a full-scale square wave, about the rounding noise of 16-bit audio."""


@dataclass(frozen=True, kw_only=True)
class SpectralTarget(Target):
    """A target measured on the power spectrum of each frame."""

    window: int = 400
    """Samples of the Hann window: 400 is 25 ms."""
    n_fft: int = 512
    """Length of the Fourier transform in samples, at least `window`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.window <= self.n_fft:
            raise ConfigError(f"window must be 2 to n_fft = {self.n_fft} samples, found {self.window}")

    @property
    def bins(self) -> int:
        """Frequencies of the spectrum, from 0 to 8 kHz."""
        return self.n_fft // 2 + 1

    def power(self, waves: Tensor) -> Tensor:
        """Power spectrum, (batch, samples) -> (batch, frames, bins).

        Divided by the energy of the window, so that white noise has its variance in every bin, whatever the window.
        """
        hann = torch.hann_window(self.window, periodic=False, device=waves.device)
        spectrum = torch.fft.rfft(cut(waves, self.window, self.hop, self.centre) * hann, self.n_fft)
        power: Tensor = (spectrum.real.square() + spectrum.imag.square()) / hann.square().sum()
        return power


@dataclass(frozen=True, kw_only=True)
class LogPowerSpectrum(SpectralTarget):
    """Log power spectrum in dB (PASE, arXiv 1904.03416, section 3.2; windows of 400, in PASE+ also 512 samples).

    The released code has a rectangular window and a floor of 1e-19, which puts digital silence 90 dB lower.
    """

    n_fft: int = 2048

    @property
    def channels(self) -> int:
        return self.bins

    def measure(self, waves: Tensor) -> Tensor:
        return decibels(self.power(waves))


def decibels(power: Tensor) -> Tensor:
    """Power in dB, never below -100."""
    return 10 * torch.log10(power + FLOOR)


def bin_frequencies(bins: int, device: torch.device) -> Tensor:
    """Hz of the bins of a power spectrum, (bins,)."""
    return torch.linspace(0, SAMPLE_RATE / 2, bins, device=device)
