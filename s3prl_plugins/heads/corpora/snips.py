"""Audio SNIPS (SUPERB's preparation: s3prl/preprocess/snips_prepare_data.sh) for slot filling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.files import find_audio, read_lines
from s3prl_plugins.heads.corpora.index import AsTheyLie, measured
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.problems import Problems
from s3prl_plugins.superb.units import CHARACTERS

__all__ = ["SfReader", "marked_text"]

_FOLDERS = {"train": "train", "dev": "valid", "test": "test"}
_SPEAKERS = {
    "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
    "dev": ("Aditi", "Amy", "Geraint", "Nicole"),
    "test": ("Brian", "Emma", "Raveena", "Russell"),
}
_PUNCTUATION = frozenset("?!.,;-")
_PREPARE = "prepare the corpus by s3prl's preprocess/snips_prepare_data.sh, or mend corpus.path"


class SfReader(AsTheyLie):
    """Labels are words with marks around slot values, `PLAY B-artist THE BEATLES E-artist PLEASE`."""

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies and who speaks in each split."""

        path: Path
        """Folder of `train`, `valid`, `test`, `all.iob.snips.txt` and `slots.txt`, relative to the corpus root."""
        speakers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(_SPEAKERS))
        """Split -> synthetic speakers whose utterances it takes, by the id's first part (default: SUPERB's)."""

        def __post_init__(self) -> None:
            for split in self.speakers:
                if split not in _FOLDERS:
                    raise ConfigError(f"unknown split speakers.{split}; {nearest(split, _FOLDERS)}")

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self._path = root / config.corpus.path
        self._index = self._path / "all.iob.snips.txt"
        self._slots = self._path / "slots.txt"
        self._speakers: Mapping[str, Sequence[str]] = {**_SPEAKERS, **config.corpus.speakers}

    def examples(self, split: str, problems: Problems) -> list[Example]:
        """Utterances of the split's speakers, sorted by id."""
        speakers, folder = self._speakers[split], _FOLDERS[split]
        audio = find_audio([self._path / folder], ".wav", problems, _PREPARE)
        audio = {name: path for name, path in audio.items() if _part(name, 0) in speakers}
        lines = self._lines(problems)
        slots = set(self.labels(problems)["slots"])
        if not lines or not slots:
            return []
        for name in lines:
            if _part(name, 0) in speakers and _part(name, 2) == folder and name not in audio:
                problems.add(self._path / folder / f"{name}.wav", "audio file is missing", _PREPARE)
        labels = {name: self._label(name, lines.get(name, ""), slots, problems) for name in audio}
        drafts = [
            Example(name, path, 0.0, labels[name], f"SNIPS/{_part(name, 0)}")
            for name, path in audio.items()
            if labels[name]
        ]
        return measured(drafts, f"{self.card.name} {split}", problems)

    def labels(self, problems: Problems) -> dict[str, list[str]]:
        """`slots` are the lines of `slots.txt` after the first, which names no slot (`O`)."""
        lines = read_lines(self._slots, problems, _PREPARE)
        if len(lines) == 1:
            problems.add(
                self._slots, f"there must be slots after the first line, found {lines[0][:80]!r} alone", _PREPARE
            )
        return {"characters": list(CHARACTERS), "slots": [line.strip() for line in lines[1:]]}

    def files(self) -> list[Path]:
        return [self._index, self._slots, *(self._path / folder for folder in _FOLDERS.values())]

    def _lines(self, problems: Problems) -> dict[str, str]:
        """Utterance id -> the rest of its line."""
        found: dict[str, str] = {}
        for line in read_lines(self._index, problems, _PREPARE):
            name, _, rest = line.strip().partition(" ")
            if name in found:
                problems.add(
                    self._index, f"an utterance must have one line, found {name!r} twice", "remove one of them"
                )
            found[name] = rest
        return found

    def _label(self, name: str, line: str, slots: set[str], problems: Problems) -> str:
        """The label by the line's rest, `BOS WORD .. EOS<tab>O TAG .. INTENT`; empty if it was reported instead."""
        sentence, _, annotation = line.partition("\t")
        words, tags = sentence.split()[1:-1], annotation.split()[1:-1]
        if not words or len(words) != len(tags):
            rule = f"{name} needs as many words as tags, at least one, found {len(words)} and {len(tags)}"
            problems.add(self._index, rule, "write 'UTTID BOS WORD .. EOS<tab>O TAG .. INTENT', or remove the wav")
            return ""
        if unknown := sorted(set(tags) - slots - {"O"}):
            problems.add(self._index, f"slots must be in {self._slots.name}, found {unknown[0]!r} in {name}", "add it")
            return ""
        text = marked_text(words, tags)
        if not text:
            problems.add(self._index, f"{name} holds nothing but punctuation", "remove its wav and its line")
        return text


def marked_text(words: Sequence[str], tags: Sequence[str]) -> str:
    """Words with a `B-slot` and an `E-slot` around every run of one tag other than `O`; `&` is spelled out.

    Punctuation that stands alone is left out. s3prl's legacy encoder does the same to the texts SUPERB prepares; were
    there punctuation at the end of a slot or sentence, it would lose the mark or the end of sentence.
    """
    chunks = []
    for tag, run in groupby(zip(words, tags, strict=True), key=lambda pair: pair[1]):
        spoken = " ".join("AND" if word == "&" else word for word, _ in run if word not in _PUNCTUATION)
        if spoken:
            chunks.append(spoken if tag == "O" else f"B-{tag} {spoken} E-{tag}")
    return " ".join(chunks)


def _part(name: str, index: int) -> str:
    """A part of an id such as `Ivy-snips-train-0`; empty where there is none."""
    parts = name.split("-")
    return parts[index] if index < len(parts) else ""
