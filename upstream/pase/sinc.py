"""SincNet's convolution (arXiv 1808.00158): band-pass filters of which only the two edges are learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from s3prl_plugins.upstream.pase.padding import mirrored

__all__ = ["SincConv"]

_RATE = 16000
_LEAST = 50.0


class SincConv(nn.Module):
    """Filters of odd length `kernel`, one sample from output to output, the ends mirrored.

    Each is the difference of two ideal low-pass filters under a Hamming window, scaled by its band width. They start as
    neighbouring bands, 80 Hz to 8 kHz on the mel scale. As in PASE's released code no filter starts below 50 Hz, none is
    narrower than 50 Hz, and the window is a Hamming window but for the third digit: half of it is spread over kernel / 2 - 1
    samples.

    :param filters: their number.
    :param kernel: taps, odd.
    """

    times: Tensor
    window: Tensor

    def __init__(self, filters: int, kernel: int) -> None:
        super().__init__()
        ends = torch.tensor([30.0, _RATE / 2 - 2 * _LEAST], dtype=torch.float64)
        mel = 2595 * torch.log10(1 + ends / 700)
        points = torch.linspace(float(mel[0]), float(mel[1]), filters + 1, dtype=torch.float64)
        edges = 700 * (10 ** (points / 2595) - 1)
        self.low = nn.Parameter(edges[:-1].float())
        self.band = nn.Parameter(edges.diff().float())
        half = kernel // 2
        window = 0.54 - 0.46 * torch.cos(2 * math.pi * torch.linspace(0, kernel / 2 - 1, half) / kernel)
        self.register_buffer("times", 2 * math.pi * torch.arange(-half, 0) / _RATE, persistent=False)
        self.register_buffer("window", window, persistent=False)

    def edges(self) -> tuple[Tensor, Tensor]:
        """Lower and upper edge of each filter in Hz, (filters,) each."""
        low = _LEAST + self.low.abs()
        return low, (low + _LEAST + self.band.abs()).clamp(_LEAST, _RATE / 2)

    def taps(self) -> Tensor:
        """(filters, kernel), symmetric; the middle one is 1."""
        low, high = (edge[:, None] for edge in self.edges())
        left = (torch.sin(high * self.times) - torch.sin(low * self.times)) * self.window / (self.times * (high - low))
        return torch.cat([left, torch.ones_like(low), left.flip(1)], 1)

    def forward(self, waves: Tensor) -> Tensor:
        """(batch, 1, samples) -> (batch, filters, samples)."""
        half = len(self.window)
        return conv1d(mirrored(waves, half, half), self.taps()[:, None])
