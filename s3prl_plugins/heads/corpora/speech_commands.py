"""Speech Commands v0.01 (arXiv 1804.03209) as SUPERB's keyword spotting uses it: ten words, unknown, silence."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from s3prl_plugins.heads.audio import SAMPLE_RATE, load, seconds
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.files import children
from s3prl_plugins.heads.corpora.index import GAIN, GAINED, has_folder, measured, random_stretch
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.problems import Problems

__all__ = ["KsReader"]

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
CLASSES = (*WORDS, UNKNOWN, SILENCE)
"""The order of s3prl's class ids."""
NOISE = "_background_noise_"
_CURE = "unpack the corpus again or mend its paths in the task's config"


def hash_percentage(file_name: str) -> float:
    """The corpus's own split rule: a number in [0, 100] from the speaker's part of a file name.

    Below 10 is dev; below 20 the corpus's own test part, which SUPERB drops for a separate test set; the rest is train.
    """
    digest = hashlib.sha1(file_name.split("_nohash_")[0].encode(errors="surrogateescape")).hexdigest()
    return int(digest, 16) % 2**27 * (100.0 / (2**27 - 1))


class KsReader:
    """Keyword spotting: `<word>/*.wav` for train and dev, a second folder `<class>/*.wav` for test.

    A noise file stands for one `_silence_` example: one second at random in training, a fixed one otherwise
    (spread evenly from file to file). s3prl draws dev with replacement, classes equally likely; here every
    dev file counts once, unless `superb_quirks` asks for such a draw (made once, not at every evaluation).
    """

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies."""

        path: Path = Path("speech_commands")
        """Folder of the training and dev words and of `_background_noise_`."""
        test_path: Path = Path("speech_commands_test")
        """Folder of the test set, one folder for each of the twelve classes."""

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self.path = root / config.corpus.path
        self.test_path = root / config.corpus.test_path
        self.quirks = config.superb_quirks

    def files(self) -> Sequence[Path]:
        return (self.path, self.path / NOISE, self.test_path)

    def labels(self, problems: Problems) -> dict[str, list[str]]:
        return {"keyword": list(CLASSES)}

    def examples(self, split: str, problems: Problems) -> list[Example]:
        if self.card.split(split) == "test":
            return measured(self._test(problems), split, problems)
        if not has_folder(self.path, problems):
            return []
        wanted = (0.0, 10.0) if split == "dev" else (20.0, 101.0)
        for word in WORDS:
            _recordings(self.path / word, problems)
        words = [
            self._example(path, path.parent.name if path.parent.name in WORDS else UNKNOWN)
            for path in sorted(self.path.glob("*/*.wav"))
            if path.parent.name != NOISE and wanted[0] <= hash_percentage(path.name) < wanted[1]
        ]
        found = [*measured(words, split, problems), *self._silences(problems)]
        return _balanced_draw(found) if self.quirks and split == "dev" else found

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        if generator is not None and example.label == SILENCE:
            return random_stretch(example.path, SAMPLE_RATE, generator) * GAIN
        return load(example.path, example.start, example.stop) * GAIN

    def heard(self, wave: Tensor) -> Tensor:
        return wave * GAIN

    def variant(self, example: Example) -> str:
        return GAINED

    def crop(self, example: Example) -> float | None:
        return 1.0 if example.label == SILENCE else None

    def _test(self, problems: Problems) -> list[Example]:
        if not has_folder(self.test_path, problems):
            return []
        found = []
        for folder in (path for path in children(self.test_path, problems, _CURE) if path.is_dir()):
            if folder.name not in CLASSES:
                problems.add(folder, f"a folder of the test set must be one of {', '.join(CLASSES)}", "remove it")
        for name in sorted(CLASSES):
            found += [self._example(path, name) for path in _recordings(self.test_path / name, problems)]
        return found

    def _silences(self, problems: Problems) -> list[Example]:
        paths = _recordings(self.path / NOISE, problems)
        found = []
        for number, path in enumerate(paths, 1):
            length = seconds(path, problems)
            if 0 < length < 1:
                problems.add(
                    path, f"a noise must be at least 1 second, found {length:.2f}", "replace or remove the file"
                )
            elif length >= 1:
                start = round((length - 1) * SAMPLE_RATE * number / (len(paths) + 1))
                example = self._example(path, SILENCE)
                found.append(replace(example, seconds=1.0, start=start, stop=start + SAMPLE_RATE))
        return found

    def _example(self, path: Path, label: str) -> Example:
        speaker, marked, _ = path.name.partition("_nohash_")
        return Example(
            name=f"{path.parent.name}-{path.name}",
            path=path,
            seconds=0.0,
            label=label,
            speaker=f"SpeechCommands/{speaker}" if marked else "",
        )


def _recordings(folder: Path, problems: Problems) -> list[Path]:
    """The recordings of one class, of which there must be some."""
    paths = [path for path in children(folder, problems, _CURE) if path.suffix == ".wav"] if folder.is_dir() else []
    if not paths:
        fault = "must hold .wav files, found none" if folder.is_dir() else "is missing"
        problems.add(folder, f"the folder of a class {fault}", _CURE)
    return paths


def _balanced_draw(examples: list[Example]) -> list[Example]:
    """As many examples, drawn with replacement, every class equally likely; repeats get `#2`, `#3` ... as names."""
    counts = Counter(example.label for example in examples)
    weights = torch.tensor([1.0 / counts[example.label] for example in examples], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(weights, len(examples), replacement=True, generator=generator)
    seen: Counter[int] = Counter()
    chosen = []
    for index in drawn.tolist():
        seen[index] += 1
        example, turn = examples[index], seen[index]
        chosen.append(example if turn == 1 else replace(example, name=f"{example.name}#{turn}"))
    return chosen
