"""The errors a user can cause. Each message is one line: the rule, the value found, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AudioError", "CheckpointError", "ConfigError", "CorpusError", "DiskError", "Interrupted", "UserError", "nearest",
    "printable", "shortened",
]  # fmt: skip


_FIRST, _LAST = 700, 300
"""Characters of a longer message that are kept: file, key and rule stand at its beginning, the cure at its end."""


class UserError(ValueError):
    """Something the user can mend; the command line prints it without a traceback.

    Whatever it quotes, the message is one line of at most 1,005 characters that print.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message))


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


def printable(text: str) -> str:
    """`text` as one line that leaves the terminal as it is: line breaks and control characters are written as Python does."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shortened(text: str) -> str:
    """`text` as one printable line of at most 1,005 characters."""
    text = printable(text)
    return text if len(text) <= _FIRST + _LAST else f"{text[:_FIRST]} ... {text[-_LAST:]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The part of an error message that names the alternatives to `name`, the likeliest first.

    >>> nearest("asv2", ["asr", "asv", "ks"])
    "did you mean 'asv'? Known: asr, asv, ks"
    """
    names = sorted(str(item) for item in known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names)}"
