"""Files of a report on disk."""

from __future__ import annotations

from pathlib import Path

from s3prl_plugins.errors import UserError

__all__ = ["write_text"]


def write_text(path: Path, text: str) -> Path:
    """Write a file, and the folders to it.

    :raises UserError: that cannot be done.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another place") from error
    return path
