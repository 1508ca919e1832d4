"""The files of a store: shards, to each of which one process appends while any process reads.

A shard is `<name>.bin`, encoded states end to end, and `<name>.idx`, lines with checksums: first a header in JSON (format,
identity, kind, and what a person wants to know of the encoder), then an entry each. An entry is written after its states,
so a cut-off process leaves whole entries and nothing that looks like one; a crash of the machine is told by the checksum.
"""

from __future__ import annotations

import json
import mmap
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.features.kinds import Bytes
from s3prl_plugins.features.lines import OwnFile, new_lines, own_name, seal
from s3prl_plugins.files import parse_json

__all__ = ["DamageError", "Entry", "Shard", "Writer"]

_DIGITS = 20
"""Of a number in 64 bits."""


class DamageError(Exception):
    """A stored file that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the states of one utterance lie in a shard."""

    key: str
    offset: int
    size: int
    """Bytes."""
    layers: int
    frames: int
    """Before encoding: kind `pooled` keeps none of them."""
    dim: int
    checksum: int
    """CRC-32 of the bytes (4 GB/s here; BLAKE2 0.8), against damage, not against an adversary."""

    def text(self) -> str:
        return f"{self.key} {self.offset} {self.size} {self.layers} {self.frames} {self.dim} {self.checksum}"

    @staticmethod
    def parse(text: str) -> Entry | None:
        key, *numbers = text.split(" ")
        if len(numbers) != 6 or not all(number.isdecimal() and len(number) <= _DIGITS for number in numbers):
            return None
        return Entry(key, *map(int, numbers))


class Shard:
    """One shard as a reader sees it.

    :param index: its `.idx` file.
    """

    def __init__(self, index: Path) -> None:
        self.index, self.data = index, index.with_suffix(".bin")
        self.header: dict[str, Any] | None = None
        self._position = 0
        self._map: mmap.mmap | None = None

    @property
    def position(self) -> int:
        """Bytes of the index that were read."""
        return self._position

    def entries(self) -> Iterator[Entry | None]:
        """The entries that were not read before; None for a line that is damaged.

        :raises DamageError: the index cannot be read, or its header is none.
        """
        try:
            lines, self._position = new_lines(self.index, self._position)
        except OSError as error:
            raise DamageError(f"{self.index} cannot be read ({error.strerror})") from error
        if self.header is None and lines:
            self.header = _header(lines.pop(0))
            if self.header is None:
                raise DamageError(f"{self.index} does not begin with the header of a feature store")
        for line in lines:
            yield Entry.parse(line) if line is not None else None

    def view(self, entry: Entry) -> memoryview:
        """The bytes of an entry, mapped, not copied.

        :raises DamageError: the file is missing or too short.
        """
        end = entry.offset + entry.size
        try:
            if self._map is None or len(self._map) < end:
                with self.data.open("rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            # Touching a page beyond the end of a file that was cut meanwhile would kill the process.
            whole = min(len(self._map), self._map.size()) >= end
        except (OSError, ValueError) as error:
            self._map = None
            reason = getattr(error, "strerror", None) or error
            raise DamageError(f"{self.data} cannot be read ({reason})") from error
        if not whole:
            raise DamageError(f"{self.data} is truncated")
        return memoryview(self._map)[entry.offset : end]

    def check(self, entry: Entry) -> None:
        """:raises DamageError: the bytes of an entry are not those that were written."""
        if zlib.crc32(self.view(entry)) != entry.checksum:
            raise DamageError(f"{self.data} is damaged (wrong checksum)")


class Writer:
    """The shard that this process appends to.

    :param header: its first line.
    :raises OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.index = folder / f"{own_name()}.idx"
        self._data, self._index = OwnFile(self.index.with_suffix(".bin")), OwnFile(self.index)
        self._end = 0
        self._index.append(seal(json.dumps(dict(header))))

    def append(self, key: str, data: Bytes, layers: int, frames: int, dim: int) -> int:
        """Write one utterance; the bytes it takes.

        :raises OSError: it could not be written, and so will not be found. The writer is of no use then.
        """
        entry = Entry(key, self._end, len(data), layers, frames, dim, zlib.crc32(data))
        line = seal(entry.text())
        try:
            self._data.append(data)
            self._index.append(line)
        except OSError:
            self._data.cut(self._end)
            raise
        self._end += len(data)
        return len(data) + len(line)

    def close(self) -> None:
        self._data.close()
        self._index.close()


def _header(line: str | None) -> dict[str, Any] | None:
    try:
        header = parse_json(line) if line is not None else None
    except ValueError:
        return None
    return header if isinstance(header, dict) else None
