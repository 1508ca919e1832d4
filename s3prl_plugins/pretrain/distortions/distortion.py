"""What all distortions share: which rows they change, and what they draw from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.distortions.draws import draw_seed
from s3prl_plugins.seeding import generator

__all__ = ["Distortion"]


@dataclass(frozen=True, kw_only=True)
class Distortion(ABC):
    """Changes some rows of a batch. Every row has draws of its own, which depend on no other row."""

    probability: float
    """Of each row to be changed."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"probability must be from 0 to 1, found {self.probability}")

    @abstractmethod
    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        """One wave (samples,) -> (samples,).

        :param others: the other rows of the batch, undistorted.
        :param random: the row's own.
        """

    def __call__(self, waves: Tensor, random: torch.Generator, speech: Tensor | None = None) -> Tensor:
        """Waves (batch, samples) float32 at 16 kHz on any device -> the same shape; `waves` is not changed.

        :param random: a generator on the CPU, which advances by one draw.
        :param speech: (batch, samples), what rows may take of others; `waves` themselves by default.
        """
        if waves.ndim != 2 or waves.dtype != torch.float32:
            raise ValueError(f"waves must be float32 (batch, samples), found {waves.dtype} {tuple(waves.shape)}")
        seed = draw_seed(random)
        sources = (waves if speech is None else speech).unbind()
        rows = list(waves.unbind())
        with torch.no_grad():
            for index, wave in enumerate(rows):
                own = generator(seed, index)
                if float(torch.rand((), generator=own)) < self.probability:
                    others = [*sources[:index], *sources[index + 1 :]]
                    rows[index] = self.distort(wave, others, own)
            return torch.stack(rows)
