"""Distortions of waveforms, by name: PASE+ learns from distorted speech what the clean speech was like (arXiv 2001.09239).

Order, probabilities and parameters are those of the released code, less Codec2, for which there is no kept library, and
which the paper does not list. A new distortion is one file with a subclass of `Distortion`, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.config import build
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.pretrain.distortions.band_drop import BandDrop
from s3prl_plugins.pretrain.distortions.chop import Chop
from s3prl_plugins.pretrain.distortions.clipping import Clipping
from s3prl_plugins.pretrain.distortions.distortion import Distortion
from s3prl_plugins.pretrain.distortions.downsampling import Downsampling
from s3prl_plugins.pretrain.distortions.draws import draw_seed
from s3prl_plugins.pretrain.distortions.noise import Noise
from s3prl_plugins.pretrain.distortions.overlap import Overlap
from s3prl_plugins.pretrain.distortions.reverberation import Reverberation
from s3prl_plugins.seeding import generator

__all__ = ["DISTORTIONS", "Chain", "Distortion", "build_distortions"]

DISTORTIONS: Mapping[str, type[Distortion]] = MappingProxyType(
    {
        "reverberation": Reverberation,
        "overlap": Overlap,
        "noise": Noise,
        "clipping": Clipping,
        "chop": Chop,
        "band_drop": BandDrop,
        "downsampling": Downsampling,
    }
)
"""In the order in which they are applied."""


@dataclass(frozen=True)
class Chain:
    """Distortions one after the other, each on rows of its own choice.

    What a distortion draws depends on the generator's state, the distortion's name and the row: never on which others
    there are, on their parameters, or on the other rows. The generator advances by one draw, whatever the chain holds.
    """

    distortions: Mapping[str, Distortion]

    def __call__(self, waves: Tensor, random: torch.Generator) -> Tensor:
        """Waves (batch, samples) float32 at 16 kHz on any device -> the same shape; `waves` is not changed.

        Other speakers are taken from the rows as they came in, before any distortion.

        :param random: a generator on the CPU.
        """
        seed = draw_seed(random)
        distorted = waves
        for name, distortion in self.distortions.items():
            distorted = distortion(distorted, generator(seed, name), speech=waves)
        return distorted


def build_distortions(config: Mapping[str, Any]) -> Chain:
    """The chain of `{name: options}`, PASE+'s values where none are given; an empty mapping distorts nothing.

    `{"noise": {}, "reverberation": {"probability": 0.3}}` has the same order as the table, reverberation first.

    :raises ConfigError: an unknown name or option, or a value that cannot be.
    :raises CorpusError: a folder without audio.
    """
    for name in config:
        if name not in DISTORTIONS:
            raise ConfigError(f"unknown distortion {name!r}; {nearest(name, DISTORTIONS)}")
    chosen = [name for name in DISTORTIONS if name in config]
    options = {name: {} if config[name] is None else config[name] for name in chosen}
    return Chain({name: build(DISTORTIONS[name], options[name], f"distortions.{name}") for name in chosen})
