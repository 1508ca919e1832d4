"""The stretches of speech that a downstream task names: whole utterances of a class, or words for recognition tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.contract import Example, Reader
from s3prl_plugins.heads.corpora.librispeech import AsrReader
from s3prl_plugins.heads.task import TaskConfig, build_reader
from s3prl_plugins.pretext.alignments import Word, guess_alignment, read_alignments
from s3prl_plugins.pretext.hsic import FEWEST
from s3prl_plugins.problems import Problems
from s3prl_plugins.seeding import generator

__all__ = ["CLASS_TASKS", "WORD_TASKS", "Caps", "Segment", "Speech", "choose", "speech_of"]

WORD_TASKS = ("asr", "pr")
"""Their classes are words (the selection papers' way for ASR)."""
CLASS_TASKS = ("er", "ic", "ks", "sid", "asv")
"""Their classes are the labels: emotion, intent, keyword, speaker."""


@dataclass(frozen=True)
class Segment:
    """One sample of a class."""

    utterance: int
    """Index into `Speech.examples`."""
    label: str
    start: float = 0.0
    """Seconds."""
    end: float | None = None
    """Seconds; None is the end of the utterance."""


@dataclass(frozen=True)
class Caps:
    """How much is measured."""

    per_class: int = 300
    """Samples of a class at most, drawn at random (the papers' words: the first 300; their speakers, emotions: all)."""
    classes: int = 100
    """Classes at most, the largest ones."""
    fewest: int = 8
    """Classes with fewer samples are left out."""

    def __post_init__(self) -> None:
        if self.fewest < FEWEST or self.per_class < self.fewest or self.classes < 1:
            raise ConfigError(
                f"caps must hold {FEWEST} <= fewest <= per_class and 1 <= classes, found fewest {self.fewest}, "
                f"per_class {self.per_class}, classes {self.classes}"
            )


@dataclass(frozen=True)
class Speech:
    """The training split of a task, cut into samples of classes."""

    reader: Reader
    examples: Sequence[Example]
    segments: Sequence[Segment]
    guessed: bool = False
    """Whether word borders are guessed."""

    def wave(self, utterance: int) -> Tensor:
        return self.reader.waveform(self.examples[utterance], None)


def speech_of(config: TaskConfig, root: Path, alignments: Path | None = None) -> Speech:
    """The training split of a task.

    :param alignments: folder of word alignments for ASR and PR; without it word borders are guessed.
    :raises ConfigError: a task without classes, or alignments for one without words.
    :raises CorpusError: a fault of the corpus, or alignments of none of its utterances.
    """
    name = config.task
    if name not in (*WORD_TASKS, *CLASS_TASKS):
        known = ", ".join((*CLASS_TASKS, *WORD_TASKS))
        raise ConfigError(f"task {name!r} has neither one class an utterance nor aligned words; use one of {known}")
    if name in WORD_TASKS:
        return _words(config, root, alignments)
    if alignments is not None:
        raise ConfigError(f"task {name!r} has no use for word alignments; leave --alignments out")
    reader = build_reader(config, root)
    examples = reader.examples(config.card.train, Problems())
    return Speech(reader, examples, [Segment(i, _class(example.label)) for i, example in enumerate(examples)])


def choose(segments: Sequence[Segment], caps: Caps, seed: int) -> dict[str, list[Segment]]:
    """Class -> its samples, within the caps; the same for the same seed, whatever the order of the classes.

    :raises CorpusError: no class is large enough.
    """
    by_class: dict[str, list[Segment]] = {}
    for segment in segments:
        by_class.setdefault(segment.label, []).append(segment)
    sizes = {label: len(found) for label, found in by_class.items()}
    largest = sorted(sizes, key=lambda label: (-sizes[label], label))[: caps.classes]
    kept = [label for label in largest if sizes[label] >= caps.fewest]
    if not kept:
        most = max(sizes.values(), default=0)
        raise CorpusError(
            f"a class needs at least {caps.fewest} samples, the largest of {len(sizes)} has {most}; use a larger corpus"
        )
    chosen = {}
    for label in sorted(kept):
        random = generator(seed, "pretext", "samples", label)
        order = torch.randperm(sizes[label], generator=random)[: caps.per_class].sort().values
        chosen[label] = [by_class[label][int(i)] for i in order]
    return chosen


def _class(label: Any) -> str:
    return "/".join(label) if isinstance(label, tuple) else str(label)


def _words(config: TaskConfig, root: Path, folder: Path | None) -> Speech:
    reader = AsrReader(config, root)
    examples = reader.examples(config.card.train, Problems())
    if folder is None:
        bar = tqdm(examples, desc="word borders", unit="utterance", delay=1, leave=False)
        aligned: Mapping[str, tuple[Word, ...]] = {
            example.name: guess_alignment(reader.waveform(example, None), example.label.split()) for example in bar
        }
    else:
        aligned = read_alignments(folder)
    segments = [
        Segment(i, word, start, end)
        for i, example in enumerate(examples)
        for word, start, end in aligned.get(example.name, ())
        if end > start
    ]
    if not segments:
        raise CorpusError(f"alignments in {folder} name none of {len(examples)} utterances; name those of this split")
    return Speech(reader, examples, segments, guessed=folder is None)
