"""Checkpoint files: as s3prl's hub names take them, a path or an address; and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.untrusted import load_plain

__all__ = ["downloaded", "given_file", "on_disk", "read_content"]


def given_file(name: str, ckpt: str | Path | None) -> Path:
    """`ckpt` of the upstream `name`.

    :raises CheckpointError: there is no such file.
    """
    if ckpt is None or not Path(ckpt).is_file():
        raise CheckpointError(f"{name} needs a checkpoint file, found {str(ckpt)!r}; pass one (-k FILE)")
    return Path(ckpt)


def downloaded(name: str, address: str | None, refresh: bool) -> Path:
    """The file at an address, downloaded once into s3prl's cache, or again with `refresh`.

    :raises CheckpointError: no address.
    """
    from s3prl.util.download import _urls_to_filepaths

    if not address:
        raise CheckpointError(f"{name} needs the address of a checkpoint, found none; pass one (-k URL)")
    return Path(_urls_to_filepaths(address, refresh=refresh))


def read_content(path: str | Path, cure: str, mmap: bool = False) -> Any:
    """What `torch.save` wrote: tensors, numbers, strings and containers of them; nothing in it is executed.

    :param cure: which file to pass instead.
    :param mmap: read tensors when they are used.
    :raises CheckpointError: there is no such file, or it is another one, or damaged.
    """
    return load_plain(path, cure, mmap)


def on_disk(weights: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    """Copies of a network's weights to save.

    :param half: matrices in float16, half the size; vectors, and so band edges and running statistics, stay float32.
    """
    kept = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    return {name: tensor.half() if half and tensor.ndim > 1 else tensor for name, tensor in kept.items()}
