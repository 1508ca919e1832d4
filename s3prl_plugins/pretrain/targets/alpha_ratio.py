"""Alpha ratio: how much stronger low frequencies are than high ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.pretrain.targets.spectrum import SpectralTarget, bin_frequencies, decibels

__all__ = ["AlphaRatio"]


@dataclass(frozen=True, kw_only=True)
class AlphaRatio(SpectralTarget):
    """Energy of 50 to 1000 Hz over that of 1 to 5 kHz in dB (eGeMAPS, Eyben et al. 2016; arXiv 2104.07388, table 1).

    Low for tense or whispered, high for soft voices; 0 for digital silence.
    """

    @property
    def channels(self) -> int:
        return 1

    def measure(self, waves: Tensor) -> Tensor:
        hertz = bin_frequencies(self.bins, waves.device)
        bands = torch.stack([(hertz >= 50) & (hertz < 1000), (hertz >= 1000) & (hertz <= 5000)], 1)
        levels = decibels(self.power(waves) @ bands.float())
        return levels[..., :1] - levels[..., 1:]
