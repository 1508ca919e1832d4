"""HuBERT checkpoints in s3prl's converted format, which `-u hubert_local -k FILE` loads without any new name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.files import save_whole
from s3prl_plugins.upstream.convolutions import check_convolutions

__all__ = ["SIZES", "check_convolutions", "load_model", "random_checkpoint", "write_checkpoint"]

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "conv_feature_layers": "[(128,10,5)] + [(128,3,2)] * 4 + [(128,2,2)] * 2",
        "encoder_layers": 4,
        "encoder_embed_dim": 256,
        "encoder_ffn_embed_dim": 1024,
        "encoder_attention_heads": 4,
        "conv_pos": 64,
        "conv_pos_groups": 16,
        "final_dim": 128,
        "layer_norm_first": True,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "feature_grad_mult": 1.0,
    },
    "base": {
        "encoder_layers": 12,
        "encoder_embed_dim": 768,
        "encoder_ffn_embed_dim": 3072,
        "encoder_attention_heads": 12,
        "final_dim": 256,
        "layer_norm_first": False,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "dropout_input": 0.1,
        "dropout_features": 0.1,
        "encoder_layerdrop": 0.05,
        "feature_grad_mult": 0.1,
    },
}
"""What differs from s3prl's `HubertConfig`. `tiny`: 3.8 M parameters, pre-LN (it trains where post-LN does not at
that size); `base`: HuBERT Base as published (fairseq's hubert_base_librispeech)."""


def random_checkpoint(
    size: str, seed: int, clusters: int = 100, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A randomly initialised HuBERT as the content of a converted checkpoint.

    :param size: a key of `SIZES`.
    :param seed: of the weights; torch's global generator is left as it was.
    :param clusters: pseudo-phones it predicts while it is pretrained; they change nothing of the encoder.
    :param changes: fields of s3prl's HubertConfig that differ from the size's.
    :raises ConfigError: s3prl's HubertConfig has no such field.
    """
    from s3prl.upstream.hubert.hubert_model import HubertConfig

    known = {field.name for field in dataclasses.fields(HubertConfig)}
    for name in changes or {}:
        if name not in known:
            raise ConfigError(f"unknown key model.{name}; {nearest(name, known)}")
    content: dict[str, Any] = {
        "task_cfg": {"label_rate": 50.0, "sample_rate": 16000, "normalize": False},
        "model_cfg": {"label_rate": 50.0, "encoder_layerdrop": 0.0, **SIZES[size], **(changes or {})},
        "dictionaries_symbols": [[str(cluster) for cluster in range(clusters)]],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(content)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return {**content, "model_weight": weights}


def load_model(content: Mapping[str, Any]) -> Any:
    """The network of a checkpoint's content, `s3prl.upstream.hubert.hubert_model.HubertModel`, pretraining parts included."""
    model = _model(content)
    model.load_state_dict(content["model_weight"])
    return model


def _model(content: Mapping[str, Any]) -> Any:
    from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig

    check_convolutions(content["model_cfg"].get("conv_feature_layers", "[]"))
    config, task = HubertConfig(**content["model_cfg"]), HubertPretrainingConfig(**content["task_cfg"])
    return HubertModel(config, task, content["dictionaries_symbols"])


def write_checkpoint(path: Path, content: Mapping[str, Any], half: bool = False) -> None:
    """Write a checkpoint whole or not at all.

    :param half: float16 on disk, half the size; what loads it copies the weights into a float32 model.
    """
    if half:
        weights = content["model_weight"].items()
        halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights}
        content = {**content, "model_weight": halved}
    save_whole(path, dict(content))
