"""HuBERT checkpoints in s3prl's converted format, which `-u hubert_local -k FILE` loads without any new name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["SIZES", "random_checkpoint", "write_checkpoint"]

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

_CLUSTERS = 100


def random_checkpoint(size: str, seed: int) -> dict[str, Any]:
    """A randomly initialised HuBERT as the content of a converted checkpoint.

    :param size: a key of `SIZES`.
    :param seed: of the weights; torch's global generator is left as it was.
    """
    from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig

    model_cfg = {"label_rate": 50.0, "encoder_layerdrop": 0.0, **SIZES[size]}
    task_cfg = {"label_rate": 50.0, "sample_rate": 16000, "normalize": False}
    symbols = [[str(cluster) for cluster in range(_CLUSTERS)]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HubertModel(HubertConfig(**model_cfg), HubertPretrainingConfig(**task_cfg), symbols)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return {"task_cfg": task_cfg, "model_cfg": model_cfg, "model_weight": weights, "dictionaries_symbols": symbols}


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    part.replace(path)
