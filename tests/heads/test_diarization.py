"""The diarization head against s3prl's legacy model, its error rate against pyannote and s3prl's own metric."""

from __future__ import annotations

import builtins
import dataclasses
import itertools
import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from classification_cases import config
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s3prl_plugins.errors import ConfigError, CorpusError
from s3prl_plugins.heads.contract import Example, Prediction
from s3prl_plugins.heads.diarization import DiarizationHead
from s3prl_plugins.heads.diarization_score import decisions, diarization_error_rate, frame_labels, legacy_scores
from s3prl_plugins.heads.task import build_head, task_config

LABELS = [
    (("a", 0.0, 0.1), ("b", 0.06, 0.3)),
    (("c", 0.02, 0.11),),
    (("a", 0.3, 0.4), ("b", 0.0, 0.05), ("a", 0.1, 0.2)),
]
LENGTHS = (15, 9, 20)


def head(size: str = "mini", **changes: Any) -> DiarizationHead:
    loaded = config("sd", size)
    built = build_head(dataclasses.replace(loaded, head=dataclasses.replace(loaded.head, **changes)), None, 24, 320)
    assert isinstance(built, DiarizationHead)
    return built


def features() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(length, 24, generator=generator) for length in LENGTHS]


def split_of(seed: int, recordings: int = 6) -> tuple[list[Tensor], list[Tensor]]:
    """Logits that lean towards smooth labels, and those labels."""
    generator = torch.Generator().manual_seed(seed)
    outputs, truths = [], []
    for number in range(recordings):
        truth = (torch.randn(8 + number, 2, generator=generator) > 0).float().repeat_interleave(5, dim=0)
        lean = truth.flip(1) if number % 2 else truth
        outputs.append(2 * lean - 1 + torch.randn(truth.shape, generator=generator))
        truths.append(truth)
    return outputs, truths


def test_equal_to_the_legacy_expert_for_copied_weights_on_a_padded_batch() -> None:
    from s3prl.downstream.diarization.model import Model
    from s3prl.downstream.diarization.utils import pit_loss

    ours = head("paper")
    theirs = Model(input_dim=24, output_class_num=2, rnn_layers=1, hidden_size=512)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    for mine, copied in zip(ours.parameters(), theirs.parameters()):
        copied.data.copy_(mine.data)
    logits = theirs(pad_sequence(features(), batch_first=True))
    labels = [frame_labels(label, length, 320, 2) for label, length in zip(LABELS, LENGTHS)]
    expected, _, _ = pit_loss(logits, pad_sequence(labels, batch_first=True), torch.tensor(LENGTHS))
    loss = ours.loss(features(), LABELS)
    assert loss.count == sum(LENGTHS)
    torch.testing.assert_close(loss.mean, expected)
    examples = [Example(f"r{number}", Path(), 1.0, label) for number, label in enumerate(LABELS)]
    for prediction, output, length in zip(ours.predict(features(), examples), logits, LENGTHS):
        torch.testing.assert_close(prediction.output, output[:length])


def test_loss_of_a_batch_is_the_sum_of_its_recordings() -> None:
    ours = head()
    alone = [ours.loss([feature], [label]) for feature, label in zip(features(), LABELS)]
    torch.testing.assert_close(ours.loss(features(), LABELS).total, torch.stack([part.total for part in alone]).sum())


def test_the_head_learns_who_speaks_when() -> None:
    torch.manual_seed(0)
    ours = head()
    examples = [Example(f"r{number}", Path(), 1.0, label) for number, label in enumerate(LABELS)]
    optimizer = torch.optim.Adam(ours.parameters(), lr=1e-2)
    before = ours.score(ours.predict(features(), examples), {})["der"]
    for _ in range(60):
        optimizer.zero_grad()
        ours.loss(features(), LABELS).mean.backward()
        optimizer.step()
    scores = ours.score(ours.predict(features(), examples), {})
    assert scores["der"] == scores["der_batch_mean"] == 0.0 < before
    assert scores["frame_acc"] == 100.0


def test_loss_and_error_do_not_depend_on_the_speakers_names() -> None:
    ours = head()
    swapped = [tuple(({"a": "z", "b": "a", "c": "x"}[name], *times) for name, *times in label) for label in LABELS]
    torch.testing.assert_close(ours.loss(features(), LABELS).total, ours.loss(features(), swapped).total)
    outputs, truths = split_of(1)
    for setting in ((0.5, 1), (0.3, 11)):
        flipped = [truth.flip(1) for truth in truths]
        assert diarization_error_rate(outputs, truths, *setting) == diarization_error_rate(outputs, flipped, *setting)


def test_a_finer_frame_shift_repeats_features() -> None:
    fine = head(frame_shift=160)
    logits = fine.predict(features()[:1], [Example("r", Path(), 1.0, LABELS[0])])[0].output
    assert logits.shape == (30, 2) and fine.loss(features(), LABELS).count == 2 * sum(LENGTHS)
    with pytest.raises(ConfigError, match="must divide the upstream's 320 samples a frame, found 256; set it to null"):
        head(frame_shift=256)


@given(st.integers(0, 6000), st.integers(1, 600))
def test_segments_round_to_frames_as_in_s3prl(start: int, length: int) -> None:
    first, last = (np.rint(hundredths / 100 * 16000 / 320).astype(int) for hundredths in (start, start + length))
    labels = frame_labels([("a", start / 100, (start + length) / 100)], 4000, 320, 2)
    assert labels.nonzero().tolist() == [[frame, 0] for frame in range(first, last)]


