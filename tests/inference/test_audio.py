"""Any recording becomes one channel at 16 kHz, or one line that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from s3prl_plugins.errors import AudioError
from s3prl_plugins.inference.audio import hear


def tone(rate: int, pitch: float = 440.0, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 44101, 48000, 192000])
def test_a_tone_stays_what_it_is_at_any_rate(rate: int) -> None:
    found = hear((tone(rate), rate)).numpy()
    assert found.dtype == np.float32 and abs(len(found) - 8000) <= 1
    middle = slice(400, 7600)
    assert np.abs(found[middle] - tone(16000)[middle]).max() < 1e-3


@pytest.mark.parametrize(("pitch", "kept"), [(7000.0, True), (9000.0, False), (20000.0, False)])
def test_what_16_khz_cannot_hold_is_gone_and_the_rest_is_there(pitch: float, kept: bool) -> None:
    found = hear((tone(48000, pitch) + tone(48000, 100.0) * 0.01, 48000)).numpy()[400:7600]
    loudness = float(np.sqrt((found**2).mean()))
    assert loudness == pytest.approx(0.5 / np.sqrt(2), rel=0.01) if kept else loudness < 0.01


@pytest.mark.parametrize("container", ["wav", "flac", "ogg"])
def test_files_with_eight_channels_are_mixed_down(container: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{container}"
    channels = np.stack([tone(48000) * gain for gain in np.linspace(0.1, 0.9, 8)], axis=1)
    soundfile.write(path, channels, 48000)
    near = 0.02 if container == "ogg" else 2e-3
    assert np.abs(hear(path).numpy()[400:7600] - 0.5 * tone(16000)[400:7600]).max() < near


def test_16_khz_mono_passes_bit_by_bit(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).integers(-9000, 9000, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", wave, 16000)
    wanted = wave.astype(np.float32) / 32768
    assert np.array_equal(hear(str(tmp_path / "a.wav")), wanted)
    assert np.array_equal(hear((wave, 16000)), wanted)
    assert np.array_equal(hear((np.stack([wave, wave]), 16000)), wanted)
    assert np.array_equal(hear((np.stack([wave, wave], axis=1), 16000)), wanted)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ((np.zeros(16000, np.float32), 16000), r"audio: audio is silent \(below -80 dB, channels mixed\); check"),
        ((np.full(16000, 0.3, np.float32), 16000), "audio is silent"),
        ((np.stack([tone(16000), -tone(16000)]), 16000), "audio is silent"),
        ((np.zeros(0, np.float32), 16000), "audio holds no samples"),
        ((tone(16000)[:399], 16000), "audio must last 25 ms, found 24.9; record more"),
        ((np.append(tone(16000), np.nan), 16000), "holds NaN or infinite samples"),
        ((tone(16000), 16), "a rate must be from 1000 to 192000 Hz, found 16"),
        ((tone(16000), 2**31 - 1), "a rate must be from 1000 to 192000 Hz, found 2147483647"),
        ((np.zeros((2, 3, 4)), 16000), r"samples must be numbers .* found float64 of shape \(2, 3, 4\)"),
        ((np.array(["a"]), 16000), "samples must be numbers"),
        ((np.full(16000, 128, np.uint8), 16000), "floats or signed integers, found uint8"),
    ],
)
def test_samples_that_cannot_be_heard_are_named(audio: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message) as caught:
        hear(audio)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_heard_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "nan.wav", np.append(tone(16000), np.nan), 16000, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("hello")
    soundfile.write(tmp_path / "fast.wav", tone(16000), 384000)
    with pytest.raises(AudioError, match=r"fast.wav: a rate must be from 1000 to 192000 Hz, found 384000; resample"):
        hear(tmp_path / "fast.wav")
    soundfile.write(tmp_path / "cut.flac", tone(16000), 16000)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:60])
    for name, message in {
        "empty.wav": "audio holds no samples",
        "nan.wav": "audio holds NaN or infinite samples; repair",
        "text.wav": r"audio cannot be read \(Format not recognised\); convert it",
        "cut.flac": "audio (cannot be read|holds no samples)",
        "gone.wav": "there must be an audio file, found nothing",
        ".": "there must be an audio file, found a folder",
    }.items():
        with pytest.raises(AudioError, match=message) as caught:
            hear(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)
