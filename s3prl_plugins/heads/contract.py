"""What a corpus reader and a head owe the runner, the feature store, the checker and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.cards import TaskCard

__all__ = ["Example", "Head", "Loss", "Prediction", "Reader", "Scores"]

Scores = dict[str, float]
"""Metric name -> value; percent, except QbE's MTWV."""


@dataclass(frozen=True)
class Example:
    """One utterance of one split, described without reading its samples."""

    name: str
    """Its id, as SUPERB's prediction files write it; unique within the split."""
    path: Path
    """The audio file."""
    seconds: float
    """Length of the stretch that is used, from the file's header."""
    label: Any
    """What the head learns: words, phones, a class name, a tuple of slot values, speaker segments; None where only an
    answer is asked for."""
    speaker: str = ""
    """Corpus-wide speaker id such as `LibriSpeech/84`; empty where the corpus tells none."""
    start: int = 0
    """First sample used (16 kHz)."""
    stop: int | None = None
    """One past the last sample used; None is the end of the file."""

    def __post_init__(self) -> None:
        """:raises CorpusError: the name cannot be written into a prediction file."""
        try:
            self.name.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{self.path}: an utterance's name must be UTF-8, found {self.name!r}; rename it"
            ) from error


@dataclass(frozen=True)
class Loss:
    """A loss as sum and count, so that micro-batches and processes can be combined by counts."""

    total: Tensor
    """Scalar with a graph: sum over `count` items."""
    count: float
    """Number of items (utterances, or frames) the sum runs over."""

    @property
    def mean(self) -> Tensor:
        return self.total / self.count


@dataclass(frozen=True)
class Prediction:
    """What a head says of one utterance, beside the truth."""

    name: str
    output: Any
    """In the form of the label; for ASV the embedding (dim,), for SD logits (frames, speakers)."""
    truth: Any
    extra: Mapping[str, Any] | None = None


class Reader(Protocol):
    """Finds the utterances of one task in a corpus that lies on disk as published."""

    card: TaskCard

    def examples(self, split: str, problems: Problems) -> list[Example]:
        """The utterances of a split in a fixed order; faults go to `problems`."""

    def labels(self, problems: Problems) -> Any:
        """The label inventory the head is built from (class names, characters, phones ...), plain data."""

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        """Samples (samples,) float32 at 16 kHz. With a generator: as for training, which is a random stretch where
        `crop` says so and the same samples otherwise."""

    def heard(self, wave: Tensor) -> Tensor:
        """What evaluation hears of a recording (samples,) at 16 kHz that is no part of the corpus."""

    def variant(self, example: Example) -> str:
        """What `waveform` does to the samples of the file, with its parameters; empty where it takes them as they lie."""

    def crop(self, example: Example) -> float | None:
        """Seconds of the random stretch that training hears of this example; None where it hears what evaluation does."""

    def files(self) -> Sequence[Path]:
        """The index files and folders the task cannot do without."""


class Head(Protocol):
    """A `torch.nn.Module` on the weighted sum of an upstream's hidden states."""

    card: TaskCard

    def loss(self, features: Sequence[Tensor], labels: Sequence[Any]) -> Loss:
        """:param features: per utterance (frames, dim).  :param labels: as in `Example.label`."""

    def predict(self, features: Sequence[Tensor], examples: Sequence[Example]) -> list[Prediction]:
        """Answers for a batch, in order; no gradients, evaluation mode set by the caller. Labels may be None."""

    def calibrate(self, predictions: Sequence[Prediction]) -> dict[str, float]:
        """Settings chosen on dev predictions that `score` takes on any split; empty for most tasks."""

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """Every metric of the card over one whole split."""

    def write(self, predictions: Sequence[Prediction], split: str, folder: Path) -> list[Path]:
        """Write SUPERB's prediction files of a split into `folder`; returns their paths."""
