"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from s3prl_plugins.errors import DiskError

__all__ = ["full_disk_named", "parse_json", "save_whole", "sync_folder", "whole_file", "write_whole"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when it is on the disk whole; after an error `path` is as it was.

    :raises DiskError: there is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with full_disk_named(path):
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def full_disk_named(path: Path | None = None) -> Iterator[None]:
    """:raises DiskError: what was done met a full disk, a quota or a limit on the size of files."""
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        fault = _disk_fault(error)
        if fault is None:
            raise
        where = path or fault.filename or "a file of this run"
        raise DiskError(
            f"{where} cannot be written ({fault.strerror}); free space there and go on: what was saved before is whole"
        ) from error


def _disk_fault(error: BaseException | None) -> OSError | None:
    """torch's writer replaces the error of a file that it was given by one of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error
        error = error.__cause__ or error.__context__
    return None


def write_whole(path: Path, text: str) -> None:
    """Write UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


def parse_json(text: str) -> Any:
    """`json.loads`, for which absurd nesting is a ValueError like any other fault."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def save_whole(path: Path, content: Any) -> None:
    """`torch.save`."""
    import torch

    with whole_file(path) as file:
        torch.save(content, file)
