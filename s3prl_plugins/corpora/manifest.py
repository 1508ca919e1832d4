"""manifest.json: what a made corpus holds, and the checksum that proves it."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.corpora.layouts.plan import Plan
from s3prl_plugins.corpora.recordings import Take
from s3prl_plugins.corpora.texts import SLOTS, vocabulary
from s3prl_plugins.files import parse_checked, write_checked

__all__ = ["FILE", "MINI_SUPERB", "SPEECH", "VERSION", "Kind", "checksum", "read", "write"]

FILE = "manifest.json"
VERSION = 3
"""Version of the generator: raised whenever the same size and seed give other bytes with the same `made_with`."""
MINI_SUPERB = "mini-SUPERB"
SPEECH = "speech"


@dataclass(frozen=True)
class Kind:
    """What was asked for."""

    name: str
    options: Mapping[str, Any]
    """With the generator's version they decide every byte."""

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key} {value}" for key, value in self.options.items())])


def checksum(root: Path, final: Path) -> str:
    """SHA-256 over names and contents of all files below `root` except the manifest.

    :param final: the folder that absolute paths in `wav.scp` begin with; it does not enter the checksum.
    """
    digest = hashlib.sha256()
    place = str(final.resolve()).encode()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p != root / FILE):
        content = path.read_bytes()
        if path.name == "wav.scp":
            content = content.replace(b" " + place + b"/", b" /")
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def read(root: Path) -> dict[str, Any] | None:
    """The manifest of a finished corpus, or None where there is none."""
    try:
        found = parse_checked((root / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write(root: Path, final: Path, kind: Kind, plans: Sequence[Plan], takes: Mapping[str, Take]) -> dict[str, Any]:
    """Write the manifest of the corpus in `root`, the last of its files; returns its content."""
    corpora = {
        plan.name: {
            "minutes": round(sum(takes[r.path].seconds for r in plan.recordings) / 60, 2),
            "files": len(plan.recordings),
            "splits": {
                split: {
                    "files": len(paths),
                    "minutes": round(sum(takes[path].seconds for path in paths) / 60, 2),
                }
                for split, paths in plan.splits.items()
            },
        }
        for plan in plans
    }
    content: dict[str, Any] = {
        "name": kind.name,
        "note": "Synthetic speech: compare methods on it with each other, never with published SUPERB scores.",
        **kind.options,
        "version": VERSION,
        "minutes": round(sum(take.seconds for take in takes.values()) / 60, 2),
        "sha256": checksum(root, final),
        "made_with": {name: importlib.metadata.version(name) for name in ("espeakng-loader", "numpy", "soundfile")},
        "words": vocabulary(),
        "slots": sorted(SLOTS),
        "corpora": corpora,
    }
    write_checked(root / FILE, content, indent=1)
    return content
