"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["parse_json", "save_whole", "whole_file", "write_whole"]


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when it is on the disk whole; after an error `path` is as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
