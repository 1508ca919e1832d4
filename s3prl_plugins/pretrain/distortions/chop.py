"""Short gaps in the speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.draws import draw_integer, draw_one

__all__ = ["Chop", "speech_regions"]

_FRAME = 160
_BELOW_LOUD = 0.01
_JOINED = 5


@dataclass(frozen=True, kw_only=True)
class Chop(Distortion):
    """Zeros in the middle of stretches of speech.

    The released code finds speech by webrtcvad and takes the row's first stretches; here energy decides, and any
    stretches are taken.
    """

    probability: float = 0.2
    most: int = 5
    """Gaps: 1 to so many are drawn, each in another stretch, so fewer where there are fewer stretches."""
    lengths: tuple[tuple[float, float], ...] = ((0.05, 0.025), (0.1, 0.05))
    """Mean and standard deviation of a gap's length, seconds; one pair is drawn for each gap. A gap does not leave its
    stretch, and one of negative length is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most < 1:
            raise ConfigError(f"most must be at least 1, found {self.most}")
        if not self.lengths or not all(mean > 0 and std >= 0 for mean, std in self.lengths):
            raise ConfigError(f"lengths must be pairs of a mean above 0 and a deviation, found {self.lengths}")

    def distort(self, wave: Tensor, others: Sequence[Tensor], random: torch.Generator) -> Tensor:
        count = draw_integer(1, self.most, random)
        regions = speech_regions(wave)
        wave = wave.clone()
        for place in torch.randperm(len(regions), generator=random)[:count].tolist():
            start, stop = regions[place]
            mean, std = draw_one(self.lengths, random)
            seconds = mean + std * float(torch.randn((), generator=random))
            length = min(max(0, round(seconds * SAMPLE_RATE)), stop - start)
            first = start + (stop - start - length) // 2
            wave[first : first + length] = 0
        return wave


def speech_regions(wave: Tensor) -> list[tuple[int, int]]:
    """First sample and one past the last of each stretch of speech in a wave (samples,).

    A frame of 10 ms is speech if its energy is less than 20 dB below the 95th percentile of all frames'. Pauses of up to
    40 ms do not end a stretch.
    """
    count = len(wave) // _FRAME
    if not count:
        return []
    energy = wave[: count * _FRAME].reshape(count, _FRAME).square().sum(1).cpu()
    found: list[tuple[int, int]] = []
    for frame in (energy > _BELOW_LOUD * energy.quantile(0.95)).nonzero().flatten().tolist():
        joined = found and frame * _FRAME < found[-1][1] + _JOINED * _FRAME
        start = found.pop()[0] if joined else frame * _FRAME
        found.append((start, (frame + 1) * _FRAME))
    return found
