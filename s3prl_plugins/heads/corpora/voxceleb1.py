"""VoxCeleb1 (arXiv 1706.08612) for speaker identification and verification: `{dev,test}/wav/<id>/<video>/<utt>.wav`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from s3prl_plugins.compat.sox import remove_silence
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE, load
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.files import children
from s3prl_plugins.heads.corpora.index import (
    GAIN,
    GAINED,
    has_folder,
    measured,
    random_crop,
    random_stretch,
    read_fields,
)
from s3prl_plugins.heads.corpora.trials import Trial, names_file, read_trials, utterance_name
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.problems import Problems

__all__ = ["AsvReader", "SidReader"]

SILENCE = (0.1, 0.001)
"""Seconds, and fraction of full scale: sox's `silence 1 0.1 0.1% -1 0.1 0.1%`, as s3prl's sv_voxceleb1 has it."""
EVAL_FLOOR = 0.5
"""Seconds of speech below which a file is evaluated with its silence: a shorter one may not fill the x-vector."""


class SidReader:
    """Speaker identification by the corpus's `iden_split` list; random crops in training, whole files otherwise.

    Speakers are numbered in the order of their ids, which on the whole corpus is s3prl's numbering.
    """

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies and how much of a file training hears."""

        path: Path = Path("VoxCeleb1")
        """Folder that holds dev/wav and test/wav."""
        meta_data: Path = Path("VoxCeleb1/veri_test_class.txt")
        """The split list: lines `{1|2|3} id/video/utterance.wav` for train, dev, test."""
        max_seconds: float | None = 8.0
        """Longest stretch used in training (s3prl: max_timestep 128000 samples); None uses whole files."""

        def __post_init__(self) -> None:
            _check_seconds("max_seconds", self.max_seconds)

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self.path, self.meta_data = root / config.corpus.path, root / config.corpus.meta_data
        self.max_seconds: float | None = config.corpus.max_seconds

    def files(self) -> Sequence[Path]:
        return (self.path / "dev" / "wav", self.path / "test" / "wav", self.meta_data)

    def labels(self, problems: Problems) -> dict[str, list[str]]:
        rows = read_fields(self.meta_data, 2, problems)
        return {"speaker": sorted({_speaker(name) for part, name in rows if part == "1"})}

    def examples(self, split: str, problems: Problems) -> list[Example]:
        wanted = {"train": "1", "dev": "2", "test": "3"}[self.card.split(split)]
        rows = read_fields(self.meta_data, 2, problems)
        known = {_speaker(name) for part, name in rows if part == "1"}
        folders = {
            folder.name: folder
            for part in ("dev", "test")
            for folder in _speaker_folders(self.path / part / "wav", problems)
        }
        drafts = []
        for part, name in rows:
            speaker = _speaker(name)
            if part not in ("1", "2", "3"):
                problems.add(self.meta_data, f"a line must begin with 1, 2 or 3, found {part!r}", "mend the list")
            if part != wanted or not names_file(name, self.meta_data, problems):
                continue
            if speaker not in known:
                problems.add(self.meta_data, f"speaker {speaker!r} of {split} is not in train", "mend the list")
                continue
            folder = folders.get(speaker, self.path / "dev" / "wav" / speaker)
            drafts.append(_example(folder.parent / name, name, speaker))
        limit = self.max_seconds if split == "train" else None
        return measured(drafts, split, problems, limit or float("inf"))

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        if generator is None or self.max_seconds is None:
            return load(example.path)
        return random_stretch(example.path, round(self.max_seconds * SAMPLE_RATE), generator)

    def heard(self, wave: Tensor) -> Tensor:
        return wave

    def variant(self, example: Example) -> str:
        return ""

    def crop(self, example: Example) -> float | None:
        return _shortened(example, self.max_seconds)


