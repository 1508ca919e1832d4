"""Text files to which one process appends lines and any process reads them, each line with a checksum of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import zlib
from pathlib import Path

__all__ = ["OwnFile", "new_lines", "own_name", "seal"]


def own_name() -> str:
    """The name of a file that only this process writes."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


class OwnFile:
    """A new file for this process to append to; what was written is seen by others at once.

    :raises OSError: it is there, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._file: int | None = None
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def append(self, data: bytes | memoryview) -> None:
        """:raises OSError: no space left, a limit, a read-only place; a part may be written then."""
        assert self._file is not None
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def cut(self, size: int) -> None:
        """Give back the room of what was written in part."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file or -1, size)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    __del__ = close


def seal(text: str) -> bytes:
    """`text`, which holds no line break, as a line."""
    data = text.encode()
    return b"%08x " % zlib.crc32(data) + data + b"\n"


def new_lines(path: Path, position: int) -> tuple[list[str | None], int]:
    """The whole lines from `position` on, None for a damaged one, and the position after them.

    A last line without its end is being written, or was cut off: it is not a line yet.
    """
    with path.open("rb") as file:
        file.seek(position)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return [_unseal(line) for line in data[:end].split(b"\n")[:-1]], position + end


def _unseal(line: bytes) -> str | None:
    checksum, space, data = line[:8], line[8:9], line[9:]
    if space != b" " or checksum != b"%08x" % zlib.crc32(data):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
