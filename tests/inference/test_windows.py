"""Windows cover a recording once, and an encoder without memory gives through them what it gives at once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from s3prl.metric import cer, per
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.inference.answers import Answers
from s3prl_plugins.inference.audio import hear
from s3prl_plugins.inference.model import Model
from s3prl_plugins.inference.windows import OVERLAP, features, windows
from s3prl_plugins.multitask.layermix import LayerMix
from s3prl_plugins.multitask.trunk import Trunk

RATE, REACH = 320, 400


class Frames(nn.Module):
    """400 samples a frame, a frame every 320: the frame counts of HuBERT."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[int] = []

    def get_downsample_rates(self, key: str) -> int:
        return RATE

    def forward(self, waves: list[Tensor]) -> dict[str, list[Tensor]]:
        self.passes += [len(wave) for wave in waves]
        return {"hidden_states": [torch.stack([wave.unfold(0, REACH, RATE)[:, ::50] for wave in waves])]}


@given(samples=st.integers(REACH, 16000 * 70), seconds=st.floats(2 * OVERLAP, 30.0))
def test_every_frame_is_there_once_and_is_the_same(samples: int, seconds: float) -> None:
    encoder = Frames()
    trunk = Trunk(encoder, "none")
    wave = torch.arange(samples, dtype=torch.float32)
    mixes = {"asr": LayerMix(1), "er": LayerMix(1)}
    found = features(trunk, mixes, wave, seconds)
    passes = list(encoder.passes)
    whole = features(trunk, mixes, wave, None)
    assert all(torch.equal(found[task], whole[task]) for task in mixes)
    assert len(passes) == len(windows(samples, RATE, seconds))
    assert max(passes) <= seconds * 16000


@pytest.mark.parametrize("seconds", [8.0, 13.37, 60.0])
def test_what_is_kept_lies_away_from_the_seams(seconds: float) -> None:
    parts = windows(16000 * 300, RATE, seconds)
    for before, after in pairwise(parts):
        assert before.keep is not None
        assert before.start // RATE + before.skip + before.keep == after.start // RATE + after.skip
        assert after.skip == pytest.approx(OVERLAP / 2 * 50)
        assert (before.stop // RATE) - (before.start // RATE + before.skip + before.keep) >= OVERLAP / 2 * 50 - 1
    assert parts[-1].stop == 16000 * 300 and parts[-1].keep is None
    assert len(windows(int(16000 * seconds), RATE, seconds)) == 1


def test_a_long_recording_is_answered_as_if_at_once(
    superb_tiny: Model, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted((tiny_corpus / "LibriSpeech").rglob("*.flac"))[:12]
    wave = torch.cat([hear(file) for file in files])
    assert 20 < len(wave) / 16000 < 60
    tasks = ["asr", "pr", "sd", "er"]
    monkeypatch.setattr(superb_tiny, "_window", None)
    whole = superb_tiny((wave, 16000), tasks)
    monkeypatch.setattr(superb_tiny, "_window", 10.0)
    joined = superb_tiny((wave, 16000), tasks)
    for answers in (whole, joined):
        assert answers.asr and answers.pr and answers.sd and answers.er
        assert answers.pr.phones[-1].stop > 0.9 * answers.seconds
    assert cer([joined.asr.text], [whole.asr.text]) < 0.1
    assert per([joined.pr.text], [whole.pr.text]) < 0.1
    assert joined.er.label == whole.er.label
    shared = np.mean(active(joined) == active(whole))
    assert shared > 0.9, shared


def active(answers: Answers) -> np.ndarray:
    """Frames of 20 ms by speakers."""
    found = np.zeros((round(answers.seconds * 50), 2), bool)
    assert answers.sd is not None
    for turn in answers.sd.turns:
        found[round(turn.start * 50) : round(turn.stop * 50), int(turn.label) - 1] = True
    return found


def test_a_window_shorter_than_twice_the_overlap_is_refused(superb_tiny: Model) -> None:
    with pytest.raises(ConfigError, match="window must be at least 8 s, found 3"):
        superb_tiny.window = 3
    assert superb_tiny.window == 60