class AsvReader:
    """Speaker verification: training on the speakers of dev/wav, EER over trial lists.

    A training label is the speaker. In dev and test it is a tuple of the `Trial`s that name the utterance first.
    Dev trials are s3prl's own; their speakers are held out of training, unless `superb_quirks` (s3prl trains
    on them, and has no working dev split). The audio is s3prl's: 3 dB softer, silences removed as by sox's `silence`.
    s3prl drops training files that are left with less than `min_seconds`; finding them means decoding the
    whole corpus, so here only files that are shorter as they lie are dropped, and the others keep their silence.
    """

    @dataclass(frozen=True)
    class Config:
        """Where the corpus lies and what of a file is used."""

        path: Path = Path("VoxCeleb1")
        """Folder that holds dev/wav and test/wav."""
        dev_trials: Path = Path("VoxCeleb1/dev_meta_data.txt")
        """Lines `{1|0} a.wav b.wav`, paths relative to dev/wav (s3prl's sv_voxceleb1/dev_meta_data)."""
        test_trials: Path = Path("VoxCeleb1/voxceleb1_test_v2.txt")
        """The same form, paths relative to test/wav (VoxCeleb1-O, cleaned)."""
        silence_removal: bool = True
        """Take out silences as sox's `silence 1 0.1 0.1% -1 0.1 0.1%`."""
        min_seconds: float = 2.0
        """Shortest file used in training (s3prl: min_sec 32000 samples)."""
        max_seconds: float | None = 8.0
        """Longest stretch used in training (s3prl: max_timestep 128000 samples); None uses whole files."""

        def __post_init__(self) -> None:
            _check_seconds("min_seconds", self.min_seconds)
            _check_seconds("max_seconds", self.max_seconds)

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card, self.config = config.card, config.corpus
        self.train_folder, self.test_folder = (root / config.corpus.path / part / "wav" for part in ("dev", "test"))
        self.dev_trials, self.test_trials = root / config.corpus.dev_trials, root / config.corpus.test_trials
        self.hold_out = not config.superb_quirks

    def files(self) -> Sequence[Path]:
        return (self.train_folder, self.test_folder, self.dev_trials, self.test_trials)

    def labels(self, problems: Problems) -> list[str]:
        return [folder.name for folder in self._train_speakers(problems)]

    def examples(self, split: str, problems: Problems) -> list[Example]:
        if self.card.split(split) == "train":
            drafts = []
            for folder in self._train_speakers(problems):
                paths = sorted(folder.glob("*/*.wav"))
                if not paths:
                    problems.add(
                        folder, "a speaker's folder must hold VIDEO/*.wav, found none to read", "remove or mend it"
                    )
                drafts += [_example(path, path.relative_to(folder.parent).as_posix(), folder.name) for path in paths]
            return self._long_enough(drafts, problems)
        is_dev = split == "dev"
        folder = self.train_folder if is_dev else self.test_folder
        path = self.dev_trials if is_dev else self.test_trials
        trials = read_trials(path, problems)
        if len({target for _, _, target in trials}) == 1:
            problems.add(path, "trials must be of both kinds, found 1 or 0 alone", "put the corpus's list there")
        names = sorted({name for first, second, _ in trials for name in (first, second)})
        by_first: Mapping[str, list[Trial]] = defaultdict(list)
        for line, (first, second, target) in enumerate(trials):
            by_first[first].append(Trial(line, utterance_name(second), target))
        drafts = [_example(folder / name, name, tuple(by_first.get(name, ()))) for name in names]
        return measured(drafts, split, problems)

    def waveform(self, example: Example, generator: torch.Generator | None) -> Tensor:
        wave = self._voiced(load(example.path), self._floor(example))
        if generator is None or self.config.max_seconds is None:
            return wave
        return random_crop(wave, round(self.config.max_seconds * SAMPLE_RATE), generator)

    def heard(self, wave: Tensor) -> Tensor:
        return self._voiced(wave, EVAL_FLOOR)

    def variant(self, example: Example) -> str:
        if not self.config.silence_removal:
            return GAINED
        seconds, level = SILENCE
        return f"{GAINED}, silence {seconds} {level} unless it leaves {self._floor(example)} s or less"

    def crop(self, example: Example) -> float | None:
        return _shortened(example, self.config.max_seconds)

    def _voiced(self, wave: Tensor, floor: float) -> Tensor:
        wave = wave * GAIN
        if not self.config.silence_removal:
            return wave
        voiced = torch.from_numpy(remove_silence(wave.numpy(), SAMPLE_RATE, SILENCE, SILENCE))
        return voiced if len(voiced) > floor * SAMPLE_RATE else wave

    def _floor(self, example: Example) -> float:
        return EVAL_FLOOR if isinstance(example.label, tuple) else float(self.config.min_seconds)

    def _train_speakers(self, problems: Problems) -> list[Path]:
        held = set()
        if self.hold_out:
            held = {
                _speaker(name)
                for first, second, _ in read_trials(self.dev_trials, problems)
                for name in (first, second)
            }
        if not has_folder(self.train_folder, problems):
            return []
        return [folder for folder in _speaker_folders(self.train_folder, problems) if folder.name not in held]

    def _long_enough(self, drafts: list[Example], problems: Problems) -> list[Example]:
        limit = self.config.max_seconds or float("inf")
        found = measured(drafts, "train", problems)
        kept = [replace(e, seconds=min(e.seconds, limit)) for e in found if e.seconds >= self.config.min_seconds]
        if found and not kept:
            rule = f"every training file is shorter than min_seconds {self.config.min_seconds}"
            problems.add(self.train_folder, rule, "lower corpus.min_seconds in the task's config")
        return kept


def _example(path: Path, name: str, label: str | tuple[Trial, ...]) -> Example:
    return Example(utterance_name(name), path, 0.0, label, speaker=f"VoxCeleb1/{_speaker(name)}")


def _shortened(example: Example, limit: float | None) -> float | None:
    """`limit` if training may cut the example; its `seconds` are at most the limit then."""
    return limit if limit is not None and example.seconds >= limit else None


def _speaker(name: str) -> str:
    return name.split("/", 1)[0]


def _speaker_folders(folder: Path, problems: Problems) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in children(folder, problems, "complete the corpus") if path.is_dir()]


def _check_seconds(name: str, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ConfigError(f"{name} must be above 0 seconds, found {value}")
