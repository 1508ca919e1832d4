"""A HuBERT as the folder that transformers' `HubertModel.from_pretrained` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.files import whole_file, write_whole
from s3prl_plugins.upstream.hubert.checkpoint import load_model

__all__ = ["to_transformers"]

_NAMES = (
    (r"mask_emb", "masked_spec_embed"),
    (r"layer_norm\.(.*)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(.*)", r"feature_projection.projection.\1"),
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.(.*)", r"feature_extractor.conv_layers.\1.conv.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?(.*)", r"feature_extractor.conv_layers.\1.layer_norm.\2"),
    (r"encoder\.pos_conv\.0\.bias", "encoder.pos_conv_embed.conv.bias"),
    (r"encoder\.pos_conv\.0\.weight_g", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"encoder\.pos_conv\.0\.weight_v", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"encoder\.layers\.(\d+)\.self_attn\.(.*)", r"encoder.layers.\1.attention.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(.*)", r"encoder.layers.\1.layer_norm.\2"),
    (r"encoder\.layers\.(\d+)\.fc1\.(.*)", r"encoder.layers.\1.feed_forward.intermediate_dense.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(.*)", r"encoder.layers.\1.feed_forward.output_dense.\2"),
    (r"encoder\.layers\.(\d+)\.final_layer_norm\.(.*)", r"encoder.layers.\1.final_layer_norm.\2"),
    (r"encoder\.layer_norm\.(.*)", r"encoder.layer_norm.\1"),
)
"""s3prl's (and fairseq's) names -> transformers'."""
_PRETRAINING = ("final_proj.", "label_embs_concat", "target_glu.")
_ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "tanh": "tanh", "linear": "linear", "gelu_accurate": "gelu_new"}


def to_transformers(content: Mapping[str, Any], target: Path) -> None:
    """Write `config.json`, `preprocessor_config.json` and `model.safetensors` into the new folder `target`.

    All hidden states equal s3prl's on one recording, the last one as `last_hidden_state` (of a pre-LN model,
    transformers' `hidden_states[-1]` is what its last norm gets). Where recordings are padded to one length, both
    toolkits' states depend on the padding, each in its own way. The parts that only pretraining uses are left out.

    :param content: s3prl's converted HuBERT format.
    :raises CheckpointError: transformers' HuBERT lacks something of it.
    """
    from safetensors.torch import save

    weights = _weights(content["model_weight"])
    config = _config(content)
    if "feature_projection.projection.weight" not in weights:  # equal widths: s3prl has no projection there
        width = config["hidden_size"]
        weights["feature_projection.projection.weight"] = torch.eye(width)
        weights["feature_projection.projection.bias"] = torch.zeros(width)
    extractor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "padding_side": "right",
        "padding_value": 0.0, "sampling_rate": content["task_cfg"].get("sample_rate", 16000),
        "do_normalize": bool(content["task_cfg"].get("normalize", False)),
        "return_attention_mask": config["feat_extract_norm"] == "layer",
    }  # fmt: skip
    with whole_file(target / "model.safetensors") as file:
        file.write(save(weights, {"format": "pt"}))
    write_whole(target / "preprocessor_config.json", json.dumps(extractor, indent=2) + "\n")
    write_whole(target / "config.json", json.dumps(config, indent=2) + "\n")


def _config(content: Mapping[str, Any]) -> dict[str, Any]:
    from s3prl.upstream.hubert.hubert_model import HubertConfig

    model = HubertConfig(**content["model_cfg"])
    if model.layer_type != "transformer" or model.activation_fn not in _ACTIVATIONS:
        raise CheckpointError(
            f"transformers' HuBERT has no {model.layer_type} layers with {model.activation_fn}; choose another --to"
        )
    convolutions = [block[0] for block in load_model(content).feature_extractor.conv_layers]
    return {
        "model_type": "hubert", "architectures": ["HubertModel"],
        "hidden_size": model.encoder_embed_dim, "num_hidden_layers": model.encoder_layers,
        "num_attention_heads": model.encoder_attention_heads, "intermediate_size": model.encoder_ffn_embed_dim,
        "hidden_act": _ACTIVATIONS[model.activation_fn], "do_stable_layer_norm": bool(model.layer_norm_first),
        "feat_extract_norm": "layer" if model.extractor_mode == "layer_norm" else "group",
        "feat_extract_activation": "gelu", "feat_proj_layer_norm": True, "conv_bias": bool(model.conv_bias),
        "conv_dim": [one.out_channels for one in convolutions],
        "conv_kernel": [one.kernel_size[0] for one in convolutions],
        "conv_stride": [one.stride[0] for one in convolutions], "num_conv_pos_embeddings": model.conv_pos,
        "num_conv_pos_embedding_groups": model.conv_pos_groups, "layer_norm_eps": 1e-5,
        "hidden_dropout": model.dropout, "attention_dropout": model.attention_dropout,
        "activation_dropout": model.activation_dropout, "feat_proj_dropout": model.dropout_input,
        "layerdrop": model.encoder_layerdrop, "mask_time_prob": model.mask_prob,
        "mask_time_length": model.mask_length,
    }  # fmt: skip


def _weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in weights.items():
        if name.startswith(_PRETRAINING):
            continue
        found = [re.sub(pattern, new, name) for pattern, new in _NAMES if re.fullmatch(pattern, name)]
        if not found:
            raise CheckpointError(f"transformers' HuBERT has no place for the weight {name!r}; choose another --to")
        renamed[found[0]] = tensor.contiguous().clone()
    return renamed
