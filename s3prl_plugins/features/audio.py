"""Digests of audio files, remembered by where, how large and how old they are."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from s3prl_plugins.features.lines import OwnFile, new_lines, own_name, seal

__all__ = ["AudioDigests"]

SETTLED = 2.0
"""Seconds after its last change from which a file's times tell whether it changed again: the coarsest clock of common
file systems. The digest of a younger file is not remembered."""


class AudioDigests:
    """The digest of an audio file's bytes, so that a copy elsewhere counts as the same and a changed file as another.

    A file whose path, size, time of change and time of the inode's change are known is not read again: one `os.stat`.
    What is known is kept in `folder` too, shared by processes; where that cannot be written, every process reads anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, str] = {}
        self._positions: dict[str, int] = {}
        self._own: tuple[int, OwnFile] | None = None

    def get(self, path: Path) -> str | None:
        """32 hex digits; None where the file cannot be read."""
        name = os.path.abspath(path)  # noqa: PTH100 (Path.absolute keeps `..`)
        try:
            found = os.stat(name)  # noqa: PTH116 (a third of Path.stat's time; this is most of what a stored utterance costs)
        except OSError:
            return None
        text = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {name}"
        state = hashlib.blake2b(os.fsencode(text), digest_size=16).hexdigest()
        if state not in self._known:
            self._look()
        if state not in self._known:
            return self._compute(name, state, found.st_ctime_ns)
        return self._known[state]

    def close(self) -> None:
        self._own = None

    def _compute(self, name: str, state: str, changed: int) -> str | None:
        settled = changed < (time.time() - SETTLED) * 1e9
        try:
            with Path(name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        except OSError:
            return None
        if settled:
            self._known[state] = digest
            self._write(state, digest)
        return digest

    def _look(self) -> None:
        """Take in what other processes have written since."""
        try:
            files = [(entry.name, entry.stat().st_size) for entry in os.scandir(self.folder)]
            for name, size in files:
                if size > self._positions.get(name, 0):
                    lines, self._positions[name] = new_lines(self.folder / name, self._positions.get(name, 0))
                    self._known |= {line[:32]: line[33:] for line in lines if line is not None and len(line) == 65}
        except OSError:
            return

    def _write(self, state: str, digest: str) -> None:
        try:
            if self._own is None or self._own[0] != os.getpid():
                self.folder.mkdir(parents=True, exist_ok=True)
                self._own = (os.getpid(), OwnFile(self.folder / f"{own_name()}.txt"))
            self._own[1].append(seal(f"{state} {digest}"))
        except OSError:
            return
