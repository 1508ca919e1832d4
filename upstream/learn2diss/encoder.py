"""The utterance encoder of Learn2Diss (after arXiv 2407.02543), and the hidden states of both of its networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.seeding import seeded
from s3prl_plugins.upstream.convolutions import check_convolutions

__all__ = [
    "SIZES", "AttentiveStatistics", "UtteranceEncoder", "UtteranceOutput", "build_utterance", "hidden_states",
    "random_utterance",
]  # fmt: skip

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "conv_feature_layers": repr([(128, 10, 5), *[(128, 3, 2)] * 4, *[(128, 2, 2)] * 2]),
        "encoder_layers": 3,
        "encoder_embed_dim": 256,
        "encoder_ffn_embed_dim": 1024,
        "encoder_attention_heads": 4,
        "conv_pos": 64,
        "conv_pos_groups": 16,
        "layer_norm_first": True,
        "dropout": 0.1,
        "attention_dropout": 0.1,
    },
    "base": {
        "conv_feature_layers": repr([(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]),
        "encoder_layers": 6,
        "encoder_embed_dim": 768,
        "encoder_ffn_embed_dim": 3072,
        "encoder_attention_heads": 12,
        "layer_norm_first": False,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "dropout_input": 0.1,
        "feature_grad_mult": 0.1,
    },
}
"""The trunk, as fields of s3prl's `HubertConfig`: the two sizes of upstream/hubert with fewer layers, so that frame and
utterance encoder have states of one width at one rate. The sizes are ours, the paper's are not known."""


class UtteranceOutput(NamedTuple):
    """What the utterance encoder makes of (batch, samples)."""

    states: tuple[Tensor, ...]
    """Input of each layer and output of the last, (batch, frames, dim) each."""
    embedding: Tensor
    """(batch, dim) float32, mean 0 and variance 1 over the batch (in evaluation: over the training); not of unit length."""


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over time under learned weights (arXiv 1803.10963).

    A frame's score is v tanh(W h + b); the scores' softmax over time weighs the frames. The paper's k, added to every score,
    would change nothing. Statistics are computed in float32.

    :param dim: of the frames.
    :param hidden: rows of W.
    """

    def __init__(self, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False))

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, frames, dim) -> (batch, 2 dim): means, then standard deviations, at least 0.001."""
        weights = self.score(frames).float().softmax(1)
        frames = frames.float()
        mean = (weights * frames).sum(1)
        variance = (weights * (frames - mean.unsqueeze(1)).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=1e-6).sqrt()], 1)


class UtteranceEncoder(nn.Module):
    """s3prl's HuBERT network without masks, attentive statistics of its last states, a projection, batch normalisation.

    The batch normalisation has no weights: every number of the embedding has unit scale over the utterances, as an estimate
    of mutual information needs it.

    :param config: fields of s3prl's HubertConfig that differ from its defaults, such as `SIZES["tiny"]`. Layer drop stays off.
    :raises ConfigError: a field that s3prl's HubertConfig does not have, or convolutions that are no plain list.

    The weights come from torch's global generator; `random_utterance` takes a seed.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = dict(config)
        self.trunk = _trunk(self.config)
        self.dim: int = self.trunk.encoder.embedding_dim
        """Width of states and embedding."""
        self.layers: int = len(self.trunk.encoder.layers) + 1
        """Number of hidden states."""
        self.pooling = AttentiveStatistics(self.dim)
        self.projection = nn.Linear(2 * self.dim, self.dim, bias=False)
        self.norm = nn.BatchNorm1d(self.dim, affine=False)

    def forward(self, waves: Tensor) -> UtteranceOutput:
        """:param waves: (batch, samples) at 16 kHz, nothing padded, at least 400 samples; two rows or more in training."""
        states = hidden_states(self.trunk, waves)
        return UtteranceOutput(states, self.norm(self.projection(self.pooling(states[-1])).float()))

    def content(self) -> dict[str, Any]:
        """What a checkpoint keeps of it: `config`, and `weights` on the CPU."""
        weights = {name: tensor.detach().cpu().clone() for name, tensor in self.state_dict().items()}
        return {"config": dict(self.config), "weights": weights}


def build_utterance(content: Mapping[str, Any]) -> UtteranceEncoder:
    """The encoder of an `UtteranceEncoder.content`, in float32; torch's global generators stay as they were."""
    with seeded(0):
        encoder = UtteranceEncoder(content["config"])
    encoder.load_state_dict(content["weights"])
    return encoder


def random_utterance(size: str, seed: int) -> UtteranceEncoder:
    """An encoder with weights that are a function of the seed; torch's global generators stay as they were.

    :param size: a key of `SIZES`.
    :raises ConfigError: it is none.
    """
    if size not in SIZES:
        raise ConfigError(f"unknown size {size!r} of the utterance encoder; {nearest(size, SIZES)}")
    with seeded(seed, "utterance"):
        return UtteranceEncoder(SIZES[size])


def hidden_states(hubert: Any, waves: Tensor) -> tuple[Tensor, ...]:
    """Input of each transformer layer and output of the last, as s3prl's hooks on HuBERT give them; nothing is masked.

    s3prl rounds the number of frames up to an even one and hides the frame it adds; here it is not added. Layer drop is off.

    :param hubert: `s3prl.upstream.hubert.hubert_model.HubertModel`.
    :param waves: (batch, samples), nothing padded.
    :return: (batch, frames, dim) each.
    """
    encoder = hubert.encoder
    frames = hubert.layer_norm(hubert.forward_features(waves).transpose(1, 2))
    if hubert.post_extract_proj is not None:
        frames = hubert.post_extract_proj(frames)
    frames = hubert.dropout_input(frames)
    frames = frames + encoder.pos_conv(frames.transpose(1, 2)).transpose(1, 2)
    if not encoder.layer_norm_first:
        frames = encoder.layer_norm(frames)
    # s3prl's layers have time first.
    frames = F.dropout(frames, encoder.dropout, encoder.training).transpose(0, 1)
    states = [frames]
    for layer in encoder.layers:
        frames, _ = layer(frames, self_attn_padding_mask=None, need_weights=False)
        states.append(frames)
    if encoder.layer_norm_first:
        states[-1] = encoder.layer_norm(frames)
    return tuple(state.transpose(0, 1) for state in states)


def _trunk(config: dict[str, Any]) -> Any:
    """A HubertModel with nothing that only masked prediction needs."""
    from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig

    known = {field.name for field in dataclasses.fields(HubertConfig)}
    for name in config:
        if name not in known:
            raise ConfigError(f"unknown key {name} of the utterance encoder; {nearest(name, known)}")
    try:
        check_convolutions(config.get("conv_feature_layers", "[]"))
    except ValueError as error:
        raise ConfigError(f"{error}; write it out") from error
    fields = {"label_rate": 50.0, "encoder_layerdrop": 0.0, **config}
    trunk = HubertModel(HubertConfig(**fields), HubertPretrainingConfig(label_rate=50.0), [None])
    trunk.remove_pretraining_modules()
    trunk.mask_emb = None
    return trunk
