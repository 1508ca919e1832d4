"""The configuration of a built HuBERT, read off its modules: s3prl keeps none, and its checkpoint file may be gone."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

__all__ = ["hubert_config"]

_ATTRIBUTES = (
    "mask_prob", "mask_selection", "mask_length", "mask_other", "no_mask_overlap", "mask_min_space",
    "mask_channel_prob", "mask_channel_selection", "mask_channel_length", "mask_channel_other",
    "no_mask_channel_overlap", "mask_channel_min_space",
    "logit_temp", "skip_masked", "skip_nomask", "feature_grad_mult", "untie_final_proj",
)  # fmt: skip
"""Fields of s3prl's `HubertConfig` that its model keeps under the same name."""


def hubert_config(upstream: nn.Module) -> dict[str, Any] | None:
    """What s3prl's converted HuBERT checkpoint holds beside the weights; None if `upstream` is no HuBERT.

    `task_cfg` and `model_cfg` build an equal model. Names of clusters are not in a model: they become their numbers.
    A conformer HuBERT, which no name of s3prl's hub gives, counts as no HuBERT here.
    """
    from s3prl.upstream.hubert.hubert_model import HubertModel
    from s3prl.upstream.wav2vec2.wav2vec2_model import TransformerSentenceEncoderLayer

    model: Any = getattr(upstream, "model", None)
    if not isinstance(model, HubertModel):
        return None
    if not all(isinstance(layer, TransformerSentenceEncoderLayer) for layer in model.encoder.layers):
        return None
    task: Any = upstream.task_cfg
    task_cfg = {name: _plain(value) for name, value in dataclasses.asdict(task).items()}
    symbols: list[Any] = [[str(cluster) for cluster in range(count)] for count in getattr(model, "num_classes", [])]
    symbols = symbols or [None]
    model_cfg = {**_convolutions(model, task_cfg["sample_rate"]), **_transformer(model), **_objective(model, symbols)}
    return {"task_cfg": task_cfg, "model_cfg": model_cfg, "dictionaries_symbols": symbols}


def _convolutions(model: Any, sample_rate: int) -> dict[str, Any]:
    blocks = model.feature_extractor.conv_layers
    convolutions = [block[0] for block in blocks]
    shapes = [(conv.out_channels, conv.kernel_size[0], conv.stride[0]) for conv in convolutions]
    samples = 1
    for _, _, stride in shapes:
        samples *= stride
    return {
        # Only the first block of the "default" kind has a norm, and it stands there by itself.
        "extractor_mode": "layer_norm" if isinstance(blocks[0][2], nn.Sequential) else "default",
        "conv_feature_layers": repr(shapes),
        "conv_bias": convolutions[0].bias is not None,
        "label_rate": float(model.feat2tar_ratio * sample_rate / samples),
    }


def _transformer(model: Any) -> dict[str, Any]:
    encoder, layer, positions = model.encoder, model.encoder.layers[0], model.encoder.pos_conv[0]
    activation = layer.activation_fn.__name__
    return {
        "encoder_layers": len(encoder.layers),
        "encoder_embed_dim": encoder.embedding_dim,
        "encoder_ffn_embed_dim": layer.fc1.out_features,
        "encoder_attention_heads": layer.self_attn.num_heads,
        "activation_fn": "linear" if activation == "<lambda>" else activation,
        "layer_norm_first": encoder.layer_norm_first,
        "dropout": encoder.dropout,
        "attention_dropout": layer.self_attn.dropout_module.p,
        "activation_dropout": layer.activation_dropout,
        "encoder_layerdrop": encoder.layerdrop,
        "dropout_input": model.dropout_input.p,
        "dropout_features": model.dropout_features.p,
        "conv_pos": positions.kernel_size[0],
        "conv_pos_groups": positions.groups,
        "required_seq_len_multiple": encoder.required_seq_len_multiple,
    }


def _objective(model: Any, symbols: list[Any]) -> dict[str, Any]:
    width = model.final_proj.out_features
    return {
        **{name: _plain(getattr(model, name)) for name in _ATTRIBUTES},
        "final_dim": width // len(symbols) if model.untie_final_proj else width,
        "target_glu": model.target_glu is not None,
    }


def _plain(value: Any) -> Any:
    """s3prl's choices are enums that are strings; a checkpoint holds the strings."""
    return str(getattr(value, "value", value)) if isinstance(value, str) else value
