"""Utterances of different lengths through HuBERT's transformer as one row, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["by_length", "can_pack", "packed_states"]


def can_pack(upstream: nn.Module, selection: str) -> bool:
    """Whether `packed_states` gives an upstream's view: the `hidden_states` of s3prl's HuBERT, and of what extends it."""
    from s3prl.upstream.hubert.expert import UpstreamExpert
    from s3prl.upstream.wav2vec2.wav2vec2_model import TransformerEncoder, TransformerSentenceEncoderLayer

    if not isinstance(upstream, UpstreamExpert) or selection != "hidden_states":
        return False
    encoder: Any = upstream.model.encoder
    layers = list(encoder.layers)
    return type(encoder) is TransformerEncoder and all(type(each) is TransformerSentenceEncoderLayer for each in layers)


def packed_states(
    upstream: nn.Module, waves: Sequence[Tensor], masks: Sequence[Tensor] | None = None
) -> tuple[list[Tensor], list[int]]:
    """Hidden states of utterances, each as if alone, and the number of frames of each.

    What looks at neighbouring frames (convolutions, the group norm over time, attention) takes one utterance at a time;
    all the rest takes the frames of all utterances as one row, so that its matrices are large.

    :param upstream: one that `can_pack`.
    :param waves: per utterance (samples,) at 16 kHz.
    :param masks: per utterance (frames,), True where the mask vector takes the frame's place.
    :returns: per layer (1, frames of all utterances, dim).
    """
    expert: Any = upstream
    model, encoder = expert.model, expert.model.encoder
    rows: dict[int, Tensor] = {}
    for places in by_length(waves):
        group = torch.stack([waves[place] for place in places])
        mask = torch.stack([masks[place] for place in places]) if masks is not None else None
        rows.update(zip(places, _front(model, expert.task_cfg.normalize, group, mask).unbind()))
    frames = [len(rows[place]) for place in range(len(waves))]
    row = torch.cat([rows[place] for place in range(len(waves))])
    if not encoder.layer_norm_first:
        row = encoder.layer_norm(row)
    states = [F.dropout(row, encoder.dropout, encoder.training)]
    for layer in encoder.layers:
        states.append(_layer(layer, states[-1], frames))
    if encoder.layer_norm_first:
        states[-1] = encoder.layer_norm(states[-1])
    return [state[None] for state in states], frames


def by_length(waves: Sequence[Tensor]) -> list[list[int]]:
    """The places of waves of one length, for each length."""
    found: dict[int, list[int]] = {}
    for place, wave in enumerate(waves):
        found.setdefault(wave.numel(), []).append(place)
    return list(found.values())


def _front(model: Any, normalize: bool, waves: Tensor, mask: Tensor | None) -> Tensor:
    """(utterances, samples) of one length -> (utterances, frames, dim) with positions.

    :param mask: (utterances, frames).
    """
    if normalize:
        waves = F.layer_norm(waves, waves.shape[1:])
    frames = model.layer_norm(model.forward_features(waves).transpose(1, 2))
    if model.post_extract_proj is not None:
        frames = model.post_extract_proj(frames)
    frames = model.dropout_input(frames)
    if mask is not None:
        frames = torch.where(mask.unsqueeze(-1), model.mask_emb.to(frames.dtype), frames)
    if model.encoder.pos_conv is not None:
        frames = frames + model.encoder.pos_conv(frames.transpose(1, 2)).transpose(1, 2)
    return frames  # type: ignore[no-any-return]


def _layer(layer: Any, row: Tensor, frames: Sequence[int]) -> Tensor:
    """A transformer layer, normalised before its two halves (`layer_norm_first`) or after them."""
    if layer.layer_norm_first:
        row = row + layer.dropout1(_attention(layer.self_attn, layer.self_attn_layer_norm(row), frames))
        return row + _feed_forward(layer, layer.final_layer_norm(row))
    row = layer.self_attn_layer_norm(row + layer.dropout1(_attention(layer.self_attn, row, frames)))
    return layer.final_layer_norm(row + _feed_forward(layer, row))  # type: ignore[no-any-return]


def _feed_forward(layer: Any, row: Tensor) -> Tensor:
    return layer.dropout3(layer.fc2(layer.dropout2(layer.activation_fn(layer.fc1(row)))))  # type: ignore[no-any-return]


def _attention(attention: Any, row: Tensor, frames: Sequence[int]) -> Tensor:
    """Self-attention of a row (frames, dim) within each utterance."""
    heads = attention.num_heads
    parts = [
        projection(row).view(len(row), heads, -1).transpose(0, 1).split(list(frames), dim=1)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    ]
    dropout = attention.dropout_module.p if attention.training else 0.0
    # With an axis for utterances, as the fast kernels of attention want it.
    seen = [F.scaled_dot_product_attention(q[None], k[None], v[None], dropout_p=dropout)[0] for q, k, v in zip(*parts)]
    return attention.out_proj(torch.cat(seen, dim=1).transpose(0, 1).flatten(1))  # type: ignore[no-any-return]
