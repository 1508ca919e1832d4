"""Where uploads lie until they are answered: a folder of this process, which it removes when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["discard", "is_upload", "sweep", "upload_folder"]

_AGE = 600.0
"""Seconds that an upload without an answer is kept."""


@contextlib.contextmanager
def upload_folder() -> Iterator[Path]:
    """A new folder that only this user can read, and that Gradio uses while its page is built."""
    variable = "GRADIO_TEMP_DIR"
    before = os.environ.get(variable)
    with tempfile.TemporaryDirectory(prefix="s3prl_plugins_serve_", ignore_cleanup_errors=True) as name:
        # Real path: Gradio compares resolved ones.
        folder = Path(name).resolve()
        os.environ[variable] = str(folder)
        try:
            yield folder
        finally:
            if before is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = before


def is_upload(place: str | Path, folder: Path) -> bool:
    """Whether a path lies in the folder, links followed; what a request names as its upload may be anything."""
    path = Path(place).resolve()
    return path != folder and path.is_relative_to(folder)


def discard(upload: Path, folder: Path) -> None:
    """Delete an upload and the folder that Gradio made for it."""
    with contextlib.suppress(OSError):
        upload.unlink(missing_ok=True)
        if is_upload(upload.parent, folder):
            upload.parent.rmdir()


async def sweep(folder: Path, age: float = _AGE, every: float = 60.0) -> None:
    """Until cancelled: delete what was sent and never answered, also what broke off half-way."""
    while True:
        await asyncio.sleep(every)
        for entry in list(folder.iterdir()):
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > age:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
