"""Utterances and speakers that one task trains on and another evaluates on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from s3prl_plugins.heads.contract import Example

__all__ = ["Leak", "find_leaks", "leaked_names"]

_Place = tuple[str, str]
"""Task and split."""


@dataclass(frozen=True)
class Leak:
    """What joint training lets one task see of another's evaluation."""

    train_task: str
    held_task: str
    held_split: str
    utterances: tuple[str, ...]
    """Names, in the training task, of utterances whose samples the other split holds too."""
    speakers: tuple[str, ...]
    """Speakers in both."""


def find_leaks(
    training: Mapping[str, Sequence[Example]], held_out: Mapping[str, Mapping[str, Sequence[Example]]]
) -> list[Leak]:
    """Every pair of a task's training split and another task's held-out split that share samples or speakers.

    Two utterances share samples if they use overlapping stretches of the same file; links to a file are that file.
    Copies are not found by their samples, but by their speakers if both corpora are the same.

    :param training: task -> its training utterances.
    :param held_out: task -> split -> utterances it is evaluated on.
    """
    places = {(task, split): examples for task, splits in held_out.items() for split, examples in splits.items()}
    speakers = {place: _speakers(examples) for place, examples in places.items()}
    by_file: dict[object, list[tuple[_Place, Example]]] = defaultdict(list)
    for place, examples in places.items():
        for example in examples:
            by_file[_file(example)].append((place, example))
    leaks = []
    for task, examples in training.items():
        shared: dict[_Place, list[str]] = defaultdict(list)
        for example in examples:
            candidates = by_file.get(_file(example), ())
            for place in {place for place, other in candidates if _overlap(example, other)}:
                shared[place].append(example.name)
        own = _speakers(examples)
        for place, others in speakers.items():
            if place[0] != task and (shared[place] or own & others):
                leaks.append(Leak(task, *place, tuple(shared[place]), tuple(sorted(own & others))))
    return leaks


def leaked_names(leaks: Iterable[Leak]) -> dict[str, set[str]]:
    """Task -> names of its training utterances that any other task evaluates on; tasks without such are left out."""
    names: dict[str, set[str]] = defaultdict(set)
    for leak in leaks:
        if leak.utterances:
            names[leak.train_task].update(leak.utterances)
    return dict(names)


def _speakers(examples: Iterable[Example]) -> set[str]:
    return {example.speaker for example in examples} - {""}


def _file(example: Example) -> object:
    """What two names of one file have in common: device and inode, or the path of a file that is not there."""
    try:
        status = example.path.stat()
    except OSError:
        return example.path.absolute()
    return status.st_dev, status.st_ino


def _overlap(one: Example, other: Example) -> bool:
    starts_before_end = other.stop is None or one.start < other.stop
    ends_after_start = one.stop is None or one.stop > other.start
    return starts_before_end and ends_after_start
