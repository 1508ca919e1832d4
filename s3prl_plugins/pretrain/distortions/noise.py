"""Background noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s3prl_plugins.config import Signed
from s3prl_plugins.corpora.scenes import coloured_noise
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.draws import draw_integer, draw_one, draw_seed, draw_uniform
from s3prl_plugins.pretrain.distortions.recordings import FromFolders, draw_recording
from s3prl_plugins.pretrain.distortions.signals import add

__all__ = ["Noise"]


@dataclass(frozen=True, kw_only=True)
class Noise(FromFolders, Distortion):
    """Noise from begin to end; energy is kept. Zeros follow a recording that is too short; without folders, noise is made up."""

    probability: float = 0.4
    snr: tuple[Signed, ...] = (0.0, 5.0, 10.0)
    """Energy of the row over that of the noise, dB; one is drawn."""
    babble: float = 0.5
    """Share of synthesised noises that are voices of other rows of the batch; the rest are coloured noise."""
    voices: int = 5
    """Voices in babble; a row may lend several, of different places."""
    tilt: tuple[float, float] = (0.0, 2.0)
    """The power of coloured noise falls with frequency to this power, least and most: 0 is white, 1 pink, 2 brown."""
    swing: tuple[float, float] = (0.0, 0.8)
    """How far the level of coloured noise swings, least and most, 0 (steady) to 1."""

    def __post_init__(self) -> None:
        FromFolders.__post_init__(self)
        Distortion.__post_init__(self)
        if not self.snr:
            raise ConfigError("snr must hold at least one level in dB, found none")
        if not 0 <= self.babble <= 1:
            raise ConfigError(f"babble must be a share from 0 to 1, found {self.babble}")
        if self.voices < 1:
            raise ConfigError(f"voices must be at least 1, found {self.voices}")
        if not 0 <= self.tilt[0] <= self.tilt[1]:
            raise ConfigError(f"tilt must be two rising numbers from 0 on, found {list(self.tilt)}")
        if not 0 <= self.swing[0] <= self.swing[1] <= 1:
            raise ConfigError(f"swing must be two rising numbers from 0 to 1, found {list(self.swing)}")

    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        snr = draw_one(self.snr, random)
        return add(wave, self.noise(len(wave), others, random).to(wave), snr)

    def noise(self, samples: int, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        """A noise (samples,) of any level."""
        if self.files:
            return draw_recording(self.files, samples, random)
        babble = draw_uniform(0, 1, random) < self.babble
        if babble and others:
            return torch.stack([_voice(others, random) for _ in range(self.voices)]).sum(0)
        tilt, swing = draw_uniform(*self.tilt, random), draw_uniform(*self.swing, random)
        noise = coloured_noise(np.random.default_rng(draw_seed(random)), samples, tilt, swing)
        return torch.from_numpy(noise.astype(np.float32))


def _voice(others: Sequence[Tensor], random: torch.Generator) -> Tensor:
    """Another row, its begin at any place, with energy 1."""
    voice = draw_one(others, random)
    return torch.nn.functional.normalize(voice.roll(draw_integer(0, len(voice) - 1, random)), dim=0)
