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
def undone_on_error(folder: Path, store: Path | None = None) -> Iterator[None]:
    """Make `folder`; a `UserError` before the first checkpoint removes what was written into it meanwhile.

    :param store: folder of the feature store. If it is new and no state has been stored, it is removed, too; elsewhere than
        in `folder` states are kept, since other runs may share them.
    """
    is_new, is_new_store = not folder.is_dir(), store is not None and not store.is_dir()
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
            if store is not None and is_new_store and not any(store.rglob("*.bin")):
                shutil.rmtree(store, ignore_errors=True)
        raise
