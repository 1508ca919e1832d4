"""Decoding many audio files in parallel processes; nothing of a file is kept but its fault."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Sequence

import numpy as np
import soundfile

__all__ = ["decode", "fault"]

_BLOCK = 1 << 20
"""Samples in memory at a time (65 s)."""
_CHUNK = 64
"""Files handed to a process at a time."""


def fault(path: str) -> tuple[str, str] | None:
    """Decode a whole file: what is wrong with its samples and the cure, or None."""
    decoded = 0
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            for block in file.blocks(_BLOCK, dtype="float32"):
                decoded += len(block)
                if not np.isfinite(block).all():
                    return "audio holds NaN or infinite samples", "replace the file"
            if decoded < file.frames:
                return (
                    f"audio must hold as many samples as its header says, found {decoded} of {file.frames}",
                    "replace the file",
                )
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        reason = getattr(error, "error_string", str(error)) or f"libsndfile error {getattr(error, 'code', '')}".strip()
        return f"audio cannot be decoded ({reason})", "replace the file"
    return None


def decode(paths: Sequence[str], jobs: int | None = None) -> Generator[tuple[str, tuple[str, str] | None], None, None]:
    """Each path with its `fault`, as they are done; few files, or `jobs=1`, are decoded in this process.

    :param jobs: processes; None is one a core.
    """
    processes = min(jobs or os.cpu_count() or 1, len(paths) // _CHUNK)
    if processes <= 1:
        yield from map(_named, paths)
        return
    # Spawned, not forked: they inherit no threads. Ctrl-C is the parent's to handle.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.imap_unordered(_named, paths, _CHUNK)


def _named(path: str) -> tuple[str, tuple[str, str] | None]:
    return path, fault(path)
