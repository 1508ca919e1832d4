"""Checkpoints that are whole or not there at all, and that load without executing code.

`states-<step>.ckpt` is small, since stock s3prl opens the newest one before any runner exists: `Args`, `Config`,
`Step`, and the checksums of the files in `checkpoints/<step>/` that hold the tensors. It is renamed into place last.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.files import save_whole, sync_folder
from s3prl_plugins.untrusted import load_plain

__all__ = ["Checkpoint", "examined", "find", "load_file", "load_tensors", "newest_whole", "read", "save", "tidy"]

_NAME = re.compile(r"states-(\d+)\.ckpt")
_TENSORS = "checkpoints"
_TENSOR_FILE = re.compile(r"\w+\.pt")


@dataclass(frozen=True)
class Checkpoint:
    """What `states-<step>.ckpt` says."""

    path: Path
    step: int
    args: dict[str, Any]
    config: dict[str, Any]
    checksums: dict[str, str]
    """File in `checkpoints/<step>/` -> SHA-256."""

    @property
    def folder(self) -> Path:
        return self.path.parent / _TENSORS / str(self.step)

    def damage(self) -> str:
        """What is wrong with the tensor files, or an empty string."""
        for name, checksum in self.checksums.items():
            path = self.folder / name
            if not path.is_file():
                return f"{path} is missing"
            try:
                if _sha256(path) != checksum:
                    return f"{path} does not match its checksum"
            except OSError as error:
                return f"{path} cannot be read: {error.strerror}"
        return ""


def save(
    folder: Path, step: int, args: Mapping[str, Any], config: Mapping[str, Any], tensors: Mapping[str, Any], keep: int
) -> Path:
    """Write a checkpoint and drop all but the newest `keep`; returns the path of its `states-<step>.ckpt`.

    Those of later steps go, too: the run went back behind them, as it does where they are damaged.

    :param tensors: file stem -> what it holds: tensors, numbers, strings and containers of them only.
    """
    place = folder / _TENSORS / str(step)
    part = place.with_name(f"{step}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    checksums = {}
    for name, content in tensors.items():
        save_whole(part / f"{name}.pt", content)
        checksums[f"{name}.pt"] = _sha256(part / f"{name}.pt")
    shutil.rmtree(place, ignore_errors=True)
    part.rename(place)
    sync_folder(place.parent)
    path = folder / f"states-{step}.ckpt"
    state = {"Args": argparse.Namespace(**args), "Config": dict(config), "Step": step, "Checksums": checksums}
    save_whole(path, state)
    found = find(folder)
    for later in found[found.index(path) + 1 :]:
        later.unlink()
    tidy(folder, keep)
    return path


def tidy(folder: Path, keep: int) -> None:
    """Drop all but the newest `keep` checkpoints, and tensors of none, which a run that was killed may leave."""
    for old in find(folder)[:-keep]:
        old.unlink()
    steps = {path.stem.removeprefix("states-") for path in find(folder)}
    for place in (folder / _TENSORS).iterdir():
        if place.name not in steps:
            shutil.rmtree(place, ignore_errors=True)


def find(folder: Path) -> list[Path]:
    """The `states-<step>.ckpt` of a folder, oldest first."""
    found = {int(match[1]): path for path in folder.glob("states-*.ckpt") if (match := _NAME.fullmatch(path.name))}
    return [found[step] for step in sorted(found)]


def read(path: Path) -> Checkpoint:
    """Read one `states-<step>.ckpt`.

    :raises CheckpointError: it cannot be read, or is not one of ours.
    """
    state = load_file(path)
    try:
        found = Checkpoint(path, state["Step"], vars(state["Args"]), state["Config"], state["Checksums"])
        # Both become paths.
        whole = isinstance(found.step, int) and all(_TENSOR_FILE.fullmatch(name) for name in found.checksums)
    except (AttributeError, IndexError, KeyError, TypeError):
        whole = False
    if not whole or not isinstance(found.config, dict):
        raise CheckpointError(f"{path} was not written by a joint run; pass the folder or states-*.ckpt of one")
    return found


def examined(path: Path) -> tuple[Checkpoint | None, str]:
    """A checkpoint if it is undamaged, or what is wrong with it."""
    try:
        checkpoint = read(path)
    except CheckpointError as error:
        return None, str(error)
    damage = checkpoint.damage()
    return (None, damage) if damage else (checkpoint, "")


def newest_whole(place: Path) -> tuple[Checkpoint, list[str]]:
    """The newest undamaged checkpoint of a folder (or at or before a given states file), and what was passed over.

    :raises CheckpointError: there is none.
    """
    folder = place if place.is_dir() else place.parent
    candidates = find(folder)
    if place.is_file():
        candidates = candidates[: candidates.index(place) + 1] if place in candidates else [place]
    passed: list[str] = []
    for path in reversed(candidates):
        checkpoint, damage = examined(path)
        if checkpoint is not None:
            return checkpoint, passed
        passed.append(f"{path.name} is damaged ({damage})")
    detail = "; ".join(passed) or "it holds no states-*.ckpt"
    raise CheckpointError(f"{place} has no checkpoint to continue from: {detail}; start a new run")


def load_tensors(checkpoint: Checkpoint, name: str) -> Any:
    """The content of one tensor file, on the CPU: a mapping.

    :raises CheckpointError: it cannot be read, or is none.
    """
    path = checkpoint.folder / f"{name}.pt"
    content = load_file(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a mapping, found {type(content).__name__}; use another checkpoint")
    return content


def load_file(path: Path) -> Any:
    """The content of a checkpoint file of any kind, on the CPU, without executing code.

    :raises CheckpointError: it cannot be read.
    """
    return load_plain(path, "use another checkpoint")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
