"""Frequency bands that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.draws import draw_uniform
from s3prl_plugins.pretrain.distortions.signals import convolve, keep_energy

__all__ = ["BandDrop"]

_TAPS = 801


@dataclass(frozen=True, kw_only=True)
class BandDrop(Distortion):
    """A band-stop filter at a random place; energy and delay stay.

    The released code draws from a bank of filters that did not come with it; the file names that are known tell of
    bands such as 26 to 349 and 1494 to 1830 Hz.
    """

    probability: float = 0.35
    width: tuple[float, float] = (200.0, 500.0)
    """Of the band, Hz, least and most."""
    within: tuple[float, float] = (20.0, 4000.0)
    """Hz between which the band lies, at any place."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 100 <= self.width[0] <= self.width[1]:
            raise ConfigError(f"width must be two rising numbers from 100 Hz on, found {list(self.width)}")
        if not (self.within[0] > 0 and self.within[1] < SAMPLE_RATE / 2):
            raise ConfigError(
                f"within must lie between 0 and {SAMPLE_RATE // 2} Hz, both exclusive, found {list(self.within)}"
            )
        if self.within[1] - self.within[0] < self.width[1]:
            raise ConfigError(f"within must have room for {self.width[1]:g} Hz, found {list(self.within)}")

    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        from scipy.signal import firwin

        width = draw_uniform(*self.width, random)
        low = draw_uniform(self.within[0], self.within[1] - width, random)
        taps = firwin(_TAPS, [low, low + width], fs=SAMPLE_RATE, pass_zero="bandstop", scale=False)
        return keep_energy(convolve(wave, torch.from_numpy(taps), _TAPS // 2), wave)
