"""Crops: every utterance once an epoch, nothing padded, never too much audio, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.pretrain.speech import Crops, Frames, Utterance, find_speech, load_crops, split_speech

FRAMES = Frames()


@given(st.integers(1, 100_000))
def test_frames_and_samples_invert_each_other(samples: int) -> None:
    count = FRAMES.count(samples)
    if count:
        assert FRAMES.samples(count) <= samples < FRAMES.samples(count + 1)


def test_frames_are_those_of_hubert() -> None:
    from s3prl_plugins.upstream.hubert.checkpoint import load_model, random_checkpoint

    model = load_model(random_checkpoint("tiny", 0)).eval()
    for samples in (400, 719, 720, 16000, 20001):
        assert model.feature_extractor(torch.zeros(1, samples)).shape[-1] == FRAMES.count(samples)


@given(st.lists(st.integers(10, 400), min_size=1, max_size=60), st.integers(0, 5))
def test_an_epoch_takes_every_utterance_once_within_the_budget(lengths: list[int], seed: int) -> None:
    utterances = [Utterance(Path(str(n)), FRAMES.samples(frames)) for n, frames in enumerate(lengths)]
    crops = Crops(utterances, range(len(lengths)), FRAMES, seconds=6.0, longest=100, seed=seed)
    batches = crops.epoch(3)
    assert sorted(crop.index for batch in batches for crop in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({crop.frames for crop in batch}) == 1
        assert batch[0].frames <= 100
        assert len(batch) == 1 or len(batch) * batch[0].frames <= 6.0 * 50
        for crop in batch:
            assert 0 <= crop.first <= lengths[crop.index] - crop.frames
    assert batches == crops.epoch(3)


def test_epochs_differ() -> None:
    utterances = [Utterance(Path(str(n)), FRAMES.samples(60 + n)) for n in range(30)]
    crops = Crops(utterances, range(30), FRAMES, seconds=6.0, longest=50, seed=0)
    assert crops.epoch(0) != crops.epoch(1)


def test_crops_are_read_from_their_place(tmp_path: Path) -> None:
    ramp = (np.arange(8000) / 8000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", ramp, 16000, subtype="FLOAT")
    utterances = find_speech([tmp_path], FRAMES, least=2)
    crops = Crops(utterances, [0], FRAMES, seconds=4.0, longest=10, seed=1).epoch(0)[0]
    wave = load_crops(utterances, crops, FRAMES)
    start = crops[0].first * 320
    assert wave.shape == (1, FRAMES.samples(10))
    np.testing.assert_array_equal(wave[0].numpy(), ramp[start : start + wave.shape[1]])


def test_speech_is_found_in_all_folders_and_short_files_left_out(tmp_path: Path) -> None:
    for name, samples in (("b/x.flac", 16000), ("a/y.WAV", 16000), ("a/short.wav", 500)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros(samples), 16000)
    found = find_speech([tmp_path / "b", tmp_path / "a"], FRAMES, least=10)
    assert [utterance.path.name for utterance in found] == ["x.flac", "y.WAV"]


def test_faults_of_folders(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"must be a folder with \.wav or \.flac files, found none"):
        find_speech([tmp_path / "none"], FRAMES, least=10)
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    with pytest.raises(CorpusError, match="sample rate must be 16000 Hz, found 8000"):
        find_speech([tmp_path], FRAMES, least=10)
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16000)
    with pytest.raises(CorpusError, match="is as long as 10 frames"):
        find_speech([tmp_path], FRAMES, least=10)


def test_the_split_parts_the_utterances() -> None:
    utterances = [Utterance(Path(str(n)), 16000) for n in range(50)]
    train, held_out = split_speech(utterances, 0.1, seed=4)
    assert len(held_out) == 5
    assert sorted(train + held_out) == list(range(50))
    assert (train, held_out) == split_speech(utterances, 0.1, seed=4)
