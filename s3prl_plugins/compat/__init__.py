"""What s3prl 0.4.18 no longer finds on today's stack, one file per third party.

Nothing happens when this package is imported: `s3prl_plugins.importing` calls `mend` and `standing_in` while s3prl is
imported. A process that does not import s3prl sees torch, torchaudio and the others as they are.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from s3prl_plugins.compat import absent, huggingface_hub, numpy, pandas, s3prl, torch, torchaudio
from s3prl_plugins.compat.repair import Absence, Repair

__all__ = ["ABSENCES", "ALL", "REPAIRS", "Absence", "Repair", "in_force", "mend", "standing_in"]

REPAIRS: tuple[Repair, ...] = (
    *torchaudio.REPAIRS,
    *torch.REPAIRS,
    *huggingface_hub.REPAIRS,
    *numpy.REPAIRS,
    *pandas.REPAIRS,
    *s3prl.REPAIRS,
)
ABSENCES: tuple[Absence, ...] = absent.ABSENCES
ALL: tuple[Repair | Absence, ...] = (*REPAIRS, *ABSENCES)

_made: set[str] = set()


def in_force() -> list[Repair | Absence]:
    """The repairs this process has made so far."""
    return [repair for repair in ALL if repair.name in _made]


def mend(module: ModuleType) -> None:
    """Make the repairs of one module that was just imported."""
    for repair in REPAIRS:
        if repair.module == module.__name__ and repair.mend(module):
            _made.add(repair.name)


@contextmanager
def standing_in(user: str) -> Iterator[None]:
    """While the s3prl module `user` is imported, stand-ins answer for the packages it names that are not installed."""
    added: list[str] = []
    for absence in ABSENCES:
        if user in absence.users and not _installed(absence.name):
            added += _insert(absence)
            _made.add(absence.name)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def _installed(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _insert(absence: Absence) -> list[str]:
    parts = absence.name.split(".")
    names = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
    added = [name for name in names if name not in sys.modules]
    for name in added:
        module = ModuleType(name, absence.instead)
        module.__path__ = []
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    vars(sys.modules[absence.name]).update(absence.contents())
    return added
