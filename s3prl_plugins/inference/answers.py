"""What a model says of a recording, as plain values. Times are in seconds from the beginning of the recording."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Answers", "Choice", "Diarization", "Embedding", "Intent", "Label", "Phones", "Slot", "SlotFilling", "Stretch",
    "Transcript", "Verification",
]  # fmt: skip


@dataclass(frozen=True)
class Stretch:
    """Something that is heard from `start` to `stop`: a word, a phone, a speaker."""

    label: str
    start: float
    stop: float


@dataclass(frozen=True)
class Transcript:
    """ASR. Under CTC a word lasts from the first to the last frame at which one of its letters is the likeliest symbol:
    good to find it, too short to cut it out."""

    text: str
    """Upper-case words."""
    words: tuple[Stretch, ...]


@dataclass(frozen=True)
class Phones:
    """PR: ARPAbet with stress marks. A phone lasts while it is the likeliest symbol, which under CTC may be one frame."""

    text: str
    phones: tuple[Stretch, ...]


@dataclass(frozen=True)
class Choice:
    """A class and its probability, in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True)
class Label:
    """KS, SID, ER: one class of those the model was trained on; the network knows no "none of these"."""

    label: str
    probability: float
    top: tuple[Choice, ...]
    """The likeliest classes, `label` first."""


@dataclass(frozen=True)
class Intent:
    """IC: one class for each of action, object, location."""

    slots: dict[str, Label]


@dataclass(frozen=True)
class Slot:
    """A slot, its value, and where the value stands in `SlotFilling.text`: `text[start:stop] == value`."""

    name: str
    value: str
    start: int
    stop: int


@dataclass(frozen=True)
class SlotFilling:
    """SF: a transcript and the slots in it."""

    text: str
    """Upper-case words without marks."""
    slots: tuple[Slot, ...]
    marked: str
    """As the network says it, and as SUPERB scores it: `PLAY B-artist THE BEATLES E-artist`. A mark without its partner
    makes no slot."""


@dataclass(frozen=True)
class Embedding:
    """ASV: a vector of length 1; the cosine similarity of two is the score of their recordings."""

    vector: tuple[float, ...]


@dataclass(frozen=True)
class Diarization:
    """SD: who speaks when; turns of two speakers may overlap. Speakers have numbers, not names, counted from 1."""

    turns: tuple[Stretch, ...]
    """In the order of their starts, labels `1`, `2` ..."""


@dataclass(frozen=True)
class Verification:
    """Whether two recordings are of one speaker."""

    score: float
    """Cosine similarity, in [-1, 1]."""
    threshold: float | None
    """Score of the equal error rate on the dev trials; None where the model holds none."""
    same: bool | None
    """Whether the score reaches the threshold; None without one."""


@dataclass(frozen=True)
class Answers:
    """Everything a model was asked about one recording; None for what it was not asked, or has no head for."""

    name: str
    """The file's path as given, or what the caller named the samples."""
    seconds: float
    asr: Transcript | None = None
    pr: Phones | None = None
    sf: SlotFilling | None = None
    sd: Diarization | None = None
    er: Label | None = None
    ic: Intent | None = None
    ks: Label | None = None
    asv: Embedding | None = None
    sid: Label | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: mappings, lists, numbers and strings; tasks without an answer are left out."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
