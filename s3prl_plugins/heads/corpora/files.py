"""Text files and folders of audio, every fault reported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from s3prl_plugins.problems import Problems

__all__ = ["find_audio", "read_lines"]


def read_lines(path: Path, problems: Problems, cure: str) -> list[str]:
    """Lines of a UTF-8 text file, without their ends and without blank ones; empty where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        problems.add(path, f"file cannot be read ({error.strerror})", cure)
        return []
    except UnicodeDecodeError as error:
        problems.add(path, f"file must be UTF-8, found byte {error.object[error.start]:#04x}", "convert it to UTF-8")
        return []
    return [line for line in lines if line.strip()]


def find_audio(folders: Iterable[Path], suffix: str, problems: Problems, cure: str) -> dict[str, Path]:
    """Name without suffix -> file, for every audio file below `folders`; folder by folder, sorted by name."""
    found: dict[str, Path] = {}
    for folder in folders:
        files = sorted(folder.rglob(f"*{suffix}"), key=lambda path: path.stem)
        if not files:
            fault = f"folder holds no {suffix} file" if folder.is_dir() else "folder is missing"
            problems.add(folder, fault, cure)
        for path in files:
            if path.stem in found:
                problems.add(path, f"utterance ids must be unique, found {found[path.stem]} too", "remove one of them")
            found[path.stem] = path
    return found
