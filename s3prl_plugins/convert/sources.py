"""A HuBERT to take out: of a joint run, or of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.multitask.export import encoder_content
from s3prl_plugins.untrusted import load_plain, reason_of
from s3prl_plugins.upstream.hubert.checkpoint import load_model

__all__ = ["hubert_content", "without_weight"]

_KEYS = ("task_cfg", "model_cfg", "dictionaries_symbols", "model_weight")


def hubert_content(source: Path) -> dict[str, Any]:
    """The content of s3prl's converted HuBERT format, in float32, checked by building it.

    :param source: folder or `states-*.ckpt` of a joint run that finetuned a HuBERT, or a file in that format
        (`export`, `pretrain hubert`, `convert fairseq`).
    :raises CheckpointError: it is none of these.
    """
    content = load_plain(source, "pass a run or a HuBERT file") if source.is_file() else {}
    if not isinstance(content, dict) or "model_weight" not in content:
        content = encoder_content(source)
    try:
        parts: dict[str, Any] = {key: content[key] for key in _KEYS}
        parts["model_weight"] = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in parts["model_weight"].items()
        }
        load_model(parts)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"{source} is no HuBERT in s3prl's converted format ({reason_of(error)}); pass a run or a HuBERT file"
        ) from error
    return parts


def without_weight(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "model_weight"}
