"""Verification trial lists: lines `{1|0} id/video/utterance.wav id/video/utterance.wav`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from s3prl_plugins.heads.corpora.index import read_fields
from s3prl_plugins.problems import Problems

__all__ = ["Trial", "names_file", "read_trials", "utterance_name"]


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
    place = PurePosixPath(path)
    return "-".join((*place.parts[-3:-1], place.stem))


def read_trials(path: Path, problems: Problems) -> list[tuple[str, str, bool]]:
    """First and second file as the list writes them, and whether both are of one speaker."""
    trials = []
    for target, first, second in read_fields(path, 3, problems):
        if target not in ("0", "1"):
            problems.add(path, f"a trial must begin with 1 or 0, found {target!r}", "mend the list")
        elif names_file(first, path, problems) and names_file(second, path, problems):
            trials.append((first, second, target == "1"))
    return trials


def names_file(name: str, path: Path, problems: Problems) -> bool:
    """Whether a name in the list at `path` has the form SPEAKER/VIDEO/FILE; if not, it goes to `problems`."""
    parts = name.split("/")
    good = len(parts) == 3 and not {"", ".", ".."} & set(parts)
    if not good:
        problems.add(path, f"a file must be named SPEAKER/VIDEO/FILE, found {name!r}", "mend the list")
    return good
