"""Utilities of labels: what depends on the speech scores worse, and what may not change a score does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tones import Pitch, level, tones
from torch import Tensor

from s3prl_plugins.errors import UserError
from s3prl_plugins.pretext.hsic import hsic
from s3prl_plugins.pretext.kernels import downsampling, log_mel
from s3prl_plugins.pretext.segments import Caps, Segment, Speech, choose
from s3prl_plugins.pretext.utility import Target, measure, sample

SPEECH = tones()
CHOSEN = choose(SPEECH.segments, Caps(), 0)


def noise(waves: Tensor) -> Tensor:
    """Numbers that have nothing to do with the speech, the same for the same samples."""
    seed = int(waves.view(torch.int32).sum().abs())
    return torch.randn(1, 1, 1, generator=torch.Generator().manual_seed(seed)).expand(1, 38, 1)


def scores(**targets: Target) -> list[float]:
    return [float(mean) for mean in measure(SPEECH, CHOSEN, targets, 30, "unbiased").means]


def test_dependence_shows() -> None:
    pitch, independent = scores(pitch=Pitch(), noise=noise)
    assert pitch > 0.02 and abs(independent) < 0.25 * pitch


def test_unit_and_offset_of_a_label_change_nothing() -> None:
    one, two = scores(level=level, other=lambda waves: 3 - 50 * level(waves))
    assert one == pytest.approx(two, rel=1e-3)


def test_given_the_class_not_across_classes() -> None:
    """A label that only tells the class depends on the speech, but not within a class."""

    def which(waves: Tensor) -> Tensor:
        return (Pitch()(waves).mean(dim=1, keepdim=True) > 1.9).float().expand(1, 38, 1)

    everything = {"all": [replace(segment, label="all") for segment in SPEECH.segments]}
    within = float(measure(SPEECH, CHOSEN, {"which": which}, 30).means)
    across = float(measure(SPEECH, everything, {"which": which}, 30).means)
    assert within == pytest.approx(0, abs=1e-6) and across > 0.02


def test_numbers_by_hand() -> None:
    """The whole way once more for one class, without the package's bookkeeping."""
    found = measure(SPEECH, CHOSEN, {"level": level}, 30)
    spectra = [log_mel(SPEECH.wave(i)).double() for i in range(40)]
    tracks = [level(SPEECH.wave(i)[None])[0].double() for i in range(40)]
    mel, track = torch.cat(spectra), torch.cat(tracks)
    rows, labels = [], []
    for segment in CHOSEN["low"]:
        frames = (spectra[segment.utterance] - mel.mean(dim=0)) / mel.std(dim=0, correction=0)
        rows.append((downsampling(len(frames), 30) @ frames).flatten())
        labels.append(((tracks[segment.utterance] - track.mean()) / track.std(correction=0)).mean())
    speech = torch.nn.functional.normalize(torch.stack(rows), dim=1)
    label = torch.stack(labels)
    kernel = (-(label[:, None] - label[None, :]).square() / (2 * 0.05)).exp()
    score = float(found.scores[0, found.classes.index("low")])
    assert score == pytest.approx(hsic(speech @ speech.T, kernel), rel=1e-4)


def test_chance_is_the_mean_over_shuffled_labels() -> None:
    for centring in ("textbook", "released", "unbiased"):
        found = measure(SPEECH, CHOSEN, {"pitch": Pitch()}, 30, centring)  # type: ignore[arg-type]
        samples = sample(SPEECH, CHOSEN, {"pitch": Pitch()}, 30, progress=False)["low"]
        random, values = torch.Generator().manual_seed(0), []
        speech = torch.nn.functional.normalize(samples.speech.flatten(1).double(), dim=1)
        for _ in range(300):
            label = samples.labels[0][torch.randperm(20, generator=random)].double()
            kernel = (-torch.cdist(label, label).square() / 0.1).exp()
            values.append(hsic(speech @ speech.T, kernel, centring))  # type: ignore[arg-type]
        shuffled = torch.tensor(values, dtype=torch.float64)
        chance = float(found.chance[0, found.classes.index("low")])
        assert abs(float(shuffled.mean()) - chance) < 4 * float(shuffled.std()) / 300**0.5


def test_segments_are_cut_out_of_their_utterance() -> None:
    wave = torch.cat([SPEECH.wave(0), SPEECH.wave(1)])
    parts = {
        "x": [Segment(0, "x", 0.1, 0.3), Segment(0, "x", 0.5, 0.7), Segment(0, "x", 0.0), Segment(0, "x", 0.79, 0.79)]
    }
    speech = Speech(type(SPEECH.reader)((wave,)), SPEECH.examples[:1], [])  # type: ignore[call-arg]
    labels = sample(speech, parts, {"pitch": Pitch()}, 10, progress=False)["x"].labels[0][:, 0]
    assert labels[1] - labels[0] > 1.5 and labels[0] < labels[2] < labels[1] and torch.isfinite(labels).all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda waves: torch.ones(1, 38, 1), "label 'bad' never changes on this speech"),
        (
            lambda waves: torch.full((1, 38, 1), torch.nan),
            "label 'bad' of an utterance of 6400 samples is empty or not finite",
        ),
        (lambda waves: torch.ones(1, 0, 1), "is empty or not finite"),
    ],
)
def test_labels_that_cannot_be_used(target: Target, message: str) -> None:
    with pytest.raises(UserError, match=message):
        measure(SPEECH, CHOSEN, {"bad": target}, 30)


def test_a_target_that_refuses_is_named() -> None:
    def refuse(waves: Tensor) -> Tensor:
        raise ValueError("too short")

    with pytest.raises(
        UserError, match=r"label 'bad' of an utterance of 6400 samples fails \(too short\); leave it out"
    ):
        measure(SPEECH, CHOSEN, {"bad": refuse}, 30)


def test_threads_change_nothing() -> None:
    one, two = (sample(SPEECH, CHOSEN, {"pitch": Pitch()}, 30, False, jobs) for jobs in (1, 3))
    assert all(torch.equal(one[name].speech, two[name].speech) for name in CHOSEN)
    assert all(torch.equal(one[name].labels[0], two[name].labels[0]) for name in CHOSEN)
