"""Two stretches of each utterance, and how an encoder of utterances hears them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from s3prl_plugins.pretrain.distortions.draws import draw_seed
from s3prl_plugins.pretrain.multi_worker import Distort, cut_two
from s3prl_plugins.pretrain.objective import Batch
from s3prl_plugins.pretrain.speech import Crop, Frames
from s3prl_plugins.seeding import generator

__all__ = ["Encoded", "UtteranceView", "distorted_apart", "two_stretches"]


class Encoded(Protocol):
    """What an encoder of utterances makes of (batch, samples)."""

    @property
    def states(self) -> tuple[Tensor, ...]:
        """(batch, frames, dim) of each layer."""
        ...

    @property
    def embedding(self) -> Tensor:
        """(batch, dim) float32."""
        ...


UtteranceView = Callable[[Tensor], Encoded]


def two_stretches(batch: Batch, length: int, frames: Frames, random: torch.Generator) -> Batch:
    """Two stretches of each crop as `cut_two` places them, but beginning where frames begin, so that targets fit.

    :param length: frames of a stretch, at most those of a crop.
    :return: the first stretches of all crops, then the second ones.
    """
    places = torch.arange(batch.crops[0].frames).expand(len(batch.crops), -1)
    starts = torch.cat([stretch[:, 0] for stretch in cut_two(places, length, random)])
    samples = (starts * frames.rate).unsqueeze(1) + torch.arange(frames.samples(length))
    waves = batch.waves.repeat(2, 1).gather(1, samples.to(batch.waves.device))
    twice = [*batch.crops, *batch.crops]
    return Batch(waves, [Crop(crop.index, crop.first + start, length) for crop, start in zip(twice, starts.tolist())])


def distorted_apart(waves: Tensor, distort: Distort | None, random: torch.Generator) -> Tensor:
    """Both halves of (rows, samples) distorted, each by draws of its own.

    The halves are distorted one by one: voices mixed into a stretch are never the utterance's own other one.
    """
    seed = draw_seed(random)
    if distort is None:
        return waves
    return torch.cat([distort(half, generator(seed, number)) for number, half in enumerate(waves.chunk(2))])
