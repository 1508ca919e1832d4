"""Which file each data worker is at, in memory that outlives it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator
from multiprocessing.sharedctypes import RawArray
from pathlib import Path

from s3prl_plugins.errors import CorpusError

__all__ = ["Reading"]

_SLOTS, _BYTES = 1024, 1024
_LOST = re.compile(r"DataLoader worker \(pid(?:\(s\))? (\d+)[\d, ]*\) (.*)")
"""What torch says of a worker that ended, wherever the main process is at that moment."""


class Reading:
    """Notes of the workers of a run; a worker has the slot of its process's number."""

    def __init__(self) -> None:
        self._notes = RawArray(ctypes.c_char, _SLOTS * _BYTES)

    def note(self, path: Path) -> None:
        """This process reads `path` now."""
        text = f"{os.getpid()} ".encode() + os.fsencode(path)
        self._slot(os.getpid())[:] = text[:_BYTES].ljust(_BYTES, b"\0")

    def last(self, process: int) -> str:
        """The path that a process noted last; empty if it noted none."""
        noted, _, path = bytes(self._slot(process)).rstrip(b"\0").partition(b" ")
        return os.fsdecode(path) if noted == str(process).encode() else ""

    def _slot(self, process: int) -> memoryview:
        first = process % _SLOTS * _BYTES
        return memoryview(self._notes).cast("B")[first : first + _BYTES]

    @contextlib.contextmanager
    def losses_named(self) -> Iterator[None]:
        """:raises CorpusError: a worker ended on its own; the message names the file that it was at."""
        try:
            yield
        except RuntimeError as error:
            found = _LOST.search(str(error))
            if found is None:
                raise
            at, how = self.last(int(found[1])) or "no file yet", found[2].partition(".")[0]
            raise CorpusError(
                f"{at}: the data worker that was reading it {how}; if memory is short, lower config.runner.num_workers, "
                "else look at that file; the run can be continued from its last checkpoint"
            ) from error
