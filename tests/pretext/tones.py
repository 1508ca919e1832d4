"""Speech that needs no files: tones of two classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from s3prl_plugins.heads.contract import Example
from s3prl_plugins.pretext.segments import Segment, Speech

__all__ = ["Pitch", "level", "tones"]


@dataclass(frozen=True)
class _Waves:
    waves: tuple[Tensor, ...]

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        assert generator is None
        return self.waves[int(example.name)]


@dataclass(frozen=True)
class Pitch:
    """A label that is the frequency of a tone in kHz: it depends on the spectrogram as nothing else."""

    def __call__(self, waves: Tensor) -> Tensor:
        crossings = (waves[:, 1:].sign() != waves[:, :-1].sign()).float()
        return crossings.unfold(1, 400, 160).mean(dim=-1, keepdim=True) * 8


def level(waves: Tensor) -> Tensor:
    """Root mean square, which the cosine of standardised log spectra hears less of than of the pitch."""
    return waves.unfold(1, 400, 160).square().mean(dim=-1, keepdim=True).sqrt()


def tones(count: int = 40) -> Speech:
    """Utterances of 0.4 s: classes low and high, a pitch and a level drawn for each utterance."""
    random = torch.Generator().manual_seed(0)
    waves, segments = [], []
    time = torch.arange(6400) / 16000
    for index in range(count):
        high = index % 2
        hertz = (600 + 2000 * high) * 2 ** float(torch.rand(1, generator=random))
        loud = 0.1 + 0.4 * float(torch.rand(1, generator=random))
        waves.append(loud * torch.sin(2 * math.pi * hertz * time) + 0.01 * torch.randn(6400, generator=random))
        segments.append(Segment(index, "high" if high else "low"))
    examples = [Example(str(index), Path("none"), 0.4, None) for index in range(count)]
    return Speech(_Waves(tuple(waves)), examples, segments)  # type: ignore[arg-type]
