"""Utterances and speakers that one task trains on and another evaluates on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.heads.contract import Example

__all__ = ["Leak", "find_leaks"]


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

    Two utterances share samples if they use overlapping stretches of the same file.

    :param training: task -> its training utterances.
    :param held_out: task -> split -> utterances it is evaluated on.
    """
    leaks = []
    for train_task, held_task, split, examples in _pairs(training, held_out):
        by_file = defaultdict(list)
        for example in examples:
            by_file[_file(example)].append(example)
        shared = [e.name for e in training[train_task] if any(_overlap(e, other) for other in by_file[_file(e)])]
        speakers = {e.speaker for e in training[train_task]} & {e.speaker for e in examples} - {""}
        if shared or speakers:
            leaks.append(Leak(train_task, held_task, split, tuple(shared), tuple(sorted(speakers))))
    return leaks


def _pairs(
    training: Mapping[str, Sequence[Example]], held_out: Mapping[str, Mapping[str, Sequence[Example]]]
) -> Iterator[tuple[str, str, str, Sequence[Example]]]:
    for train_task in training:
        for held_task, splits in held_out.items():
            if held_task != train_task:
                for split, examples in splits.items():
                    yield train_task, held_task, split, examples


def _file(example: Example) -> Path:
    return example.path.absolute()


def _overlap(one: Example, other: Example) -> bool:
    starts_before_end = other.stop is None or one.start < other.stop
    ends_after_start = one.stop is None or one.stop > other.start
    return starts_before_end and ends_after_start
