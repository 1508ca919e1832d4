"""Text files of one `uttid text` line per utterance, as SUPERB's submission takes them for ASR, PR and SF."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["write_ark"]


def write_ark(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    """Write (name, text) rows whole or not at all; an empty text leaves the space after the name, as s3prl does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{name} {text}\n" for name, text in rows)
    return partial.replace(path)
