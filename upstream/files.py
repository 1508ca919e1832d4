"""Checkpoint files as s3prl's hub names take them: a path, or an address."""

from __future__ import annotations

from pathlib import Path

from s3prl_plugins.errors import CheckpointError

__all__ = ["downloaded", "given_file"]


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
