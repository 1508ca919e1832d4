"""Rooms: measured impulse responses, or simple synthetic ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE, load
from s3prl_plugins.pretrain.distortions.draws import draw_one, draw_uniform
from s3prl_plugins.pretrain.distortions.recordings import FromFolders
from s3prl_plugins.pretrain.distortions.signals import convolve, keep_energy

__all__ = ["Room"]

_FIRST_REFLECTION = 0.002


@dataclass(frozen=True, kw_only=True)
class Room(FromFolders):
    """Where rooms are drawn from: recorded impulse responses, or without folders synthetic ones, the direct sound and then
    noise from 2 ms on whose level falls evenly in dB."""

    longest: float = 1.5
    """Responses are cut here, seconds."""
    t60: tuple[float, float] = (0.2, 1.0)
    """Seconds in which a synthetic room's sound falls by 60 dB, least and most."""
    direct: tuple[float, float] = (0.0, 12.0)
    """Energy of a synthetic room's direct sound over the rest, least and most dB."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.longest >= 0.01:
            raise ConfigError(f"longest must be at least 0.01 seconds, found {self.longest}")
        if not 0.01 <= self.t60[0] <= self.t60[1]:
            raise ConfigError(f"t60 must be two rising numbers from 0.01 seconds on, found {list(self.t60)}")
        if not -10 <= self.direct[0] <= self.direct[1]:
            raise ConfigError(f"direct must be two rising numbers from -10 dB on, found {list(self.direct)}")

    def response(self, random: torch.Generator) -> Tensor:
        """An impulse response, (taps,)."""
        most = round(self.longest * SAMPLE_RATE)
        if self.files:
            file = draw_one(self.files, random)
            return load(file.path, 0, min(most, file.samples))
        t60, direct = draw_uniform(*self.t60, random), draw_uniform(*self.direct, random)
        time = torch.arange(min(most, round(t60 * SAMPLE_RATE))) / SAMPLE_RATE
        response = torch.randn(len(time), generator=random) * 10 ** (-3 * time / t60)
        response[time < _FIRST_REFLECTION] = 0
        response *= 10 ** (-direct / 20) / torch.linalg.vector_norm(response)
        response[0] = 1
        return response

    def reverberate(self, wave: Tensor, random: torch.Generator) -> Tensor:
        """`wave` (samples,) in a room: nothing is delayed, for the response's highest peak counts as time 0.

        The wave's energy is kept exactly; the released code, which measures it before the tail is cut, loses some.
        """
        response = self.response(random)
        return keep_energy(convolve(wave, response, int(response.abs().argmax())), wave)
