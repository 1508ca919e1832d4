"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from s3prl_plugins.errors import DiskError, UserError

__all__ = [
    "full_disk_named",
    "parse_checked",
    "parse_json",
    "save_whole",
    "sync_folder",
    "whole_file",
    "write_checked",
    "write_whole",
]

_CHECKSUM = "checksum"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = {
    errno.EACCES: "give yourself the right to it", errno.EPERM: "give yourself the right to it",
    errno.EROFS: "name a place that can be written", errno.ENOENT: "check the path", errno.ELOOP: "mend the link",
    errno.ENOTDIR: "check the path", errno.EISDIR: "name a file", errno.EEXIST: "remove it or name another",
    errno.ENAMETOOLONG: "name a shorter path", errno.ENXIO: "name a file", errno.ENODEV: "name a file",
}  # fmt: skip
"""What a path cannot be used for, and the cure."""


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
    """Around what writes `path`, or with none around a whole command.

    :raises DiskError: what was done met a full disk, a quota or a limit on the size of files.
    :raises UserError: around a whole command: a path cannot be opened, read or made, or a name is no UTF-8.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        fault = _disk_fault(error)
        if fault is None:
            if path is None:
                _name_closed(error)
                _name_text(error)
            raise
        where = path or fault.filename or "a file of this run"
        raise DiskError(
            f"{where} cannot be written ({fault.strerror}); free space there and go on: what was saved before is whole"
        ) from error


def _name_closed(error: Exception) -> None:
    """:raises UserError: the fault is with a path, and not with a disk."""
    if isinstance(error, OSError) and error.filename is not None and error.errno in _CLOSED:
        name = os.fsdecode(error.filename)
        raise UserError(f"{name} cannot be used ({error.strerror}); {_CLOSED[error.errno]}") from error
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib's, before Python 3.13
        raise UserError(f"{error}; mend the link") from error


def _name_text(error: Exception) -> None:
    """:raises UserError: a name that is no UTF-8 was to be written."""
    if isinstance(error, UnicodeEncodeError) and any("\udc80" <= letter <= "\udcff" for letter in error.object):
        place = max(0, error.start - 100)
        raise UserError(
            f"{error.object[place : error.end + 100]!r} cannot be written: a name must be UTF-8; rename the file or folder"
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
    """`json.loads`, for which absurd nesting is a ValueError like any other fault, and a byte order mark none."""
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def write_checked(path: Path, content: Mapping[str, Any], indent: int = 2, sort_keys: bool = False) -> None:
    """Write a mapping as JSON with an entry `checksum`, by which `parse_checked` finds damage."""
    plain = json.loads(json.dumps(content))
    plain.pop(_CHECKSUM, None)
    marked = {**plain, _CHECKSUM: _digest(plain)}
    write_whole(path, json.dumps(marked, indent=indent, sort_keys=sort_keys) + "\n")


def parse_checked(text: str) -> Any:
    """`parse_json` of what `write_checked` wrote, without the checksum; what has none, as older files, is taken as it is.

    :raises ValueError: it is no JSON, or it is not what was written.
    """
    content = parse_json(text)
    if not isinstance(content, dict) or _CHECKSUM not in content:
        return content
    checksum = content.pop(_CHECKSUM)
    try:
        same = checksum == _digest(content)
    except RecursionError:
        same = False
    if not same:
        raise ValueError(f"it does not match its {_CHECKSUM}")
    return content


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of what the JSON says, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_whole(path: Path, content: Any) -> None:
    """`torch.save`."""
    import torch

    with whole_file(path) as file:
        torch.save(content, file)
