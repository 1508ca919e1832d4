"""A disk budget: what is worth keeping when not everything fits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.errors import ConfigError

__all__ = ["Plan", "Wanted", "format_size", "parse_size", "plan", "used"]

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_size(text: str | float) -> int:
    """Bytes of `50GB`, `800 MB`, `1.5TB` (powers of 1000), or 0.

    :raises ConfigError: a number without a unit, or none at all.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kKMGT]?B)?", str(text).strip(), re.ASCII)
    if found is None or (found[2] is None and float(found[1]) != 0):
        raise ConfigError(f"a size must be a number with kB, MB, GB or TB such as 50GB, or 0, found {text!r}")
    return round(float(found[1]) * _UNITS[(found[2] or "B").upper()])


def format_size(size: float) -> str:
    """`size` bytes for people: three digits and a unit of powers of 1000."""
    for unit in ("TB", "GB", "MB", "kB"):
        value = size / _UNITS[unit.upper()]
        if value >= 0.9995:
            return f"{value:.{max(0, 2 - math.floor(math.log10(max(value, 1))))}f} {unit}"
    return f"{size:.0f} B"


def used(folder: Path) -> int:
    """Bytes of the files below a folder; 0 if it is not there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            total += path.stat().st_size if path.is_file() else 0
    return total


@dataclass(frozen=True)
class Wanted:
    """What one task would like to be kept."""

    task: str
    kind: str
    seconds: float
    """Of audio."""
    bytes: int
    passes: float
    """How often the run goes over it; the first pass computes."""

    @property
    def saved(self) -> float:
        """Seconds of audio that the encoder need not hear again."""
        return self.seconds * max(0.0, self.passes - 1)


@dataclass(frozen=True)
class Plan:
    """What of the budget each task gets."""

    rooms: dict[str, int]
    """Task -> bytes, at most what it wanted; 0 is left out."""
    note: str
    """One line: what is kept, and what is left out and therefore computed each time."""


def plan(wanted: Sequence[Wanted], budget: int) -> Plan:
    """Share out a budget: what saves most encoder time per byte first, the first that does not fit gets what is left.

    That is the best there is, since any part of a task's utterances may be kept (the fractional knapsack). A task whose
    audio is heard once gets nothing.

    :param budget: bytes.
    """
    rooms, left = dict.fromkeys((one.task for one in wanted), 0), budget
    for one in sorted(wanted, key=lambda one: -one.saved / max(1, one.bytes)):
        if one.saved > 0:
            rooms[one.task] = min(one.bytes, left)
            left -= rooms[one.task]
    return Plan(rooms, _note(wanted, rooms, budget))


def _note(wanted: Sequence[Wanted], rooms: dict[str, int], budget: int) -> str:
    missing = [one for one in wanted if one.bytes]
    if not missing:
        return "feature store: nothing is missing"
    kept = [_share(one, rooms[one.task]) for one in missing if rooms[one.task]]
    parts = [f"feature store: {format_size(sum(rooms.values()))} for {', '.join(kept) or 'nothing'}"]
    short = [one for one in missing if one.saved > 0 and rooms[one.task] < one.bytes]
    if short:
        rest = ", ".join(f"{one.task} ({format_size(one.bytes - rooms[one.task])})" for one in short)
        parts.append(f"beyond the budget of {format_size(budget)} and computed each time: {rest}")
    once = [one.task for one in missing if one.saved <= 0]
    if once:
        parts.append(f"heard once: {', '.join(once)}")
    return "; ".join(parts)


def _share(one: Wanted, room: int) -> str:
    part = "" if room == one.bytes else f"{room / one.bytes:.0%} of "
    return f"{part}{one.task} ({one.kind})"
