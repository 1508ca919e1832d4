"""Keyword spotting's reader against s3prl's own split and dataset, on a small corpus written here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from classification_cases import config, write_noise, write_speech_commands

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.audio import load
from s3prl_plugins.heads.corpora.speech_commands import CLASSES, hash_percentage
from s3prl_plugins.heads.task import build_reader
from s3prl_plugins.problems import Problems


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ks")
    write_speech_commands(root)
    return root


def pairs(split: str, root: Path) -> set[tuple[str, str]]:
    examples = build_reader(config("ks"), root).examples(split, Problems())
    return {(example.label, str(example.path)) for example in examples}


def test_splits_and_labels_are_those_of_s3prl(root: Path) -> None:
    from s3prl.downstream.speech_commands import dataset, expert

    folder = root / "speech_commands"
    lists = dict(zip(("train", "dev"), expert.split_dataset(folder)))
    assert lists["train"] and lists["dev"]
    for split, files in lists.items():
        theirs = dataset.SpeechCommandsDataset(files, speech_commands_root=folder)
        assert pairs(split, root) == {(label, str(path)) for label, path in theirs.data}
    theirs = dataset.SpeechCommandsTestingDataset(speech_commands_test_root=root / "speech_commands_test")
    assert pairs("test", root) == {(label, str(path)) for label, path in theirs.data}
    assert list(CLASSES) == dataset.CLASSES


def test_audio_and_names_are_those_of_s3prl(root: Path) -> None:
    from s3prl.downstream.speech_commands import dataset

    reader = build_reader(config("ks"), root)
    theirs = dataset.SpeechCommandsTestingDataset(speech_commands_test_root=root / "speech_commands_test")
    expected = {name: (torch.as_tensor(wave), label) for wave, label, name in (theirs[i] for i in range(len(theirs)))}
    for example in reader.examples("test", Problems()):
        wave, label = expected[example.name]
        torch.testing.assert_close(reader.waveform(example, None), wave, atol=2**-15, rtol=0)
        assert CLASSES.index(example.label) == label


def test_dev_is_every_file_once_and_its_silences_are_spread(root: Path) -> None:
    reader = build_reader(config("ks"), root)
    dev = reader.examples("dev", Problems())
    assert dev == reader.examples("dev", Problems())
    silences = [example for example in dev if example.label == "_silence_"]
    assert [example.start for example in silences] == [6000, 24000, 0]
    for example in silences:
        once, again = reader.waveform(example, None), reader.waveform(example, None)
        assert once.shape == (16000,) and example.seconds == 1.0 and torch.equal(once, again)
    assert all(example.speaker == f"SpeechCommands/{example.path.name[:8]}" for example in dev[: -len(silences)])


def test_training_silence_is_a_random_second_from_the_given_generator(root: Path) -> None:
    reader = build_reader(config("ks"), root)
    silence = next(e for e in reader.examples("train", Problems()) if e.path.name == "noise1.wav")
    whole = load(silence.path) * 10 ** (-3 / 20)
    crops = [reader.waveform(silence, torch.Generator().manual_seed(seed)) for seed in range(20)]
    windows = whole.unfold(0, 40, 1)
    starts = {int((windows == crop[:40]).all(dim=1).nonzero()) for crop in crops}
    assert len(starts) > 10 and min(starts) < 16000 < 32000 < max(starts)
    assert torch.equal(crops[3], reader.waveform(silence, torch.Generator().manual_seed(3)))


def test_quirks_draw_dev_with_replacement_classes_equally_likely(root: Path) -> None:
    plain = build_reader(config("ks"), root).examples("dev", Problems())
    drawn = build_reader(config("ks", "paper"), root).examples("dev", Problems())
    assert len(drawn) == len(plain) == len({example.name for example in drawn})
    assert {e.path for e in drawn} < {e.path for e in plain}


@pytest.mark.parametrize("name", ["0a7c2a8d_nohash_0.wav", "0a7c2a8d_nohash_4.wav"])
def test_all_recordings_of_a_speaker_fall_into_one_split(name: str) -> None:
    assert hash_percentage(name) == hash_percentage("0a7c2a8d_nohash_1.wav")


def test_faults_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="speech_commands: corpus folder is missing; unpack"):
        build_reader(config("ks"), tmp_path).examples("train", Problems())
    write_noise(tmp_path / "speech_commands_test" / "sheila" / "a.wav")
    write_noise(tmp_path / "speech_commands" / "yes" / "00000000_nohash_0.wav")
    write_noise(tmp_path / "speech_commands" / "_background_noise_" / "short.wav", 0.5)
    problems = Problems(gather=True)
    for split in ("train", "dev", "test"):
        build_reader(config("ks"), tmp_path).examples(split, problems)
    text = "\n".join(map(str, problems.found))
    assert (
        "must be one of yes, no" in text and "at least 1 second, found 0.50" in text and "no usable utterance" in text
    )
