"""The state a pretraining goes on from: the newest, and the one before in case that is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.files import save_whole
from s3prl_plugins.untrusted import load_plain

__all__ = ["NEWEST", "begun", "load_state", "save_state"]

NEWEST, _BEFORE, _NEXT = "training.pt", "training.before.pt", "training.next.pt"
_CURE = "remove it or choose another -p"


def begun(folder: Path) -> bool:
    """Whether a folder holds a state, damaged or not."""
    return any((folder / name).is_file() for name in (NEWEST, _BEFORE))


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a state whole or not at all, and keep the one that was the newest.

    :raises DiskError: there is no room for it.
    """
    save_whole(folder / _NEXT, dict(state))
    if (folder / NEWEST).is_file():
        (folder / NEWEST).replace(folder / _BEFORE)
    (folder / _NEXT).replace(folder / NEWEST)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest undamaged state; None where none was saved. What is damaged is said, and removed.

    :raises CheckpointError: all are damaged.
    """
    damaged = []
    for name in (NEWEST, _BEFORE):
        path = folder / name
        if path.is_dir():
            raise CheckpointError(f"{path} must be a file, found a folder; {_CURE}")
        if not path.is_file():
            continue
        try:
            state = _checked(path)
        except CheckpointError as error:
            damaged.append(error)
            continue
        if damaged:
            tqdm.write(f"{damaged[0]}; going back to step {state['step']}")
        path.replace(folder / NEWEST)
        return state
    if damaged:
        raise damaged[0]
    return None


def _checked(path: Path) -> dict[str, Any]:
    state = load_plain(path, _CURE)
    if not isinstance(state, dict) or not isinstance(state.get("step"), int):
        raise CheckpointError(f"{path} is no state of a pretraining; {_CURE}")
    return state
