"""LibriSpeech (openslr.org/12) for ASR and PR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.index import AsTheyLie, measured
from s3prl_plugins.heads.corpora.lexicon import Lexicon
from s3prl_plugins.heads.corpora.librispeech_index import LibriSpeech, Utterance
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.units import LETTERS, PHONES

__all__ = ["AsrReader", "PrReader"]

_ASR_SPLITS = {
    "train": ("train-clean-100",),
    "dev-clean": ("dev-clean",),
    "test-clean": ("test-clean",),
    "dev-other": ("dev-other",),
    "test-other": ("test-other",),
}
_PR_SPLITS = {"train": ("train-clean-100",), "dev": ("dev-clean",), "test": ("test-clean",)}


class AsrReader(AsTheyLie):
    """Labels are the words of an utterance in upper case, `HELLO WORLD`."""

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies."""

        path: Path
        """Folder that holds the split folders, relative to the corpus root."""
        splits: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(_ASR_SPLITS))
        """Split -> folders below `path` (default: SUPERB's)."""

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self._corpus = LibriSpeech(self.card, root / config.corpus.path, config.corpus.splits)

    def examples(self, split: str, problems: Problems) -> list[Example]:
        """Utterances sorted by id; a transcript with other characters than A-Z and ' goes to `problems`."""
        alphabet = {*LETTERS, " "} - {"|"}
        drafts = []
        for utterance in self._corpus.utterances(split, problems):
            label = " ".join(utterance.words)
            if strange := sorted(set(label) - alphabet):
                rule = f"transcripts must be spelled with A-Z and ', found {strange[0]!r} in {utterance.name}"
                problems.add(utterance.transcript, rule, "respell the transcript")
            drafts.append(_draft(utterance, label))
        return measured(drafts, f"{self.card.name} {split}", problems)

    def labels(self, problems: Problems) -> list[str]:
        return list(LETTERS)

    def files(self) -> list[Path]:
        return self._corpus.folders


class PrReader(AsTheyLie):
    """Labels are the phones of an utterance with stress marks, `HH AH0 L OW1`."""

    @dataclass(frozen=True)
    class Config:
        """Where corpus and lexicon lie."""

        path: Path
        """Folder that holds the split folders, relative to the corpus root."""
        lexicon: tuple[Path, ...]
        """Files of `WORD PH PH ...` lines, relative to the corpus root; a word's first pronunciation counts."""
        splits: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(_PR_SPLITS))
        """Split -> folders below `path` (default: SUPERB's)."""

        def __post_init__(self) -> None:
            if not self.lexicon:
                raise ConfigError("lexicon is empty; name at least one file of 'WORD PH PH ...' lines")

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self._corpus = LibriSpeech(self.card, root / config.corpus.path, config.corpus.splits)
        self._lexicons = [root / path for path in config.corpus.lexicon]

    def examples(self, split: str, problems: Problems) -> list[Example]:
        """Utterances sorted by id; a word without a usable pronunciation goes to `problems`."""
        lexicon = Lexicon(self._lexicons, problems)
        drafts = []
        for utterance in self._corpus.utterances(split, problems):
            phones = lexicon.phones(utterance.words, utterance.name, problems)
            if phones is not None:
                drafts.append(_draft(utterance, " ".join(phones)))
        return measured(drafts, f"{self.card.name} {split}", problems)

    def labels(self, problems: Problems) -> list[str]:
        return list(PHONES)

    def files(self) -> list[Path]:
        return [*self._lexicons, *self._corpus.folders]


def _draft(utterance: Utterance, label: str) -> Example:
    return Example(utterance.name, utterance.path, 0.0, label, utterance.speaker)
