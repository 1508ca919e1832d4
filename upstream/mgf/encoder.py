"""The encoder of MGF (after arXiv 2102.01930): PASE's convolutions, and a transformer on top."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.seeding import derive, seeded
from s3prl_plugins.upstream.pase.encoder import EncoderConfig, PaseEncoder

__all__ = ["ENCODERS", "MgfConfig", "MgfEncoder", "MgfOutput"]


@dataclass(frozen=True)
class MgfConfig:
    """Sizes; the defaults are those of `base`."""

    dim: int = 512
    """Numbers per frame of every state."""
    channels: tuple[int, ...] = (64, 64, 128, 128, 256, 256, 512, 512)
    """Out of each convolutional block; the first has sinc filters."""
    strides: tuple[int, ...] = (1, 10, 2, 1, 2, 1, 2, 2)
    """Of each block; samples from frame to frame are their product."""
    layers: int = 6
    """Transformer layers."""
    heads: int = 8
    ffn: int = 2048
    """Width of the feed-forward networks."""
    positions: int = 128
    """Frames of the convolution that tells places."""
    groups: int = 16
    """Of that convolution."""
    norm_first: bool = False
    """Layer normalisation before attention and feed-forward network, not after."""
    dropout: float = 0.1
    """Of states and attention."""

    def __post_init__(self) -> None:
        if min(self.dim, self.layers, self.heads, self.ffn, self.positions, self.groups) < 1:
            raise ConfigError(f"every size must be at least 1, found {self}")
        for name in ("heads", "groups"):
            if self.dim % getattr(self, name):
                raise ConfigError(f"dim must be a multiple of {name} = {getattr(self, name)}, found {self.dim}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be from 0 to below 1, found {self.dropout}")

    @property
    def convolutions(self) -> EncoderConfig:
        """The convolutional part."""
        return EncoderConfig(self.dim, self.channels, EncoderConfig.kernels, self.strides)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return prod(self.strides)

    @property
    def centre(self) -> float:
        """Sample in the middle of what the convolutions see for frame 0; see `pretrain.targets.CENTRE`.

        A block that strides, or whose kernel is even, pads one step of its input less on the left than on the right.
        """
        steps: Iterable[int] = accumulate((1, *self.strides[:-1]), mul)
        blocks = zip(EncoderConfig.kernels, self.strides, steps)
        return sum(step * (1.0 if kernel % 2 else 0.5) for kernel, stride, step in blocks if stride > 1)


ENCODERS: Mapping[str, MgfConfig] = MappingProxyType(
    {
        "tiny": MgfConfig(
            dim=256, channels=(32, 32, 64, 64, 128, 128, 256, 256), strides=(1, 10, 2, 1, 2, 1, 2, 4),
            layers=4, heads=4, ffn=1024, positions=64, norm_first=True,
        ),
        "base": MgfConfig(),
    }
)  # fmt: skip
"""`base`: 27.0 M parameters, 100 frames a second. `tiny`: 4.9 M, 50 frames a second, half the width, normed first, as
small transformers train better. The paper's sizes are not known; these are ours."""


class MgfOutput(NamedTuple):
    """What the encoder makes of (batch, samples)."""

    local: Tensor
    """h, (batch, frames, dim): the convolutions' output, of which nothing is masked."""
    states: tuple[Tensor, ...]
    """Output of each layer, (batch, frames, dim) each; the last is c."""


class MgfEncoder(nn.Module):
    """PASE's encoder without skips, and s3prl's own wav2vec 2.0 transformer on it.

    h is PASE's embedding: projected to `dim`, then a batch normalisation without weights, so that every number has unit
    variance whatever learns from it.

    :param seed: of the weights; torch's global generators are left as they were.
    """

    def __init__(self, config: MgfConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.convolutions = PaseEncoder(config.convolutions, derive(seed, "convolutions"))
        with seeded(seed, "transformer"):
            self.mask = nn.Parameter(torch.rand(config.dim))
            self.transformer = _transformer(config)

    @property
    def dim(self) -> int:
        """Numbers per frame."""
        return self.config.dim

    def forward(self, waves: Tensor, mask: Tensor | None = None) -> MgfOutput:
        """:param waves: (batch, samples) at 16 kHz, nothing padded.
        :param mask: (batch, frames), True where the transformer sees a learned vector in place of h.
        :raises ValueError: waves too short for a frame.
        """
        local = self.local(waves)
        return MgfOutput(local, self.context(local, mask))

    def local(self, waves: Tensor) -> Tensor:
        """h alone, (batch, samples) -> (batch, frames, dim)."""
        local: Tensor = self.convolutions(waves)
        return local

    def context(self, local: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """The transformer's states on h."""
        if mask is not None:
            local = torch.where(mask.unsqueeze(-1), self.mask.to(local.dtype), local)
        last, layers = self.transformer(local)
        # s3prl's layers have time first; what follows the last one is its final normalisation.
        return *(state.transpose(0, 1) for state, *_ in layers[:-1]), last


def _transformer(config: MgfConfig) -> Any:
    from s3prl.upstream.wav2vec2.wav2vec2_model import TransformerEncoder, Wav2Vec2Config

    return TransformerEncoder(
        Wav2Vec2Config(
            encoder_layers=config.layers, encoder_embed_dim=config.dim, encoder_ffn_embed_dim=config.ffn,
            encoder_attention_heads=config.heads, layer_norm_first=config.norm_first, dropout=config.dropout,
            attention_dropout=config.dropout, activation_dropout=0.0, encoder_layerdrop=0.0,
            conv_pos=config.positions, conv_pos_groups=config.groups, required_seq_len_multiple=1,
        )
    )  # fmt: skip
