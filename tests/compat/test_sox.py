"""Our effects against numbers written once with the sox program, version 14.4.2 (SoX v14.4.2, Debian 12)."""

import numpy as np
import pytest
import soundfile
import torch
from sox_signals import RATE, signal

from s3prl_plugins.compat.sox import apply_effects_file, apply_effects_tensor
from s3prl_plugins.errors import UserError

CHAINS = {
    "both": [["gain", "-3.0"], ["silence", "1", "0.1", "0.1%", "-1", "0.1", "0.1%"]],
    "leading": [["gain", "-3.0"], ["silence", "1", "0.1", "0.1%"]],
    "samples": [["gain", "-1.0"], ["silence", "1", "700", "-60d", "-1", "0.02", "0.2%"]],
}

# Signal, chain, samples that remain, sum of |y|, sum of n * y[n].
SILENCE = [
    ("digital", "both", 13437, 1915.238, -64843.2),
    ("digital", "leading", 23199, 1915.890, -89235.1),
    ("digital", "samples", 13437, 2411.142, -81632.7),
    ("room", "both", 29688, 2829.308, 631890.1),
    ("room", "leading", 39039, 2830.958, 850597.9),
    ("room", "samples", 29554, 3741.506, 791840.1),
    ("short gap", "both", 10399, 1297.961, -11770.9),
    ("short gap", "leading", 10399, 1297.961, -11770.9),
    ("short gap", "samples", 9917, 1634.036, -14818.7),
    ("silent", "both", 0, 0.0, 0.0),
    ("silent", "leading", 0, 0.0, 0.0),
    ("silent", "samples", 0, 0.0, 0.0),
    ("bursts", "both", 14078, 2243.393, -324091.2),
    ("bursts", "leading", 24640, 2245.268, -620411.0),
    ("bursts", "samples", 13597, 2824.152, -408024.3),
]


@pytest.mark.parametrize(("name", "chain", "length", "absolute", "ramp"), SILENCE)
def test_silence_equals_sox(name, chain, length, absolute, ramp):
    wave, rate = apply_effects_tensor(torch.from_numpy(signal(name))[None], RATE, CHAINS[chain])
    kept = wave[0].numpy().astype(np.float64)
    assert (rate, len(kept)) == (RATE, length)
    assert np.abs(kept).sum() == pytest.approx(absolute, abs=2e-3)
    assert kept @ np.arange(length) == pytest.approx(ramp, abs=1.0)


def test_inner_silences_are_removed_and_order_is_kept():
    wave = signal("room")
    kept = apply_effects_tensor(torch.from_numpy(wave)[None], RATE, CHAINS["both"][1:])[0][0].numpy()
    places, position = [], 0
    for start in range(0, len(kept) - 160, 160):  # every piece of the output is found later in the input than the last
        piece = kept[start : start + 160]
        if np.abs(piece).max() > 0.1:
            windows = np.lib.stride_tricks.sliding_window_view(wave[position:], 160)
            found = np.flatnonzero((windows == piece).all(axis=1))
            if len(found):
                position += int(found[0])
                places.append(position)
    assert len(places) > 50
    assert places == sorted(places)
    assert len(kept) < len(wave) - 0.9 * RATE


# Rate, effects, RMS of the middle, samples 8000..8003: a 440 Hz tone left and a 1 kHz tone right.
RESAMPLED = [
    (8000, ["gain", "-3.0"], 0.139920, [0.0, 0.064294, 0.122526, 0.169447]),
    (8000, ["norm"], 0.529831, [0.0, 0.243460, 0.463966, 0.641638]),
    (22050, ["gain", "-3.0"], 0.139920, [0.0, 0.064294, 0.122526, 0.169447]),
    (44100, ["gain", "-3.0"], 0.139920, [0.0, 0.064294, 0.122526, 0.169447]),
    (44100, ["norm"], 0.529760, [0.0, 0.243428, 0.463904, 0.641552]),
]


@pytest.mark.parametrize(("rate", "level", "rms", "middle"), RESAMPLED)
def test_channels_rate_and_level_equal_sox(tmp_path, rate, level, rms, middle):
    time = np.arange(rate) / rate
    stereo = np.stack([0.5 * np.sin(2 * np.pi * 440 * time), 0.25 * np.sin(2 * np.pi * 1000 * time)], axis=1)
    soundfile.write(tmp_path / "tones.wav", stereo, rate, subtype="FLOAT")
    chain = [["channels", "1"], ["rate", "16000"], level]
    wave, new_rate = apply_effects_file(str(tmp_path / "tones.wav"), chain)
    assert (new_rate, wave.shape, wave.dtype) == (16000, (1, 16000), torch.float32)
    # The resampling filters differ near the ends and by about 0.1 % elsewhere.
    assert float(wave[0, 200:-200].square().mean().sqrt()) == pytest.approx(rms, rel=5e-3)
    np.testing.assert_allclose(wave[0, 8000:8004], middle, atol=3e-3)


def test_gain_clips_like_sox():
    wave, _ = apply_effects_tensor(torch.tensor([[0.9, -0.9, 0.1]]), RATE, [["gain", "6"], ["gain", "-6"]])
    quiet = 10 ** (-6 / 20)
    np.testing.assert_allclose(wave[0], [quiet, -quiet, 0.1], rtol=1e-6)


def test_channels_last_is_the_transpose(tmp_path):
    stereo = np.linspace(-0.5, 0.5, 64, dtype=np.float32).reshape(32, 2)
    soundfile.write(tmp_path / "s.wav", stereo, RATE, subtype="FLOAT")
    first, _ = apply_effects_file(str(tmp_path / "s.wav"), [["gain", "-3"]])
    last, _ = apply_effects_file(str(tmp_path / "s.wav"), [["gain", "-3"]], channels_first=False)
    by_tensor, _ = apply_effects_tensor(torch.from_numpy(stereo), RATE, [["gain", "-3"]], channels_first=False)
    assert first.shape == (2, 32)
    assert torch.equal(first.t(), last)
    assert torch.equal(by_tensor, last)


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        (["gian", "-3"], "sox effect 'gian' cannot be had without sox; did you mean 'gain'"),
        (["channels", "2"], "sox effect 'channels 2' cannot be had without sox; use 'channels 1'"),
        (["silence", "2", "0.1", "0.1%"], "sox effect 'silence 2 0.1 0.1%' on 1 channel"),
        (["silence", "1", "0.1", "0.1%", "1", "0.1", "0.1%"], "use 'silence 1 D T%' or"),
    ],
)
def test_unknown_effects_are_one_line_errors(effect, message):
    with pytest.raises(UserError) as caught:
        apply_effects_tensor(torch.zeros(1, 100), RATE, [effect])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
