"""Where each word of an utterance lies: read from files, or guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.corpora.files import read_text
from s3prl_plugins.problems import Problems

__all__ = ["Word", "guess_alignment", "read_alignments"]

Word = tuple[str, float, float]
"""A word with its start and end in seconds."""
_QUIET = 1e-3
"""Energy below that of the loudest frame (30 dB) which counts as silence."""


def read_alignments(folder: Path) -> dict[str, tuple[Word, ...]]:
    """Utterance -> words, of all `*.alignment.txt` below `folder`, the form in which LibriSpeech's are published.

    A line is `84-121123-0000 ",GO,,DO," "0.490,0.890,1.270,1.380,1.49"`: words, empty where nobody speaks, and where each ends.

    :raises CorpusError: no such file, or a line of another form.
    """
    found: dict[str, tuple[Word, ...]] = {}
    for path in sorted(folder.rglob("*.alignment.txt")):
        for number, line in enumerate(read_text(path, Problems(), "restore the file").split("\n"), 1):
            if line.strip():
                name, words = _parse(line, f"{path}:{number}")
                found[name] = words
    if not found:
        raise CorpusError(f"no alignment was found in {folder}; name the folder of the *.alignment.txt files")
    return found


def _parse(line: str, where: str) -> tuple[str, tuple[Word, ...]]:
    try:
        name, words, times = line.split()
        spoken, ends = words.strip('"').split(","), [float(time) for time in times.strip('"').split(",")]
        starts = [0.0, *ends[:-1]]
        rising = all(end >= start for start, end in zip(starts, ends)) and math.isfinite(ends[-1])
        if len(spoken) != len(ends) or not rising:
            raise ValueError
    except ValueError:
        rule = 'must be: UTTERANCE ",WORD,WORD," "END,END,END,END" with rising ends'
        raise CorpusError(f"{where}: a line {rule}, found {line[:60]!r}; restore the file") from None
    return name, tuple((word.upper(), start, end) for word, start, end in zip(spoken, starts, ends) if word)


def guess_alignment(wave: Tensor, words: Sequence[str]) -> tuple[Word, ...]:
    """Words spread over the stretch between the outer silences, each as long as its letters ask; no pauses within.

    A stand-in where no alignment is at hand: borders are off by a part of a word. Silence is 30 dB below the loudest
    25 ms, so with loud noise nothing is cut.
    """
    hop = SAMPLE_RATE // 100
    padded = torch.nn.functional.pad(wave.double(), (0, max(0, 400 - len(wave))))
    energy = padded.unfold(0, 400, hop).square().mean(dim=1)
    loud = (energy >= _QUIET * energy.max()).nonzero()[:, 0]
    start, end = int(loud[0]) * hop, min(int(loud[-1]) * hop + 400, len(wave))
    letters = torch.tensor([0.0, *(float(len(word)) for word in words)], dtype=torch.float64).cumsum(0)
    borders = (start + (end - start) * letters / letters[-1]) / SAMPLE_RATE
    return tuple((word, float(borders[i]), float(borders[i + 1])) for i, word in enumerate(words))
