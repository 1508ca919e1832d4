"""Speaker verification's reader: held-out speakers, trials, silence removal as s3prl's dataset has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from classification_cases import config, write_voxceleb

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.audio import load
from s3prl_plugins.heads.task import build_reader
from s3prl_plugins.problems import Problems


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("asv")
    write_voxceleb(root)
    return root


def test_speakers_of_the_dev_trials_are_held_out(root: Path) -> None:
    reader = build_reader(config("asv"), root)
    kept = ["id10001", "id10003", "id10004", "id10006"]
    train = reader.examples("train", Problems())
    assert reader.labels(Problems()) == kept == sorted({example.label for example in train})
    dev = reader.examples("dev", Problems())
    assert {example.speaker for example in dev} == {"VoxCeleb1/id10002", "VoxCeleb1/id10005"}
    assert not {example.path for example in dev} & {example.path for example in train}


def test_quirks_train_on_every_speaker(root: Path) -> None:
    reader = build_reader(config("asv", superb_quirks=True), root)
    assert reader.labels(Problems()) == [f"id{10001 + number}" for number in range(6)]
    assert len(reader.examples("train", Problems())) == 24


@pytest.mark.parametrize(("split", "index"), [("dev", "dev_meta_data.txt"), ("test", "voxceleb1_test_v2.txt")])
def test_every_trial_is_kept_once_with_its_place(root: Path, split: str, index: str) -> None:
    examples = build_reader(config("asv"), root).examples(split, Problems())
    assert [example.name for example in examples] == sorted(example.name for example in examples)
    found = sorted((trial.line, trial.target, e.name, trial.other) for e in examples for trial in e.label)
    lines = (root / "VoxCeleb1" / index).read_text().split("\n")[:-1]
    expected = []
    for number, (target, *paths) in enumerate(line.split() for line in lines):
        expected.append((number, target == "1", *(path[:-4].replace("/", "-") for path in paths)))
    assert found == expected


def test_audio_is_that_of_s3prl_with_inner_silences_gone(root: Path, tmp_path: Path) -> None:
    from s3prl.downstream.sv_voxceleb1.dataset import SpeakerVerifi_test

    write_voxceleb(tmp_path)
    path = tmp_path / "VoxCeleb1" / "test" / "wav" / "id10007" / "aaa" / "00001.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    soundfile.write(path, np.concatenate([np.zeros(4000), noise, np.zeros(9000), noise]), 16000)
    trials = tmp_path / "VoxCeleb1" / "voxceleb1_test_v2.txt"
    theirs = SpeakerVerifi_test({}, tmp_path / "VoxCeleb1" / "test" / "wav", trials)
    expected = {name: wave for wave, name in (theirs[number] for number in range(len(theirs)))}
    reader = build_reader(config("asv", "paper"), tmp_path)
    examples = reader.examples("test", Problems())
    assert len(examples) == len(expected)
    for example in examples:
        wave = reader.waveform(example, None)
        torch.testing.assert_close(wave, torch.as_tensor(expected[str(example.path)]), atol=1e-6, rtol=0)
        assert example.path != path or len(wave) < 33000


def test_silence_removal_can_be_left_out_and_crops_come_after_it(root: Path) -> None:
    reader = build_reader(config("asv", corpus={"silence_removal": False, "max_seconds": 0.5}), root)
    example = reader.examples("train", Problems())[0]
    torch.testing.assert_close(reader.waveform(example, None), load(example.path) * 10 ** (-3 / 20))
    crops = [reader.waveform(example, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert [len(crop) for crop in crops] == [8000] * 3 and torch.equal(crops[0], crops[1])
    assert not torch.equal(crops[0], crops[2])


def test_a_silent_file_keeps_its_silence(tmp_path: Path) -> None:
    write_voxceleb(tmp_path)
    reader = build_reader(config("asv"), tmp_path)
    for split in ("train", "test"):
        example = reader.examples(split, Problems())[0]
        soundfile.write(example.path, np.zeros(16000), 16000)
        assert len(reader.waveform(example, None)) == 16000


def test_files_below_min_seconds_are_not_trained_on(root: Path) -> None:
    train = build_reader(config("asv", corpus={"min_seconds": 1.3}), root).examples("train", Problems())
    assert {example.path.name for example in train} == {"00002.wav"}
    with pytest.raises(CorpusError, match=r"every training file is shorter than min_seconds 3.0; lower"):
        build_reader(config("asv", corpus={"min_seconds": 3.0}), root).examples("train", Problems())


def test_a_malformed_trial_is_named(tmp_path: Path) -> None:
    write_voxceleb(tmp_path)
    (tmp_path / "VoxCeleb1" / "voxceleb1_test_v2.txt").write_text("yes id10007/aaa/00001.wav id10008/aaa/00001.wav\n")
    with pytest.raises(CorpusError, match="a trial must begin with 1 or 0, found 'yes'"):
        build_reader(config("asv"), tmp_path).examples("test", Problems())
