"""Emotion recognition's reader: folds, the held-out fifth, faults."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from classification_cases import config, write_iemocap
from torch.utils.data import random_split

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.task import build_reader, task_config
from s3prl_plugins.problems import Problems


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("er")
    write_iemocap(root)
    return root


@pytest.mark.parametrize("fold", range(1, 6))
def test_every_fold_tests_on_its_own_session(root: Path, fold: int) -> None:
    reader = build_reader(config("er", corpus={"fold": f"fold{fold}"}), root)
    found = {split: reader.examples(split, Problems()) for split in ("train", "dev", "test")}
    assert [len(examples) for examples in found.values()] == [28, 8, 9]
    assert {example.speaker for example in found["test"]} == {f"IEMOCAP/Ses0{fold}F"}
    held_in = {example.name for example in (*found["train"], *found["dev"])}
    assert len(held_in) == 36 and not any(name.startswith(f"Ses0{fold}") for name in held_in)


def test_dev_is_what_random_split_takes_and_the_global_state_is_left_alone(root: Path) -> None:
    state = torch.get_rng_state()
    dev = build_reader(config("er"), root).examples("dev", Problems())
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = sorted(random_split(range(36), [28, 8])[1].indices)
    names = [f"Ses0{session}F_impro01_F{i:03d}" for session in range(2, 6) for i in range(9)]
    assert [example.name for example in dev] == [names[index] for index in expected]


def test_emotions_stand_in_the_order_of_their_ids(root: Path) -> None:
    assert build_reader(config("er"), root).labels(Problems()) == {"emotion": ["neu", "hap", "ang", "sad"]}


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.corpus\.fold is 'fold6'; did you mean"):
        task_config({"task": "er", "corpus": {"fold": "fold6"}, "head": {}})
    with pytest.raises(CorpusError, match=r"train_meta_data\.json: file cannot be read .*; copy s3prl's"):
        build_reader(config("er"), tmp_path).labels(Problems())
    write_iemocap(tmp_path)
    path = tmp_path / "IEMOCAP" / "meta_data" / "Session1" / "test_meta_data.json"
    path.write_text(path.read_text().replace('"label": "hap"', '"label": "bored"', 1))
    with pytest.raises(CorpusError, match="must be one of neu, hap, ang, sad, found 'bored'"):
        build_reader(config("er"), tmp_path).examples("test", Problems())
    path.write_text("{")
    with pytest.raises(CorpusError, match="must hold labels and meta_data"):
        build_reader(config("er"), tmp_path).examples("test", Problems())