@pytest.mark.filterwarnings("ignore:.uem. was approximated")
@pytest.mark.parametrize("setting", [(0.5, 1), (0.3, 1), (0.6, 11)])
def test_error_rate_is_that_of_pyannote(setting: tuple[float, int]) -> None:
    from pyannote.core import Annotation
    from pyannote.core import Segment as Span
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(active: np.ndarray) -> Any:
        made = Annotation()
        for frame, speaker in zip(*active.nonzero()):
            made[Span(float(frame), float(frame + 1)), f"{frame}-{speaker}"] = str(speaker)
        return made.support()

    outputs, truths = split_of(2)
    oracle = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    for output, truth in zip(outputs, truths):
        oracle(annotation(truth.numpy()), annotation(decisions(output, *setting)))
    assert diarization_error_rate(outputs, truths, *setting) == pytest.approx(100 * abs(oracle))


def test_error_rate_is_that_of_s3prl_over_the_best_permutation() -> None:
    from s3prl.metric import calc_diarization_error

    outputs, truths = split_of(3)
    errors = spoken = 0.0
    for output, truth in zip(outputs, truths):
        counts = [
            calc_diarization_error(output[None], truth[None, :, order], torch.tensor([len(output)]))
            for order in itertools.permutations(range(2))
        ]
        errors += min(sum(count[-3:]) for count in counts)
        spoken += counts[0][5]
    assert diarization_error_rate(outputs, truths, 0.5, 1) == pytest.approx(100 * errors / spoken)


def test_legacy_scores_are_the_means_that_s3prl_logs() -> None:
    from s3prl.downstream.diarization.utils import calc_diarization_error, get_label_perm, pit_loss

    outputs, truths = split_of(4)
    outputs.append(torch.ones(4, 2))
    truths.append(torch.zeros(4, 2))
    accuracies, rates = [], []
    for output, truth in zip(outputs, truths):
        length = torch.tensor([len(output)])
        _, best, orders = pit_loss(output[None], truth[None], length)
        counts = calc_diarization_error(output[None], get_label_perm(truth[None], best, orders), length)
        accuracies.append(counts[0] / counts[1] if counts[5] else 0)
        rates.append(sum(counts[-3:]) / counts[5] if counts[5] else 0)
    expected = {"frame_acc": 100 * np.mean(accuracies), "der_batch_mean": 100 * np.mean(rates)}
    assert legacy_scores(outputs, truths) == pytest.approx(expected)


def test_median_filter_fills_short_gaps_and_drops_short_bursts() -> None:
    logits = torch.full((40, 2), -5.0)
    logits[5:30, 0] = 5.0
    logits[15:18, 0] = -5.0
    logits[20:23, 1] = 5.0
    assert decisions(logits, 0.5, 1).sum(axis=0).tolist() == [22, 3]
    assert decisions(logits, 0.5, 11).sum(axis=0).tolist() == [25, 0]


def test_calibration_finds_the_setting_that_suits_the_outputs() -> None:
    truth = (("a", 0.0, 0.4), ("b", 0.3, 0.8))
    labels = frame_labels(truth, 40, 320, 2)
    quiet = labels * 2.0 - 2.4  # probabilities of 0.40 and 0.08: only 0.3 separates them
    predictions = [Prediction("r", quiet, truth)]
    ours = head()
    calibration = ours.calibrate(predictions)
    assert calibration == {"threshold": 0.3, "median": 1.0}
    assert ours.score(predictions, calibration)["der"] == 0.0 < ours.score(predictions, {})["der"] == 100.0
    truth = (("a", 0.0, 0.8), ("b", 0.6, 1.6))
    noisy = frame_labels(truth, 80, 320, 2) * 8.0 - 4.0
    noisy[15:18] *= -1
    assert ours.calibrate([Prediction("r", noisy, truth)])["median"] == 11.0


def test_a_split_without_speech_is_an_error() -> None:
    with pytest.raises(CorpusError, match="needs speech, found none in the split"):
        head().score([Prediction("r", torch.zeros(9, 2), ())], {})


def test_files_are_those_of_s3prl(tmp_path: Path) -> None:
    predictions = [Prediction("rec-1", torch.randn(7, 2), LABELS[0]), Prediction("rec-2", torch.randn(5, 2), LABELS[1])]
    paths = head().write(predictions, "test", tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "frame_shift",
        "scoring/predictions/rec-1.h5",
        "scoring/predictions/rec-2.h5",
    ]
    assert paths[0].read_text() == "320\n"
    with h5py.File(paths[1]) as file:
        np.testing.assert_allclose(file["T_hat"][:], predictions[0].output.sigmoid().numpy())
    assert head().write(predictions, "dev", tmp_path / "dev") == []


def test_without_h5py_a_note_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def no_h5py(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_h5py)
    with caplog.at_level(logging.WARNING):
        paths = head().write([Prediction("r", torch.zeros(5, 2), ())], "test", tmp_path)
    assert [path.name for path in paths] == ["frame_shift"]
    assert "h5py is missing; pip install 's3prl-plugins[legacy]'" in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("thresholds", [1.5], r"thresholds must lie between 0 and 1, found \[1.5\]"),
        ("medians", [2], r"medians must be odd numbers of frames, found \[2\]"),
        ("num_speakers", 0, "num_speakers must be at least 1, found 0"),
    ],
)
def test_settings_are_checked(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_config({"task": "sd", "corpus": {}, "head": {key: value}})
