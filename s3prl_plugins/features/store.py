"""A store of hidden states: by utterance, in files, shared by processes, never wrong."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from s3prl_plugins.features.audio import AudioDigests
from s3prl_plugins.features.identity import FORMAT, Utterance
from s3prl_plugins.features.kinds import Bytes, encoded_and_back, find_kind
from s3prl_plugins.features.shards import DamageError, Entry, Shard, Writer

__all__ = ["AUDIO", "FeatureStore", "place"]

AUDIO = "audio"
"""The folder of what is known of audio files, shared by all stores beside it."""


def place(folder: Path, identity: str, kind: str) -> Path:
    """Where the states of an encoder lie below the folder of a feature store."""
    return folder / identity[:16] / kind


class FeatureStore:
    """Hidden states of one frozen encoder in one form, found by what was fed to it.

    An utterance is known by the bytes of its audio file, its stretch and its variant, so states of audio that changed are
    not found, and those of a copy are. Several processes may fill a store: each appends to files of its own and reads
    those of all; what two of them compute is there twice and does no harm. Whatever cannot be read, checked or written is
    as if it were not there, with one warning that names it. Objects may be pickled and may live through a fork.

    :param folder: of the feature store; the states lie in `folder/<identity>/<kind>/`.
    :param identity: of the encoder, from `identity.identity`.
    :param kind: a name in `kinds.KINDS`.
    :param room: bytes that this object may add; None sets no limit.
    :param about: written into the files for people to read, from `identity.describe`.
    :raises ConfigError: there is no such kind.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        kind: str,
        room: int | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.root, self.identity, self.kind = Path(folder), identity, find_kind(kind)
        self.room, self.about = room, dict(about or {})
        self.folder = place(self.root, identity, kind)
        self._open()

    def _open(self) -> None:
        self._audio = AudioDigests(self.root / AUDIO)
        self._shards: dict[str, Shard] = {}
        self._entries: dict[str, list[tuple[Shard, Entry]]] = {}
        self._checked: set[str] = set()
        self._writer: Writer | None = None
        self._process = os.getpid()
        self.is_full = False
        """Whether writing has failed; nothing more is tried then."""
        self._warned: set[str] = set()

    def get(self, utterance: Utterance) -> Tensor | None:
        """The states of an utterance, (layers, frames, dim) float32 on the CPU, one frame of kind `pooled`; None: not there.

        The checksum is verified when an entry is first read.
        """
        key = self._key(utterance) if self._holds_any() else None
        while key is not None and (found := self._find(key)):
            shard, entry = found[-1]
            try:
                if key not in self._checked:
                    shard.check(entry)
                    self._checked.add(key)
                return self.kind.decode(shard.view(entry), entry.layers, entry.frames, entry.dim)
            except DamageError as error:
                self._checked.discard(key)
                found.pop()
                self._warn(f"{error}; its states are computed again, delete it to be rid of this warning")
        return None

    def has(self, utterance: Utterance) -> bool:
        """Whether there is an entry; it is not read, so `get` may still find it damaged."""
        key = self._key(utterance) if self._holds_any() else None
        return key is not None and bool(self._find(key))

    def put(self, utterance: Utterance, layers: Sequence[Tensor]) -> bool:
        """Keep the states of an utterance; whether they are there now.

        :param layers: each (frames, dim), all of one shape.
        """
        if self.has(utterance):
            return True
        return not self.is_full and self._write(utterance, layers, self._encode(utterance, layers))

    def keep(self, utterance: Utterance, layers: Sequence[Tensor]) -> Tensor:
        """As `put`; what `get` gives from then on, which also where nothing could be written is what a run must go on with,
        so that its numbers do not depend on what was stored before. On the device of `layers`.
        """
        data = self._encode(utterance, layers)
        if not self.has(utterance):
            self._write(utterance, layers, data)
        return encoded_and_back(self.kind, data, layers)

    def _encode(self, utterance: Utterance, layers: Sequence[Tensor]) -> Bytes | None:
        if not layers or any(layer.shape != layers[0].shape or layer.dim() != 2 for layer in layers):
            shapes = ", ".join(str(tuple(layer.shape)) for layer in layers)
            raise ValueError(f"layers must be (frames, dim) tensors of one shape, found {shapes or 'none'}")
        data = self.kind.encode(layers)
        if data is None:
            self._warn(
                f"states beyond the range of kind {self.kind.name!r}, such as those of {utterance.path}, are not kept"
            )
        return data

    def _write(self, utterance: Utterance, layers: Sequence[Tensor], data: Bytes | None) -> bool:
        key = self._key(utterance)
        if key is None or data is None or self.is_full or not self._has_room(len(data)):
            return False
        frames, dim = layers[0].shape
        try:
            size = self._own_writer(len(layers), dim).append(key, data, len(layers), frames, dim)
        except OSError as error:
            self.is_full = True
            self._warn(
                f"{self.folder} cannot be written ({error.strerror}); what is not there yet is computed each time"
            )
            return False
        if self.room is not None:
            self.room -= size
        return True

    def close(self) -> None:
        """Give back what is open; the store opens again when it is used."""
        if self._writer is not None:
            self._writer.close()
        self._audio.close()
        self._open()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("root", "identity", "kind", "room", "about", "folder")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _key(self, utterance: Utterance) -> str | None:
        audio = self._audio.get(utterance.path)
        if audio is None:
            return None
        text = f"{audio} {utterance.start} {utterance.stop} {utterance.variant}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _holds_any(self) -> bool:
        """Whether it is worth reading an audio file for its digest."""
        if not self._entries:
            self._look()
        return bool(self._entries)

    def _find(self, key: str) -> list[tuple[Shard, Entry]]:
        """The entries of a key, the newest last; if there are none, look for what other processes have added."""
        if not self._entries.get(key):
            self._look()
        return self._entries.get(key, [])

    def _look(self) -> None:
        try:
            with os.scandir(self.folder) as entries:
                indexes = [entry for entry in entries if entry.name.endswith(".idx")]
        except OSError:
            return
        files = []
        for entry in indexes:
            try:
                files.append((entry.stat(), entry.path))
            except OSError as error:
                self._warn(f"{entry.path} cannot be read ({error.strerror}); it is ignored")
        for state, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            shard = self._shards.setdefault(path, Shard(Path(path)))
            if state.st_size > shard.position:
                self._take(shard)

    def _take(self, shard: Shard) -> None:
        """Adopt the new entries of a shard, if it is one of ours."""
        try:
            for entry in shard.entries():
                if not self._is_ours(shard):
                    raise DamageError(f"{shard.index} is of another encoder, kind or version")
                if entry is None or entry.size != self.kind.size(entry.layers, entry.frames, entry.dim):
                    self._warn(f"{shard.index} holds a damaged line; what it told of is computed again")
                else:
                    self._entries.setdefault(entry.key, []).append((shard, entry))
        except DamageError as error:
            self._warn(f"{error}; it is ignored")

    def _is_ours(self, shard: Shard) -> bool:
        header = shard.header or {}
        wanted = {"format": FORMAT, "identity": self.identity, "kind": self.kind.name}
        return all(header.get(name) == value for name, value in wanted.items())

    def _own_writer(self, layers: int, dim: int) -> Writer:
        if self._writer is None or self._process != os.getpid() or not self._writer.index.exists():
            header = {"format": FORMAT, "identity": self.identity, "kind": self.kind.name}
            self._writer = Writer(self.folder, {**header, **self.about, "layers": layers, "dim": dim})
            self._process = os.getpid()
        return self._writer

    def _has_room(self, size: int) -> bool:
        if self.room is None or size <= self.room:
            return True
        self._warn(f"{self.folder} has reached its budget; what is not there yet is computed each time")
        return False

    def _warn(self, message: str) -> None:
        """Once a message, and once a process."""
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(f"feature store: {message}", stacklevel=4)
