"""The LibriSpeech readers on a small corpus of noise: what they find, and every fault named with its cure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from ctc_cases import config

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.contract import Reader
from s3prl_plugins.heads.task import build_reader, task_config
from s3prl_plugins.problems import Problems

FOLDERS = {"train-clean-100": ("84", "103"), "dev-clean": ("5",), "test-clean": ("6",)}
SPLITS = {"asr": ("train", "dev-clean", "test-clean"), "pr": ("train", "dev", "test")}


def write_audio(path: Path, seconds: float = 0.1, rate: int = 16000, channels: int = 1) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (round(seconds * rate), channels))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise, rate)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, speakers in FOLDERS.items():
        for speaker in speakers:
            chapter = tmp_path / "LibriSpeech" / folder / speaker / "7"
            for number in range(2):
                write_audio(chapter / f"{speaker}-7-000{number}.flac", 0.1 * (number + 1))
            (chapter / f"{speaker}-7.trans.txt").write_text(f"{speaker}-7-0000 A DOG\n{speaker}-7-0001 DOG'S  a\n")
    (tmp_path / "first.txt").write_text("A  AH0\nA EY1\nDOG D AO1 G\n")
    (tmp_path / "second.txt").write_text("DOG K\nDOG'S D AO1 G Z\n")
    return tmp_path


def make_reader(task: str, root: Path, **corpus: Any) -> Reader:
    mapping = config(task)
    mapping["corpus"] = {"path": "LibriSpeech"} | corpus
    if task == "pr":
        mapping["corpus"].setdefault("lexicon", ["first.txt", "second.txt"])
    mapping["corpus"].setdefault("splits", dict(zip(SPLITS[task], ([folder] for folder in FOLDERS))))
    return build_reader(task_config(mapping), root)


LABELS = {"asr": ["A DOG", "DOG'S A"], "pr": ["AH0 D AO1 G", "D AO1 G Z AH0"]}


@pytest.mark.parametrize("task", ["asr", "pr"])
def test_examples_in_order(task: str, root: Path) -> None:
    reader = make_reader(task, root)
    examples = reader.examples("train", Problems())
    assert [e.name for e in examples] == ["103-7-0000", "103-7-0001", "84-7-0000", "84-7-0001"]
    assert [e.label for e in examples] == LABELS[task] * 2
    assert [e.speaker for e in examples] == ["LibriSpeech/103"] * 2 + ["LibriSpeech/84"] * 2
    assert [e.seconds for e in examples] == [0.1, 0.2] * 2
    assert reader.waveform(examples[1], None).shape == (3200,)
    assert [e.name for e in reader.examples(SPLITS[task][2], Problems())] == ["6-7-0000", "6-7-0001"]
    assert all(path.exists() for path in reader.files())
    assert {path.name for path in reader.files()} >= set(FOLDERS)


@pytest.mark.parametrize("task", ["asr", "pr"])
def test_labels_are_within_the_inventory(task: str, root: Path) -> None:
    reader = make_reader(task, root)
    units = reader.labels(Problems())
    assert isinstance(units, list) and len(units) == {"asr": 28, "pr": 71}[task]
    used = {u for e in reader.examples("train", Problems()) for u in (e.label.split() if task == "pr" else e.label)}
    assert used - {" "} <= set(units)


def test_folders_of_one_split_are_joined_in_their_order(root: Path) -> None:
    reader = make_reader("asr", root, splits={"train": ["test-clean", "dev-clean"]})
    assert [e.name for e in reader.examples("train", Problems())] == ["6-7-0000", "6-7-0001", "5-7-0000", "5-7-0001"]


def chapter(root: Path) -> Path:
    return root / "LibriSpeech" / "dev-clean" / "5" / "7"


def transcript(text: str) -> Callable[[Path], object]:
    return lambda root: (chapter(root) / "5-7.trans.txt").write_bytes(text.encode("latin-1"))


def remove(*names: str) -> Callable[[Path], object]:
    return lambda root: [(chapter(root) / name).unlink() for name in names]


def audio(**options: Any) -> Callable[[Path], object]:
    return lambda root: write_audio(chapter(root) / "5-7-0001.flac", **options)


FAULTS = {
    "no audio": (
        remove("5-7-0000.flac", "5-7-0001.flac"),
        "dev-clean: folder holds no .flac file; complete the corpus",
    ),
    "one file": (remove("5-7-0001.flac"), "5-7-0001.flac: audio file is missing; complete the corpus"),
    "no transcript": (remove("5-7.trans.txt"), r"5-7.trans.txt: file cannot be read \(No such file or directory\)"),
    "no line": (
        transcript("5-7-0000 A DOG\n"),
        "5-7-0001.flac: audio must have words in its chapter's .trans.txt; add",
    ),
    "no words": (transcript("5-7-0000 A\n5-7-0001\n"), "5-7-0001.flac: audio must have words"),
    "encoding": (transcript("5-7-0000 \xc9\n"), "5-7.trans.txt: file must be UTF-8, found byte 0xc9; convert it"),
    "rate": (audio(rate=8000), "5-7-0001.flac: sample rate must be 16000 Hz, found 8000; convert it"),
    "stereo": (audio(channels=2), "5-7-0001.flac: audio must be mono, found 2 channels; convert it"),
    "damage": (
        lambda root: (chapter(root) / "5-7-0001.flac").write_bytes(b"no flac"),
        "audio cannot be read .*; replace the",
    ),
}


@pytest.mark.parametrize("task", ["asr", "pr"])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_its_cure(task: str, fault: str, root: Path) -> None:
    damage, message = FAULTS[fault]
    damage(root)
    reader = make_reader(task, root)
    with pytest.raises(CorpusError, match=message):
        reader.examples(SPLITS[task][1], Problems())
    problems = Problems(gather=True)
    names = [e.name for e in reader.examples(SPLITS[task][1], problems)]
    assert any(re.search(message, str(problem)) for problem in problems.found)
    assert "5-7-0001" not in names
    assert reader.examples("train", Problems())


def test_character_outside_the_alphabet(root: Path) -> None:
    transcript("5-7-0000 A D0G\n5-7-0001 A\n")(root)
    rule = r"5-7.trans.txt: transcripts must be spelled with A-Z and ', found '0' in 5-7-0000; respell"
    with pytest.raises(CorpusError, match=rule):
        make_reader("asr", root).examples("dev-clean", Problems())


def test_word_outside_the_lexicon_is_reported_once(root: Path) -> None:
    transcript("5-7-0000 CAT DOG CAT\n5-7-0001 A CAT\n")(root)
    reader = make_reader("pr", root)
    message = (
        r"first.txt, .*second.txt: the lexicon must have every word .* \(word 'CAT' of 5-7-0000\); add a line 'CAT PH"
    )
    with pytest.raises(CorpusError, match=message):
        reader.examples("dev", Problems())
    problems = Problems(gather=True)
    assert reader.examples("dev", problems) == []
    assert sum("CAT" in problem.rule for problem in problems.found) == 1


def test_strange_phone(root: Path) -> None:
    (root / "first.txt").write_text("A AX\nDOG D AO1 G\n")
    with pytest.raises(CorpusError, match=r"made of s3prl's 71 phones, found 'AX' \(word 'A' of 103-7-0000\)"):
        make_reader("pr", root).examples("train", Problems())


def test_missing_lexicon_is_one_problem(root: Path) -> None:
    (root / "second.txt").unlink()
    reader = make_reader("pr", root)
    with pytest.raises(CorpusError, match=r"second.txt: file cannot be read .*; put the lexicon there or mend"):
        reader.examples("train", Problems())
    problems = Problems(gather=True)
    reader.examples("train", problems)
    assert sum("lexicon" in str(problem) for problem in problems.found) == 1


def test_config_errors(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown split corpus.splits.dev-clear for asr; did you mean 'dev-clean'"):
        make_reader("asr", root, splits={"dev-clear": ["dev-clean"]})
    with pytest.raises(ConfigError, match=r"corpus.splits has no 'dev-clean', only train; add it"):
        make_reader("asr", root, splits={"train": ["train-clean-100"]}).examples("dev-clean", Problems())
    with pytest.raises(ConfigError, match=r"config.corpus: lexicon is empty; name at least one file"):
        make_reader("pr", root, lexicon=[])
