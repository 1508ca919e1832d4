"""The encoders of PASE (arXiv 1904.03416) and PASE+ (arXiv 2001.09239)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.upstream.pase.padding import mirrored
from s3prl_plugins.upstream.pase.recurrence import QuasiRecurrence
from s3prl_plugins.upstream.pase.sinc import SincConv

__all__ = ["ENCODERS", "EncoderConfig", "PaseEncoder"]


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes; the defaults are PASE's."""

    dim: int = 100
    """Numbers per frame of the embedding."""
    channels: tuple[int, ...] = (64, 64, 128, 128, 256, 256, 512, 512)
    """Out of each block; the first has sinc filters."""
    kernels: tuple[int, ...] = (251, 20, 11, 11, 11, 11, 11, 11)
    """Taps of each block."""
    strides: tuple[int, ...] = (1, 10, 2, 1, 2, 1, 2, 2)
    """Of each block; samples from frame to frame are their product."""
    recurrent: int = 0
    """Width of the quasi-recurrent layer; 0: none."""
    skips: bool = False
    """Whether every block but the last is added to the embedding, projected and averaged over each frame."""

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.kernels) == len(self.strides):
            found = f"{len(self.channels)}, {len(self.kernels)} and {len(self.strides)}"
            raise ConfigError(f"channels, kernels and strides must be of one length, found {found}")
        if min(self.dim, *self.channels, *self.kernels, *self.strides) < 1 or self.recurrent < 0:
            raise ConfigError(f"every size must be at least 1 (recurrent: 0), found {self}")
        if self.kernels[0] % 2 == 0 or self.strides[0] != 1:
            raise ConfigError(f"sinc filters are odd, at stride 1; found {self.kernels[0]} taps at {self.strides[0]}")


ENCODERS: Mapping[str, EncoderConfig] = MappingProxyType(
    {
        "tiny": EncoderConfig(dim=256, channels=(32, 32, 64, 64, 128, 128, 256, 256), skips=True),
        "pase": EncoderConfig(),
        "plus": EncoderConfig(dim=256, recurrent=512, skips=True),
    }
)
"""`pase` (5.82 M parameters) and `plus` (7.83 M) as published; `tiny` (1.7 M) is PASE+ of half the width without recurrence."""


class PaseEncoder(nn.Module):
    """Waveforms to one embedding every 10 ms.

    Sinc filters, seven strided convolutions, each with batch normalisation and a PReLU that starts as a ReLU, a projection,
    and a batch normalisation without weights. Frame n sees 2370 samples around sample 160 n + 150.5.

    :param seed: of the weights; torch's global generators are left as they were.

    Skip connections: the released code averages over length // frames samples, which for some lengths is not the stride, so
    that frames drift apart; here it is always the stride, and the last frame may have up to nine samples less.
    """

    def __init__(self, config: EncoderConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            convs = [
                _Conv(inputs, outputs, kernel, stride)
                for (inputs, outputs), kernel, stride in zip(pairwise(channels), config.kernels[1:], config.strides[1:])
            ]
            first = SincConv(channels[0], config.kernels[0])
            self.blocks = nn.ModuleList(_Block(conv, size) for conv, size in zip([first, *convs], channels))
            sizes = channels[:-1] if config.skips else ()
            self.skips = nn.ModuleList(nn.Linear(size, config.dim, bias=False) for size in sizes)
            self.recurrence = QuasiRecurrence(channels[-1], config.recurrent) if config.recurrent else None
            self.projection = nn.Linear(config.recurrent or channels[-1], config.dim)
        self.norm = nn.BatchNorm1d(config.dim, affine=False)

    @property
    def dim(self) -> int:
        """Numbers per frame."""
        return self.config.dim

    def forward(self, waves: Tensor) -> Tensor:
        """(batch, samples) at 16 kHz -> (batch, frames, dim), normalised; floor((samples + 9) / 160) frames.

        :raises ValueError: fewer than 151 samples, which have no frame.
        """
        return self.states(waves)[-1]

    def states(self, waves: Tensor) -> list[Tensor]:
        """The embedding; with skips s3prl's nine states of `pase_plus`: projection, skips from the first block on, embedding.

        (batch, frames, dim) each.
        """
        frames = self._frames(waves.shape[-1])
        hidden, pools = waves[:, None], []
        for number, block in enumerate(self.blocks, 1):
            hidden = block(hidden)
            if number <= len(self.skips):
                # Averaged first: a projection of means is the mean of projections, and a hundred times cheaper.
                pools.append(avg_pool1d(hidden, prod(self.config.strides[number:]), ceil_mode=True)[..., :frames])
        hidden = hidden.transpose(1, 2)
        if self.recurrence is not None:
            hidden = self.recurrence(hidden)
        projected = self.projection(hidden)
        skips = [skip(pool.transpose(1, 2)) for skip, pool in zip(self.skips, pools)]
        embedding = self.norm(sum(skips, projected).transpose(1, 2)).transpose(1, 2)
        return [projected, *skips, embedding] if skips else [embedding]

    def _frames(self, samples: int) -> int:
        count = samples
        for kernel, stride in zip(self.config.kernels, self.config.strides):
            left, right = _margins(kernel, stride)
            count = (count + left + right - kernel) // stride + 1
        if count < 1:
            least = prod(self.config.strides)
            raise ValueError(
                f"waves must be long enough for a frame, as {least} samples are, found {samples}; pad them"
            )
        return count


class _Block(nn.Module):
    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm1d(channels)
        self.activation = nn.PReLU(channels, init=0.0)

    def forward(self, hidden: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.norm(self.conv(hidden)))
        return activated


class _Conv(nn.Conv1d):
    """A convolution with mirrored ends, placed as in the released code."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride)
        self.margins = _margins(kernel, stride)

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(mirrored(hidden, *self.margins))


def _margins(kernel: int, stride: int) -> tuple[int, int]:
    """How far a block looks beyond the left and the right end."""
    half = kernel // 2
    return (half - 1 if stride > 1 or kernel % 2 == 0 else half), half
