"""`torch.load` for files from anyone: nothing in them is executed, and they take no more memory than they have bytes."""

from __future__ import annotations

import argparse
import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s3prl_plugins.errors import CheckpointError

__all__ = ["check_archive", "check_content", "load_arrays", "load_plain", "namespaces_allowed", "reason_of"]

_MOST_OBJECTS = 10_000_000
"""Of a checkpoint, each counted as often as it occurs; HuBERT Large has 2,000."""
_DEEPEST = 100
"""Containers within containers."""


@contextlib.contextmanager
def namespaces_allowed() -> Iterator[None]:
    """Let `torch.load` take argparse.Namespace, the one class in runner checkpoints.

    torch's own context forgets the class at its end even if it was allowed before, as the repairs of s3prl do for good.
    """
    if argparse.Namespace in torch.serialization.get_safe_globals():
        yield
    else:
        with torch.serialization.safe_globals([argparse.Namespace]):
            yield


def load_plain(path: str | Path, cure: str, mmap: bool = False) -> Any:
    """What `torch.save` wrote, on the CPU: tensors, numbers, strings, containers of them, argparse.Namespace.

    :param cure: what the user should do about a file that cannot be read.
    :param mmap: read tensors when they are used, so that checksums are not verified.
    :raises CheckpointError: there is no such file, or it is damaged, holds other objects, or unpacks beyond its size.
    """
    try:
        check_archive(Path(path), sums=not mmap)
        with namespaces_allowed():
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        check_content(content)
    except Exception as error:  # a file that is no checkpoint meets the unpickler in any of its states
        raise CheckpointError(f"{path} cannot be read ({reason_of(error)}); {cure}") from error
    return content


def load_arrays(path: Path, names: Sequence[str], cure: str) -> list[npt.NDArray[Any]]:
    """The arrays of these names in an `.npz` file; none of objects.

    :raises CheckpointError: there is no such file, or it is damaged, lacks one, holds objects, or unpacks beyond its size.
    """
    try:
        check_archive(path)
        with np.load(path, allow_pickle=False) as held:
            return [held[name] for name in names]
    except Exception as error:  # numpy parses headers of any content
        raise CheckpointError(f"{path} cannot be read ({type(error).__name__}: {reason_of(error)}); {cure}") from error


def reason_of(error: BaseException) -> str:
    """The first line of an error, at most 200 characters."""
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)


def check_archive(path: Path, sums: bool = False) -> None:
    """:param sums: verify checksums (CRC-32), which torch writes and does not read.

    :raises ValueError: an archive of more bytes than the file has; torch itself writes them uncompressed. Or of other
        bytes than were written.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, more than the {path.stat().st_size:,} it has")
        if sums and (torn := archive.testzip()) is not None:
            raise ValueError(f"wrong checksum of {torn}")


def check_content(content: Any) -> None:
    """Whether walking through `content` and copying its tensors is sure to end.

    :raises ValueError: it holds itself, nests too deeply, repeats its parts too often, or holds a tensor of more
        elements than are stored.
    """
    _count(content, {}, 0)


def _count(value: Any, known: dict[int, int], depth: int) -> int:
    """Objects in `value`, each as often as it occurs.

    :param known: id -> count, 0 while it is being counted; `content` keeps the objects, so ids stay theirs.
    """
    if isinstance(value, Tensor):
        if value.layout == torch.strided and value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"a tensor of shape {tuple(value.shape)} has fewer elements stored")
        return 1
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if not isinstance(value, dict | list | tuple | set | frozenset):
        return 1
    if depth > _DEEPEST:
        raise ValueError(f"it nests more than {_DEEPEST} containers")
    if id(value) not in known:
        known[id(value)] = 0
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, known, depth + 1) for part in parts)
    total = known[id(value)]
    if not total:
        raise ValueError("it holds itself")
    if total > _MOST_OBJECTS:
        raise ValueError(f"it repeats its parts to more than {_MOST_OBJECTS:,} objects")
    return total
