"""The errors a user can cause. Each message is one line: the rule, the value found, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AudioError", "CheckpointError", "ConfigError", "CorpusError", "DiskError", "Interrupted", "UserError", "nearest",
]  # fmt: skip


class UserError(ValueError):
    """Something the user can mend; the command line prints it without a traceback."""


class ConfigError(UserError):
    """A key, value or name in a configuration that cannot be used."""


class CorpusError(UserError):
    """A file, index or label of a corpus that cannot be used."""


class AudioError(UserError):
    """A recording that a model cannot answer for."""


class CheckpointError(UserError):
    """A checkpoint that is damaged, incomplete or of another architecture."""


class DiskError(UserError):
    """No room to write."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end, and what it had is saved.

    :param number: of the signal.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + number
        """Exit status, as a shell has it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The part of an error message that names the alternatives to `name`, the likeliest first.

    >>> nearest("asv2", ["asr", "asv", "ks"])
    "did you mean 'asv'? Known: asr, asv, ks"
    """
    names = sorted(str(item) for item in known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names)}"
