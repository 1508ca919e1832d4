"""Checkpoints of PASE encoders: sizes, weights, and what is known of their training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.config import build, plain
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.files import save_whole
from s3prl_plugins.upstream.files import on_disk, read_content
from s3prl_plugins.upstream.pase.encoder import EncoderConfig, PaseEncoder
from s3prl_plugins.upstream.pase.released import from_released, is_released

__all__ = ["load_encoder", "write_checkpoint"]


def write_checkpoint(path: Path, encoder: PaseEncoder, metadata: Mapping[str, Any], half: bool = False) -> None:
    """Write an encoder whole or not at all.

    :param metadata: how it was trained, plain values; kept under `metadata`.
    :param half: matrices in float16, half the size. Vectors stay float32: float16 would move band edges by up to 2 Hz.
    """
    weights = on_disk(encoder.state_dict(), half)
    save_whole(path, {"pase": plain(encoder.config), "weights": weights, "metadata": plain(dict(metadata))})


def load_encoder(path: str | Path) -> PaseEncoder:
    """The encoder of a file, in float32 and evaluation mode.

    :param path: what `write_checkpoint` wrote, or a checkpoint of the released code (`from_released`).
    :raises CheckpointError: there is no such file, or it is another one, or damaged.
    """
    path = Path(path)
    content = _content(path)
    if is_released(content):
        return from_released(content, path)
    try:
        encoder = PaseEncoder(build(EncoderConfig, content["pase"], "pase"))
        encoder.load_state_dict(content["weights"])
    except (KeyError, ConfigError, RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} is no PASE checkpoint ({type(error).__name__}: {reason}); pass one of `s3prl-plugins pretrain pase`"
        ) from error
    return encoder.eval()


def _content(path: Path) -> dict[str, Any | Tensor]:
    content = read_content(path, "pass a checkpoint file of PASE")
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} must hold a mapping, found {type(content).__name__}; pass a checkpoint file of PASE"
        )
    inner = content.get("state_dict")  # the released trainer's other form
    return inner if isinstance(inner, dict) else content
