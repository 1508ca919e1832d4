"""Every list of every corpus layout, spoilt at random: problems of one line each, whatever is in it."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoiling import check_line, odd_json, one_line_at_most, spoilt

import s3prl_plugins  # noqa: F401  (s3prl imports only after its repairs)
from s3prl_plugins.config import build, load_yaml
from s3prl_plugins.files import parse_json
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.heads.task import build_reader, task_config
from s3prl_plugins.multitask.config import shipped_configs
from s3prl_plugins.problems import Problems
from s3prl_plugins.qbe.config import QbeConfig

SCORING = "quesst14/quesst14Database/scoring"
LISTS = [
    ("asr", "LibriSpeech/dev-clean/198/77575/198-77575.trans.txt"),
    ("pr", "LibriSpeech/lexicon.txt"),
    ("sf", "SNIPS/all.iob.snips.txt"),
    ("sf", "SNIPS/slots.txt"),
    ("sd", "LibriMix/dev/wav.scp"),
    ("sd", "LibriMix/dev/segments"),
    ("sd", "LibriMix/dev/utt2spk"),
    ("sd", "LibriMix/dev/reco2dur"),
    ("er", "IEMOCAP/meta_data/Session1/train_meta_data.json"),
    ("ic", "fluent_speech_commands/data/train_data.csv"),
    ("ic", "fluent_speech_commands/data/valid_data.csv"),
    ("asv", "VoxCeleb1/dev_meta_data.txt"),
    ("sid", "VoxCeleb1/veri_test_class.txt"),
    ("qbe", f"{SCORING}/language_key_dev.lst"),
    ("qbe", f"{SCORING}/groundtruth_quesst14_dev/quesst14.ecf.xml"),
    ("qbe", f"{SCORING}/groundtruth_quesst14_dev/quesst14_dev.tlist.xml"),
    ("qbe", f"{SCORING}/groundtruth_quesst14_dev/quesst14_dev.rttm"),
]
"""Task and file."""


@pytest.fixture(scope="module")
def corpus(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, whose lists are made whole again after each test."""
    root = tmp_path_factory.mktemp("fuzz") / "corpus"
    shutil.copytree(tiny_corpus, root)
    for path in root.glob("LibriMix/*/wav.scp"):
        path.write_text(path.read_text().replace(str(tiny_corpus), str(root)))
    return root


def reader_of(task: str, root: Path) -> Any:
    mapping = load_yaml(shipped_configs() / "superb" / f"{task}_mini.yaml")
    if task == "qbe":
        return QbeReader(build(QbeConfig, mapping).corpus, root)
    return build_reader(task_config(mapping), root)


def read(reader: Any, problems: Problems) -> None:
    """What training and `corpus check` read."""
    reader.labels(problems)
    for split in (reader.card.train, reader.card.dev):
        for example in reader.examples(split, problems):
            assert example.name and 0 < example.seconds < math.inf
            assert example.stop is None or 0 <= example.start < example.stop


@pytest.mark.parametrize(("task", "file"), LISTS)
@given(data=st.data())
def test_a_spoilt_list(task: str, file: str, corpus: Path, data: st.DataObject) -> None:
    path, reader = corpus / file, reader_of(task, corpus)
    whole = path.read_bytes()
    changed = spoilt(whole)
    if file.endswith(".json"):
        changed |= odd_json(parse_json(whole.decode()))

    try:
        path.write_bytes(data.draw(changed))
        problems = Problems(gather=True)
        with one_line_at_most():
            read(reader, problems)
        for problem in problems.found:
            check_line(str(problem))
        with one_line_at_most():
            read(reader, Problems())
    finally:
        path.write_bytes(whole)
