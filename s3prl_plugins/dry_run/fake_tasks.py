"""Stand-ins for corpora: noise with valid labels, for runs that only try whether everything fits together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.multitask.ssl_config import MaskedPredictionConfig
from s3prl_plugins.multitask.ssl_stream import CARD, FRAMES
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.multitask.tasks import TaskData
from s3prl_plugins.problems import Problems
from s3prl_plugins.seeding import derive, generator
from s3prl_plugins.superb.cards import TaskCard
from s3prl_plugins.superb.units import CHARACTERS

__all__ = ["INVENTORIES", "MEAN_SECONDS", "FakeReader", "fake_label", "fake_speech", "fake_stream", "fake_wave"]

MEAN_SECONDS: dict[str, float] = {
    "asr": 12.7,  # LibriSpeech train-clean-100: 100.6 h in 28539 utterances (Panayotov et al. 2015)
    "pr": 12.7,
    "sf": 3.0,  # Audio SNIPS: short spoken commands
    "sd": 15.0,  # Libri2Mix train-100, longer of two: 58 h in 13900 mixtures (arXiv 2005.11262)
    "er": 4.5,  # IEMOCAP, four emotions: 7.0 h in 5531 utterances
    "ic": 2.3,  # Fluent Speech Commands: 14.7 h in 23132 utterances (arXiv 1904.03670)
    "ks": 1.0,  # Speech Commands (arXiv 1804.03209)
    "asv": 6.7,  # VoxCeleb1: 8.2 s (arXiv 1706.08612), cut to 8 s
    "sid": 6.7,
}
"""Mean length of a training utterance as trained on, seconds; published, or derived from published hours."""


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}{number}" for number in range(count)]


INVENTORIES: dict[str, Any] = {
    "sf": {"characters": list(CHARACTERS), "slots": _numbered("slot", 39)},
    "er": {"emotion": _numbered("emotion", 4)},
    "ic": {"action": _numbered("action", 6), "object": _numbered("object", 14), "location": _numbered("location", 4)},
    "asv": _numbered("speaker", 1211),
    "sid": {"speaker": _numbered("speaker", 1251)},
}
"""Label inventories of the size that SUPERB's corpora have, for tasks whose reader takes them from the corpus."""

_SHORT = (1.0, 0.8)
"""Seconds of fake utterances: two lengths, so that batches hold padding."""
_UNITS_A_SECOND = 5
"""Phones or characters of a fake transcript; few enough to fit the frames of any upstream."""


@dataclass
class FakeReader:
    """Takes the place of a task's reader."""

    card: TaskCard
    inventory: Any
    """What the real reader's `labels` would give."""
    seed: int

    def labels(self, problems: Problems) -> Any:
        return self.inventory

    def examples(self, split: str, problems: Problems) -> list[Example]:
        return [
            Example(
                f"{split}{i}", Path(), seconds, fake_label(self.card, self.inventory, seconds, self._draw(split, i))
            )
            for i, seconds in enumerate(_SHORT * 2)
        ]

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        return fake_wave(example.seconds, self._draw("wave", example.name))

    def heard(self, wave: Tensor) -> Tensor:
        return wave

    def variant(self, example: Example) -> str:
        return "fake"

    def crop(self, example: Example) -> float | None:
        return None

    def files(self) -> Sequence[Path]:
        return ()

    def _draw(self, *names: object) -> torch.Generator:
        return generator(derive(self.seed, self.card.name), *names)


def fake_wave(seconds: float, draw: torch.Generator) -> Tensor:
    """White noise (samples,)."""
    return 0.1 * torch.randn(round(seconds * SAMPLE_RATE), generator=draw)


def fake_label(card: TaskCard, inventory: Any, seconds: float, draw: torch.Generator) -> Any:
    """A random label of the kind the task's head takes, from the inventory its reader gave."""

    def choose(values: Sequence[str]) -> str:
        return values[int(torch.randint(len(values), (1,), generator=draw))]

    if card.head == "diarization":
        return (("first", 0.0, 0.6 * seconds), ("second", 0.4 * seconds, seconds))
    if card.head == "verification":
        return choose(inventory)
    if card.head == "classification":
        values = tuple(choose(slot) for slot in inventory.values())
        return values if len(values) > 1 else values[0]
    units = inventory["characters"] if isinstance(inventory, dict) else inventory
    spoken = [unit for unit in units if unit.isalnum()]
    return (" " if card.name == "pr" else "").join(
        choose(spoken) for _ in range(max(1, int(_UNITS_A_SECOND * seconds)))
    )


def fake_stream(data: TaskData, seed: int) -> TaskStream:
    """Batches of at most two fake utterances of about a second."""
    size = min(2, data.config.train_batch.size)
    return TaskStream(data.reader, data.examples(data.config.card.train), BatchConfig(size), seed)


def fake_speech(config: MaskedPredictionConfig, seed: int) -> TaskStream:
    """Batches of at most two fake recordings of about a second, for masked prediction."""
    reader, examples = FakeReader(CARD, None, seed), []
    for number, seconds in enumerate(_SHORT * 2):
        frames, draw = FRAMES.count(round(seconds * SAMPLE_RATE)), generator(seed, CARD.name, number)
        clusters = torch.randint(config.clusters, (frames,), generator=draw)
        examples.append(Example(f"speech{number}", Path(), seconds, clusters))
    return TaskStream(reader, examples, BatchConfig(min(2, config.batch.size)), seed)
