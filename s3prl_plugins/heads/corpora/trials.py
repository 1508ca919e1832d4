"""Verification trial lists: lines `{1|0} id/video/utterance.wav id/video/utterance.wav`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from s3prl_plugins.heads.corpora.index import read_fields
from s3prl_plugins.problems import Problems

__all__ = ["Trial", "read_trials", "utterance_name"]


class Trial(NamedTuple):
    """One line of a verification trial list, kept with the utterance it names first."""

    line: int
    """Place in the list, from 0."""
    other: str
    """Name of the second utterance."""
    target: bool
    """Whether both are of one speaker."""


def utterance_name(path: str) -> str:
    """`id/video/00001.wav` as the prediction files write it: `id-video-00001`."""
    return "-".join(PurePosixPath(path).with_suffix("").parts[-3:])


def read_trials(path: Path, problems: Problems) -> list[tuple[str, str, bool]]:
    """First and second file as the list writes them, and whether both are of one speaker."""
    trials = []
    for target, first, second in read_fields(path, 3, problems):
        if target in ("0", "1"):
            trials.append((first, second, target == "1"))
        else:
            problems.add(path, f"a trial must begin with 1 or 0, found {target!r}", "mend the list")
    return trials
