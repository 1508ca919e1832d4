"""What readers share: index files read with named faults, headers with a progress bar, random stretches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.heads.audio import SAMPLE_RATE, load, seconds
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.files import read_text
from s3prl_plugins.problems import Problems

__all__ = ["GAIN", "GAINED", "AsTheyLie", "has_folder", "measured", "random_crop", "random_stretch", "read_fields"]

GAIN = 10.0 ** (-3.0 / 20.0)
"""What sox's `gain -3.0` multiplies by; s3prl applies it to the audio of KS and ASV."""
GAINED = "gain -3.0"
"""How `Reader.variant` names it."""


class AsTheyLie:
    """The part of a reader that takes the samples as they lie, in training too."""

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        return load(example.path, example.start, example.stop)

    def heard(self, wave: Tensor) -> Tensor:
        return wave

    def variant(self, example: Example) -> str:
        return ""

    def crop(self, example: Example) -> float | None:
        return None


_UNPACK = "unpack the corpus there or set corpus.path in the task's config"


def has_folder(path: Path, problems: Problems) -> bool:
    """Whether a folder of the corpus is there and not empty; if not, it goes to `problems`."""
    if not path.is_dir():
        problems.add(path, "corpus folder is missing", _UNPACK)
        return False
    try:
        empty = next(path.iterdir(), None) is None
    except OSError as error:
        problems.add(path, f"corpus folder cannot be read ({error.strerror})", _UNPACK)
        return False
    if empty:
        problems.add(path, "corpus folder is empty", _UNPACK)
    return not empty


def read_fields(path: Path, fields: int, problems: Problems) -> list[list[str]]:
    """The lines of an index of space-separated fields, the last of which may hold spaces; blank lines are skipped."""
    text = read_text(path, problems, "restore the corpus's index or set its path in the config")
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.strip().split(None, fields - 1)
        if len(parts) == fields:
            rows.append(parts)
        elif parts:
            problems.add(
                f"{path}:{number}", f"a line must hold {fields} fields, found {line[:200]!r}", "mend the index"
            )
    return rows


def measured(drafts: Sequence[Example], split: str, problems: Problems, limit: float = float("inf")) -> list[Example]:
    """`drafts` in their order, `seconds` filled in from the files' headers; what cannot be used goes to `problems`.

    :param limit: seconds that training uses of a file at most.
    """
    kept: dict[str, Example] = {}
    for draft in tqdm(drafts, desc=f"reading headers ({split})", unit="file", delay=1, leave=False):
        if draft.name in kept:
            problems.add(draft.path, f"split {split!r} names {draft.name!r} twice", "name each utterance once")
            continue
        length = seconds(draft.path, problems)
        if length > 0:
            kept[draft.name] = replace(draft, seconds=min(length, limit))
    if not kept:
        problems.add(f"split {split!r}", "no usable utterance was found", "check corpus.path in the task's config")
    return list(kept.values())


def random_crop(wave: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """A random stretch of `samples` samples, or all of a shorter `wave`."""
    spare = len(wave) - samples
    if spare <= 0:
        return wave
    start = int(torch.randint(spare + 1, (1,), generator=generator))
    return wave[start : start + samples]


def random_stretch(path: Path, samples: int, generator: torch.Generator) -> Tensor:
    """As `random_crop` of the file at `path`, of which no more than the stretch is read."""
    spare = round(seconds(path, Problems()) * SAMPLE_RATE) - samples
    if spare <= 0:
        return load(path)
    start = int(torch.randint(spare + 1, (1,), generator=generator))
    return load(path, start, start + samples)
