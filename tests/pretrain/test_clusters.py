"""Targets of masked prediction: one cluster for each frame of the encoder."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.clusters import Targets, fit_clusters, make_targets, mfcc
from s3prl_plugins.pretrain.speech import Crop, Frames, Utterance, find_speech

FRAMES = Frames()


@pytest.fixture
def tones(tmp_path: Path) -> list[Utterance]:
    """Files of one tone each; three pitches."""
    for number in range(6):
        time = np.arange(16000 + 700 * number) / 16000
        soundfile.write(
            tmp_path / f"{number}.wav", 0.3 * np.sin(2 * np.pi * (300, 1000, 3000)[number % 3] * time), 16000
        )
    return find_speech([tmp_path], FRAMES, 10)


@pytest.mark.parametrize("samples", [400, 719, 720, 16000, 16161, 20001])
def test_mfcc_have_a_row_for_every_frame(samples: int) -> None:
    rows = mfcc(torch.randn(samples, generator=torch.Generator().manual_seed(0)))
    assert rows.shape[1] == 39
    assert rows.shape[0] in (FRAMES.count(samples), FRAMES.count(samples) + 1)


def test_a_row_depends_on_the_samples_of_its_frame_only_in_the_cepstra() -> None:
    wave = torch.randn(16000, generator=torch.Generator().manual_seed(0))
    frame = 20
    alone = mfcc(wave[frame * 320 : frame * 320 + 400])[0, :13]
    torch.testing.assert_close(mfcc(wave)[frame, :13], alone, rtol=1e-3, atol=1e-2)


def test_frames_of_one_tone_share_a_cluster(tones: list[Utterance]) -> None:
    def cepstra(wave: torch.Tensor) -> torch.Tensor:
        return mfcc(wave)[:, :13]

    centres = fit_clusters(tones, range(6), cepstra, 3, 1.0, seed=0, progress=False)
    targets = make_targets(tones, cepstra, centres, FRAMES, progress=False)
    assert len(targets.labels) == sum(FRAMES.count(utterance.samples) for utterance in tones)
    main = [np.bincount(targets.labels[a:b]).argmax() for a, b in zip(targets.offsets, targets.offsets[1:])]
    assert main[:3] == main[3:]
    assert len(set(main)) == 3


def test_labels_are_the_nearest_centres(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", noise.uniform(-0.5, 0.5, 16000), 16000)
    tones = find_speech([tmp_path], FRAMES, 10)
    centres = fit_clusters(tones, range(3), mfcc, 5, 1.0, seed=0, progress=False)
    targets = make_targets(tones, mfcc, centres, FRAMES, progress=False)
    rows = mfcc(torch.from_numpy(soundfile.read(str(tones[2].path), dtype="float32")[0]))
    expected = torch.cdist(rows.double(), torch.from_numpy(centres).double()).argmin(1)
    found = targets.labels[targets.offsets[2] : targets.offsets[3]]
    assert np.mean(found == expected[: len(found)].numpy()) > 0.99


def test_crops_prior_and_file(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 3, 0, 0, 1, 1], dtype=np.int16)
    targets = Targets(labels, np.array([0, 3, 8]), 4)
    crops = [Crop(0, 1, 2), Crop(1, 2, 2)]
    assert targets.crops(crops).tolist() == [[1, 2], [0, 1]]
    shares = np.array([3, 3, 1, 1]) / 8
    assert targets.prior_entropy == pytest.approx(-(shares * np.log(shares)).sum())
    targets.save(tmp_path / "targets.npz")
    again = Targets.load(tmp_path / "targets.npz")
    assert again.labels.tolist() == labels.tolist()
    assert again.clusters == 4


def test_more_clusters_than_frames(tones: list[Utterance]) -> None:
    with pytest.raises(ConfigError, match="clusters must be at most the .* frames to cluster, found 900"):
        fit_clusters(tones, range(6), mfcc, 900, 1.0, seed=0, progress=False)
