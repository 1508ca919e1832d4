"""What a repair is: data about one thing that s3prl 0.4.18 relies on and that is no longer there.

Named tuples and no dataclasses: these are loaded wherever s3prl is, and `dataclasses` costs more than all the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

__all__ = ["Absence", "Repair"]


class Repair(NamedTuple):
    """A change to one module, made right after it was imported and only if s3prl is imported too."""

    name: str
    """What was there, as s3prl spells it."""
    module: str
    """Dotted name of the module that is mended."""
    gone: str
    """What is missing or wrong, and since which version."""
    instead: str
    """What stands in its place."""
    mend: Callable[[ModuleType], bool]
    """Mends the module where something is missing; returns whether it had to."""


class Absence(NamedTuple):
    """A package that some modules of s3prl name at their top; stands in for it while they are imported."""

    name: str
    """Dotted name of the module they import."""
    users: tuple[str, ...]
    """The modules of s3prl that import it."""
    gone: str
    instead: str
    contents: Callable[[], dict[str, object]]
    """What the stand-in holds."""
