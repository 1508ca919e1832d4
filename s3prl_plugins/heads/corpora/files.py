"""Text files and folders of audio, every fault reported."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from s3prl_plugins.problems import Problems

__all__ = ["children", "find_audio", "read_lines", "read_text"]


def read_text(path: Path, problems: Problems, cure: str) -> str:
    """A UTF-8 text file without a byte order mark, lines ending in LF; empty where a fault was reported instead."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.add(path, f"file cannot be read ({error.strerror})", cure)
        return ""
    except UnicodeDecodeError as error:
        problems.add(path, f"file must be UTF-8, found byte {error.object[error.start]:#04x}", "convert it to UTF-8")
        return ""
    if not text.strip():
        problems.add(path, "file must have lines, found none", cure)
    return text


def read_lines(path: Path, problems: Problems, cure: str) -> list[str]:
    """Lines of a UTF-8 text file, without their ends and without blank ones; empty where a fault was reported instead."""
    return [line for line in read_text(path, problems, cure).split("\n") if line.strip()]


def children(folder: Path, problems: Problems, cure: str) -> list[Path]:
    """What stands in a folder, sorted; empty where it cannot be read, which is reported."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        problems.add(folder, f"folder cannot be read ({error.strerror})", cure)
        return []


def find_audio(folders: Iterable[Path], suffix: str, problems: Problems, cure: str) -> dict[str, Path]:
    """Name without suffix -> file, for every audio file below `folders`; folder by folder, sorted by name."""
    found: dict[str, Path] = {}
    for folder in folders:
        files = sorted(_below(folder, suffix, problems, cure), key=lambda path: path.stem)
        if not files:
            fault = f"folder holds no {suffix} file" if folder.is_dir() else "folder is missing"
            problems.add(folder, fault, cure)
        for path in files:
            if path.stem in found:
                problems.add(path, f"utterance ids must be unique, found {found[path.stem]} too", "remove one of them")
            found[path.stem] = path
    return found


def _below(folder: Path, suffix: str, problems: Problems, cure: str) -> list[Path]:
    """Files at any depth, links to folders not followed; a folder that cannot be read is reported."""

    def report(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            problems.add(error.filename, f"folder cannot be read ({error.strerror})", cure)

    walk = os.walk(folder, onerror=report)
    return [Path(place, name) for place, _, names in walk for name in names if name.endswith(suffix)]
