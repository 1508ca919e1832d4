"""What a layout owes the builder: recordings to make, and index files to write once their lengths are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.corpora.recordings import Recording, Take

__all__ = ["Index", "Plan", "spread", "write_lines"]

Index = Callable[[Path, Path, Mapping[str, Take]], None]
"""(folder being filled, folder it will finally be, takes by path) -> None."""


@dataclass(frozen=True)
class Plan:
    """One corpus before it is made."""

    name: str
    """Folder of the corpus, and its name in the manifest."""
    recordings: Sequence[Recording]
    index: Index
    """Writes the corpus's lists, labels and tables."""
    splits: Mapping[str, Sequence[str]]
    """Split -> paths of its recordings, as the manifest counts them."""


def spread(count: int, over: int) -> list[int]:
    """Which of `over` holders each of `count` items goes to: item n to holder n mod `over`."""
    return [item % over for item in range(count)]


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines, each ended by a line feed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
