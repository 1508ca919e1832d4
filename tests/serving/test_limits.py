"""What is refused before it is decoded, and in which words."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl_plugins.errors import AudioError, ConfigError
from s3prl_plugins.serving import limits as module
from s3prl_plugins.serving.limits import Limits, hear_upload


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_limit_is_above_zero_and_finite(value: float) -> None:
    with pytest.raises(ConfigError, match=r"--max-seconds must be above 0 and finite, found .*; for example 60"):
        Limits(seconds=value)
    with pytest.raises(ConfigError, match="--max-megabytes must be above 0"):
        Limits(megabytes=value)


def test_what_is_within_the_limits_is_heard(vowels: Callable[..., Path]) -> None:
    assert hear_upload(vowels(seconds=1.0), Limits(seconds=1.0)).shape == (16000,)


@pytest.mark.parametrize(
    ("rate", "samples", "limits", "message"),
    [
        (16000, 16001, Limits(seconds=1), r"x.flac: a recording may last 1 s, found 1.1; cut it"),
        (8000, 80000, Limits(seconds=9.5), r"x.flac: a recording may last 9.5 s, found 10.0; cut it"),
        (16000, 40000, Limits(megabytes=0.01), r"x.flac: a file may have 0.01 MB, found 0.1; cut it"),
    ],
)
def test_too_much_is_refused_before_it_is_decoded(
    rate: int, samples: int, limits: Limits, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, samples)
    soundfile.write(tmp_path / "x.flac", noise, rate)
    monkeypatch.setattr(module, "hear", lambda path: pytest.fail("decoded"))
    with pytest.raises(AudioError, match=f"^{message}"):
        hear_upload(tmp_path / "x.flac", limits)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"words, not sound", r"x.wav: audio cannot be read \(.*\); convert it to wav or flac"),
        (b"", r"x.wav: audio cannot be read \(.*\); convert it to wav or flac"),
        (None, r"x.wav: audio is silent \(below -80 dB, channels mixed\); check the recording"),
    ],
)
def test_bad_audio_is_told_without_the_servers_folder(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is None:
        soundfile.write(tmp_path / "x.wav", np.zeros(16000), 16000)
    else:
        (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(AudioError, match=f"^{message}$"):
        hear_upload(tmp_path / "x.wav", Limits())


def test_a_file_that_was_answered_before_is_gone(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"^x.wav: the file is gone, as it is after each answer; upload it again$"):
        hear_upload(tmp_path / "x.wav", Limits())
