"""Checkpoints of PASE encoders: sizes, weights, and what is known of their training."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.config import build, plain
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.upstream.pase.encoder import EncoderConfig, PaseEncoder
from s3prl_plugins.upstream.pase.released import from_released, is_released

__all__ = ["load_encoder", "write_checkpoint"]


def write_checkpoint(path: Path, encoder: PaseEncoder, metadata: Mapping[str, Any], half: bool = False) -> None:
    """Write an encoder whole or not at all.

    :param metadata: how it was trained, plain values; kept under `metadata`.
    :param half: matrices in float16, half the size. Vectors stay float32: float16 would move band edges by up to 2 Hz.
    """
    weights = {name: tensor.detach().cpu().clone() for name, tensor in encoder.state_dict().items()}
    if half:
        weights = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save({"pase": plain(encoder.config), "weights": weights, "metadata": plain(dict(metadata))}, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read ({reason}); pass a checkpoint file of PASE") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} must hold a mapping, found {type(content).__name__}; pass a checkpoint file of PASE"
        )
    inner = content.get("state_dict")  # the released trainer's other form
    return inner if isinstance(inner, dict) else content
