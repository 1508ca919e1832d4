"""RASTA: how much the auditory spectrum is in motion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.functional import lfilter

from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.targets.mel import mel_filters
from s3prl_plugins.pretrain.targets.spectrum import FLOOR, SpectralTarget

__all__ = ["RastaNorm", "equal_loudness", "mel_centres", "rasta"]

_SLOPE = (0.2, 0.1, 0.0, -0.1, -0.2)
_POLE = 0.98
_LEAD = 2
"""Frames by which the slope's five taps lag behind their middle."""


def rasta(log_bands: Tensor) -> Tensor:
    """RASTA filter 0.1 (2 + z^-1 - z^-3 - 2 z^-4) / (1 - 0.98 z^-1) along time (Hermansky and Morgan 1994, equation 1).

    What never changes in a band (a microphone, a room) becomes 0. Before its first frame a band is taken as constant,
    so that there is no transient; the delay of the numerator is taken back.

    :param log_bands: (batch, bands, frames) at 100 frames per second.
    :return: of the same shape.
    """
    moved = log_bands - log_bands[..., :1]
    slope = torch.tensor(_SLOPE, device=moved.device)
    pole = torch.tensor([1.0, -_POLE, 0.0, 0.0, 0.0], device=moved.device)
    filtered: Tensor = lfilter(pad(moved, (0, _LEAD), mode="replicate"), pole, slope, clamp=False)
    return filtered[..., _LEAD:]


def equal_loudness(hertz: Tensor) -> Tensor:
    """Power the ear hears of a given power at about 40 dB (perceptual linear prediction, Hermansky 1990, equation 6)."""
    square = hertz.square()
    return (square / (square + 1.6e5)).square() * (square + 1.44e6) / (square + 9.61e6)


def mel_centres(filters: int, low: float, high: float, device: torch.device) -> Tensor:
    """Hz of the peaks of `mel_filters`, (filters,)."""
    ends = 2595 * torch.log10(1 + torch.tensor([low, high]) / 700)
    mels = torch.linspace(float(ends[0]), float(ends[1]), filters + 2)[1:-1]
    return (700 * (10 ** (mels / 2595) - 1)).to(device)


@dataclass(frozen=True, kw_only=True)
class RastaNorm(SpectralTarget):
    """L1 norm of the RASTA-filtered auditory spectrum (arXiv 2104.07388, table 1: openSMILE's audSpecRasta_lengthL1norm).

    Mel bands from 20 Hz to 8 kHz; logarithm, RASTA, exponential; weighted for equal loudness; cube root; sum over bands.
    Without motion it is the same for every spectrum. The filter is made for the hop of 10 ms and remembers half a second:
    a crop's first frames are not those of the whole utterance.
    """

    filters: int = 26
    """Mel bands."""

    @property
    def channels(self) -> int:
        return 1

    def measure(self, waves: Tensor) -> Tensor:
        ends = 20.0, SAMPLE_RATE / 2
        bands = self.power(waves) @ mel_filters(self.bins, self.filters, *ends, waves.device)
        motion = rasta(torch.log(bands + FLOOR).transpose(1, 2)).transpose(1, 2)
        loudness = equal_loudness(mel_centres(self.filters, *ends, waves.device))
        return (motion.exp() * loudness).pow(1 / 3).sum(-1, keepdim=True)
