"""An experiment folder that a failed start leaves as it was."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from s3prl_plugins.errors import UserError
from s3prl_plugins.multitask import checkpoint

__all__ = ["undone_on_error"]


@contextlib.contextmanager
def undone_on_error(folder: Path) -> Iterator[None]:
    """Make `folder`; a `UserError` before the first checkpoint removes what was written into it meanwhile."""
    is_new = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    try:
        yield
    except UserError:
        if not checkpoint.find(folder):
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if is_new:
                folder.rmdir()
        raise
