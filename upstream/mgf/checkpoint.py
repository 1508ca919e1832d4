"""Checkpoints of MGF encoders: sizes, weights, and what is known of their training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3prl_plugins.config import build, plain
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.files import save_whole
from s3prl_plugins.upstream.files import on_disk, read_content
from s3prl_plugins.upstream.mgf.encoder import MgfConfig, MgfEncoder

__all__ = ["load_encoder", "write_checkpoint"]


def write_checkpoint(path: Path, encoder: MgfEncoder, metadata: Mapping[str, Any], half: bool = False) -> None:
    """Write an encoder whole or not at all.

    :param metadata: how it was trained, plain values; kept under `metadata`.
    :param half: as `on_disk`.
    """
    weights = on_disk(encoder.state_dict(), half)
    save_whole(path, {"mgf": plain(encoder.config), "weights": weights, "metadata": plain(dict(metadata))})


def load_encoder(path: str | Path) -> MgfEncoder:
    """The encoder of a file that `write_checkpoint` wrote, in float32 and evaluation mode.

    :raises CheckpointError: there is no such file, or it is another one, or damaged.
    """
    content = read_content(path, "pass a checkpoint file of MGF")
    try:
        encoder = MgfEncoder(build(MgfConfig, content["mgf"], "mgf"))
        encoder.load_state_dict(content["weights"])
    except (KeyError, ConfigError, RuntimeError, AttributeError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path} is no MGF checkpoint ({type(error).__name__}: {reason}); pass one of `s3prl-plugins pretrain mgf`"
        ) from error
    return encoder.eval()
