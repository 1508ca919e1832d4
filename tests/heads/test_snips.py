"""The Audio SNIPS reader on a small corpus of noise."""

from __future__ import annotations

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

WAVS = {
    "train": ("Ivy-snips-train-10", "Ivy-snips-train-2", "Aditi-snips-train-3"),
    "valid": ("Aditi-snips-valid-0",),
    "test": ("Brian-snips-test-0",),
}
INDEX = (
    "Ivy-snips-train-10 BOS PLAY THE BEATLES EOS\tO O artist artist PlayMusic",
    "Ivy-snips-train-2 BOS RATE \xc9 & IT'S EOS\tO O artist O album RateBook",
    "Aditi-snips-train-3 BOS GO EOS\tO O PlayMusic",
    "Aditi-snips-valid-0 BOS A EOS\tO artist PlayMusic",
    "Brian-snips-test-0 BOS A , B EOS\tO artist O O PlayMusic",
    "Joey-snips-valid-1 BOS A EOS\tO O PlayMusic",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 1600)
    for folder, names in WAVS.items():
        (tmp_path / "SNIPS" / folder).mkdir(parents=True)
        for name in names:
            soundfile.write(tmp_path / "SNIPS" / folder / f"{name}.wav", noise, 16000)
    write_index(tmp_path, INDEX)
    (tmp_path / "SNIPS" / "slots.txt").write_text("O\nartist\nalbum")
    return tmp_path


def write_index(root: Path, lines: tuple[str, ...]) -> None:
    (root / "SNIPS" / "all.iob.snips.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_reader(root: Path, **corpus: Any) -> Reader:
    return build_reader(task_config(config("sf") | {"corpus": {"path": "SNIPS"} | corpus}), root)


def test_examples_are_those_of_the_split_s_speakers(root: Path) -> None:
    reader = make_reader(root)
    examples = reader.examples("train", Problems())
    assert [(e.name, e.label, e.speaker, e.seconds) for e in examples] == [
        ("Ivy-snips-train-10", "PLAY B-artist THE BEATLES E-artist", "SNIPS/Ivy", 0.1),
        ("Ivy-snips-train-2", "RATE B-artist \xc9 E-artist AND B-album IT'S E-album", "SNIPS/Ivy", 0.1),
    ]
    assert [e.label for e in reader.examples("dev", Problems())] == ["B-artist A E-artist"]
    assert [e.label for e in reader.examples("test", Problems())] == ["B-artist A E-artist B"]
    assert reader.waveform(examples[0], None).shape == (1600,)
    assert all(path.exists() for path in reader.files())


def test_speakers_can_be_chosen(root: Path) -> None:
    reader = make_reader(root, speakers={"train": ["Aditi"]})
    assert [e.name for e in reader.examples("train", Problems())] == ["Aditi-snips-train-3"]
    assert [e.name for e in reader.examples("dev", Problems())] == ["Aditi-snips-valid-0"]
    with pytest.raises(ConfigError, match=r"config.corpus: unknown split speakers.valid; Known: dev, test, train"):
        make_reader(root, speakers={"valid": ["Aditi"]})


@pytest.mark.parametrize("text", ["O\nartist\nalbum", "O\nartist\nalbum\n\n"])
def test_a_blank_last_line_is_no_slot(root: Path, text: str) -> None:
    (root / "SNIPS" / "slots.txt").write_text(text)
    labels = make_reader(root).labels(Problems())
    assert labels["slots"] == ["artist", "album"]
    assert len(labels["characters"]) == 28


def line(text: str) -> Callable[[Path], None]:
    return lambda root: write_index(root, (text, *INDEX[1:]))


FAULTS = {
    "no wav": (
        lambda root: (root / "SNIPS/train/Ivy-snips-train-10.wav").unlink(),
        "Ivy-snips-train-10.wav: audio file is missing; prepare the corpus by",
    ),
    "no line": (
        lambda root: write_index(root, INDEX[1:]),
        r"all.iob.snips.txt: Ivy-snips-train-10 needs as many words as tags, at least one, found 0 and 0; write",
    ),
    "no tab": (line("Ivy-snips-train-10 BOS PLAY EOS O O X"), "at least one, found 4 and 0; write"),
    "tags": (line("Ivy-snips-train-10 BOS PLAY IT EOS\tO O X"), "at least one, found 2 and 1; write"),
    "slot": (
        line("Ivy-snips-train-10 BOS A EOS\tO song X"),
        "all.iob.snips.txt: slots must be in slots.txt, found 'song' in Ivy-snips-train-10; add it",
    ),
    "words": (line("Ivy-snips-train-10 BOS ? EOS\tO O X"), "Ivy-snips-train-10 holds nothing but punctuation; remove"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_its_cure(fault: str, root: Path) -> None:
    damage, message = FAULTS[fault]
    damage(root)
    with pytest.raises(CorpusError, match=message):
        make_reader(root).examples("train", Problems())
    problems = Problems(gather=True)
    assert [e.name for e in make_reader(root).examples("train", problems)] == ["Ivy-snips-train-2"]
    assert len(problems.found) == 1


@pytest.mark.parametrize("name", ["all.iob.snips.txt", "slots.txt"])
def test_missing_index_is_one_problem(name: str, root: Path) -> None:
    (root / "SNIPS" / name).unlink()
    problems = Problems(gather=True)
    assert make_reader(root).examples("train", problems) == []
    assert [problem.where.endswith(name) for problem in problems.found] == [True]
