"""What a feature store holds, and what of it is of no use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.features.identity import FORMAT, versions
from s3prl_plugins.features.shards import DamageError, Entry, Shard
from s3prl_plugins.features.store import AUDIO

__all__ = ["Holding", "holdings", "remove"]


@dataclass
class Holding:
    """The states of one encoder in one form."""

    folder: Path
    about: dict[str, Any] = field(default_factory=dict)
    """The header of one of its shards: upstream, view, layer, rate, layers, dim ..."""
    utterances: int = 0
    frames: int = 0
    """Of them all, before encoding."""
    bytes: int = 0
    useless: dict[Path, str] = field(default_factory=dict)
    """Index of a shard -> why it cannot be used any more, or is damaged in part."""

    @property
    def identity(self) -> str:
        """Its first 16 digits."""
        return self.folder.parent.name

    @property
    def kind(self) -> str:
        return self.folder.name

    @property
    def hours(self) -> float:
        """Of audio."""
        return self.frames * float(self.about.get("rate") or 0) / 16000 / 3600


def holdings(root: Path, check: bool = False) -> list[Holding]:
    """What lies in a feature store.

    :param check: read everything and compare checksums.
    :raises ConfigError: the folder is none.
    """
    if not root.is_dir() or not (any(_folders(root)) or (root / AUDIO).is_dir()):
        raise ConfigError(
            f"{root} must be the folder of a feature store, found none there; pass the one of --feature-store"
        )
    return [_holding(folder, check) for folder in _folders(root)]


def remove(root: Path, holding: Holding, only: set[Path] | None = None) -> int:
    """Delete shards, folders that are left empty, and with the last of them what is known of audio files; bytes deleted.

    :param only: indexes of the shards to delete; None deletes all.
    """
    files = [path for path in _files(holding.folder) if only is None or path.with_suffix(".idx") in only]
    size = sum(path.lstat().st_size for path in files)
    for path in files:
        path.unlink()
    _remove_empty(holding.folder)
    _remove_empty(holding.folder.parent)
    if not any(_folders(root)):
        for path in (root / AUDIO).glob("*.txt"):
            path.unlink()
        _remove_empty(root / AUDIO)
        _remove_empty(root)
    return size


def _folders(root: Path) -> Iterator[Path]:
    for identity in sorted(root.iterdir()):
        if identity.is_dir() and re.fullmatch("[0-9a-f]{16}", identity.name):
            yield from (kind for kind in sorted(identity.iterdir()) if kind.is_dir())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".idx", ".bin"))


def _holding(folder: Path, check: bool) -> Holding:
    holding = Holding(folder)
    known: dict[str, int] = {}
    files = _files(folder)
    for index in sorted({path.with_suffix(".idx") for path in files}):
        shard = Shard(index)
        try:
            whole = list(_checked(shard, folder, check))
        except DamageError as error:
            holding.useless[index] = str(error)
            continue
        holding.about = shard.header or holding.about
        known.update({entry.key: entry.frames for entry in whole if entry is not None})
        if None in whole:
            holding.useless[index] = (
                f"{index.with_suffix('.bin')}: {whole.count(None)} of {len(whole)} entries are damaged"
            )
    holding.utterances, holding.frames = len(known), sum(known.values())
    holding.bytes = sum(path.lstat().st_size for path in files)
    return holding


def _checked(shard: Shard, folder: Path, check: bool) -> Iterator[Entry | None]:
    """The entries of a shard that this version can use, None for a damaged one.

    :raises DamageError: it can use none.
    """
    entries = list(shard.entries())
    header = shard.header or {}
    others = [name for name, value in versions().items() if header.get(name, value) != value]
    if others or header.get("format") != FORMAT:
        raise DamageError(f"{shard.index} was written by another version")
    if not str(header.get("identity")).startswith(folder.parent.name) or header.get("kind") != folder.name:
        raise DamageError(f"{shard.index} is of another encoder or kind")
    for entry in entries:
        try:
            if entry is not None:
                shard.check(entry) if check else shard.view(entry)
            yield entry
        except DamageError:
            yield None


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
