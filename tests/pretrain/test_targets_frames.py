"""What every target keeps to: the encoder's frames, shapes, alignment, gain, errors."""

from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.targets import CENTRE, HOP, TARGETS, build_target, frame_count
from s3prl_plugins.pretrain.targets.energy import RmsEnergy
from s3prl_plugins.pretrain.targets.frames import cut
from s3prl_plugins.pretrain.targets.mel import LogMel

PASE = [(251, 1), (20, 10), (11, 2), (11, 1), (11, 2), (11, 1), (11, 2), (11, 2)]
DIMS = {
    "lps": 1025, "lps_long": 1025, "fbank": 40, "fbank_long": 40, "gammatone": 40, "gammatone_long": 40, "mfcc": 20,
    "mfcc_long": 20, "prosody": 4, "f0": 1, "voicing": 1, "log_hnr": 1, "rasta": 1, "rms": 1, "log_energy": 1, "zcr": 1,
    "alpha_ratio": 1,
}  # fmt: skip


def _speechlike(seed: int = 0, rows: int = 2, samples: int = 8000) -> Tensor:
    """Harmonics of 120 and 180 Hz whose loudness changes, and noise."""
    random = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 16000
    pitch = torch.tensor([120.0, 180.0])[torch.arange(rows) % 2].unsqueeze(1)
    voice = sum(torch.cos(2 * torch.pi * k * pitch * time) / k for k in range(1, 20))
    return 0.1 * voice * (1 + torch.sin(20 * time)) + 0.01 * torch.randn(rows, samples, generator=random)


def _encoder() -> nn.Sequential:
    """PASE's convolutions with kernels of ones."""
    layers: list[nn.Module] = []
    for kernel, stride in PASE:
        left = kernel // 2 - (stride > 1 or kernel % 2 == 0)
        convolution = nn.Conv1d(1, 1, kernel, stride, bias=False, dtype=torch.float64)
        nn.init.constant_(convolution.weight, 1 / kernel)
        layers += [nn.ConstantPad1d((left, kernel // 2), 0.0), convolution]
    return nn.Sequential(*layers)


def test_frames_are_centred_where_the_encoder_looks() -> None:
    wave = torch.zeros(1, 1, 8000, dtype=torch.float64, requires_grad=True)
    output = _encoder()(wave)[0, 0]
    for frame in (10, 25):
        (seen,) = torch.autograd.grad(output[frame], wave, retain_graph=True)
        places = seen[0, 0].nonzero().flatten().double()
        assert len(places) == 2370
        assert (places[0] + places[-1]) / 2 == HOP * frame + CENTRE


@given(st.integers(151, 5000))
def test_there_are_as_many_frames_as_the_encoder_gives(samples: int) -> None:
    assert frame_count(samples) == _encoder()(torch.zeros(1, 1, samples, dtype=torch.float64)).shape[-1]


@pytest.mark.parametrize("window", [7, 400, 801])
def test_windows_are_centred_and_mirrored_at_the_ends(window: int) -> None:
    centre = 150.5 if window % 2 == 0 else 150.0
    wave = torch.arange(1000.0).unsqueeze(0)
    frames = cut(wave, window, 160, centre)[0]
    padded = torch.from_numpy(np.pad(np.arange(1000.0), 500, mode="reflect")).float()
    for number, frame in enumerate(frames):
        start = int(160 * number + centre - (window - 1) / 2) + 500
        assert torch.equal(frame, padded[start : start + window])


def test_a_wave_shorter_than_the_window_is_mirrored_again_and_again() -> None:
    frames = cut(torch.arange(3.0).unsqueeze(0), 9, 160, 1.0)
    assert frames.tolist() == [[[1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0]]]
    assert cut(torch.ones(1, 1), 4, 160, 0.0).tolist() == [[[1.0] * 4]]


def test_the_table_is_complete() -> None:
    assert {name: target.dim for name, target in TARGETS.items()} == DIMS


@pytest.mark.parametrize("name", TARGETS)
def test_shapes_batches_and_types(name: str) -> None:
    waves = _speechlike()
    target = TARGETS[name]
    values = target(waves.clone().requires_grad_())
    assert values.shape == (2, 50, target.dim)
    assert values.dtype == torch.float32
    assert not values.requires_grad
    assert bool(torch.isfinite(values).all())
    alone = torch.cat([target(wave.unsqueeze(0)) for wave in waves])
    torch.testing.assert_close(values, alone, rtol=1e-4, atol=1e-3)
    assert torch.equal(target(waves.double()), values)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(target(waves), values)


@pytest.mark.parametrize("name", TARGETS)
def test_everything_is_made_on_the_waves_device(name: str) -> None:
    """Tensors of the meta device mix with no others, and nothing can wait for their values."""
    assert TARGETS[name].measure(torch.zeros(2, 8000, device="meta")).shape == (2, 50, DIMS[name])


@pytest.mark.parametrize("name", TARGETS)
def test_silence_and_the_shortest_wave_give_finite_numbers(name: str) -> None:
    assert bool(torch.isfinite(TARGETS[name](torch.zeros(1, 1600))).all())
    assert TARGETS[name](_speechlike(samples=151)).shape == (2, 1, DIMS[name])


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"rasta"}))
def test_a_wave_later_by_one_hop_has_its_frames_later_by_one(name: str) -> None:
    """RASTA alone remembers how the wave began."""
    wave = _speechlike(samples=11200)
    early, late = TARGETS[name](wave[:, HOP:]), TARGETS[name](wave[:, :-HOP])
    torch.testing.assert_close(early[:, 10:-11], late[:, 11:-10], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"rasta"}))
def test_a_wave_played_backwards_has_its_frames_backwards(name: str) -> None:
    """So a frame looks as far back as ahead of its middle."""
    wave = _speechlike(samples=49 * HOP + int(2 * CENTRE) + 1)
    backwards = TARGETS[name](wave.flip(1))
    torch.testing.assert_close(backwards.flip(1), TARGETS[name](wave), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [(name, "same") for name in ("f0", "voicing", "log_hnr", "zcr", "alpha_ratio", "rasta")]
    + [(name, "decibels") for name in ("lps", "fbank_long", "gammatone", "log_energy")]
    + [("rms", "linear")],
)
def test_gain(name: str, expected: str) -> None:
    """RASTA takes a gain out as well: it is constant in time."""
    waves = _speechlike() + 0.01 * torch.randn(2, 8000, generator=torch.Generator().manual_seed(1))
    values, louder = TARGETS[name](waves), TARGETS[name](4 * waves)
    want = {"same": values, "decibels": values + 20 * np.log10(4), "linear": 4 * values}[expected]
    heard = values > -70 if expected == "decibels" else torch.ones_like(values, dtype=torch.bool)
    assert float(heard.float().mean()) > 0.9
    torch.testing.assert_close(louder[heard], want[heard], rtol=1e-3, atol=2e-2)


def test_differences_are_librosas_away_from_the_ends() -> None:
    waves = _speechlike()
    values = build_target("mfcc", {"deltas": 2})(waves)
    assert values.shape == (2, 50, 60)
    plain = TARGETS["mfcc"](waves)
    assert torch.equal(values[..., :20], plain)
    first = librosa.feature.delta(plain[0].T.numpy(), order=1).T
    np.testing.assert_allclose(values[0, 4:-4, 20:40], first[4:-4], rtol=1e-3, atol=1e-3)
    again = librosa.feature.delta(values[0, :, 20:40].T.numpy(), order=1).T
    np.testing.assert_allclose(values[0, 8:-8, 40:], again[8:-8], rtol=1e-3, atol=1e-3)


def test_context_is_channel_major_with_zeros_beyond_the_ends() -> None:
    waves = _speechlike()
    target = LogMel(context=7)
    plain, values = LogMel()(waves), target(waves)
    assert target.dim == values.shape[-1] == 280
    for frame in (0, 2, 25, 49):
        for step in range(-3, 4):
            inside = 0 <= frame + step < 50
            want = plain[:, frame + step] if inside else torch.zeros(2, 40)
            assert torch.equal(values[:, frame].view(2, 40, 7)[..., step + 3], want)


def test_other_hops() -> None:
    waves = _speechlike()
    coarse = replace(TARGETS["fbank"], hop=320)(waves)
    torch.testing.assert_close(coarse, TARGETS["fbank"](waves)[:, ::2])


def test_targets_are_built_by_name() -> None:
    target = build_target("mfcc_long", {"coefficients": 13})
    assert (target.dim, target.window) == (13, 2048)
    assert build_target("prosody") == TARGETS["prosody"]
    assert build_target("f0", {"high": "3e2"}).high == 300.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mfccs", {}, "unknown target 'mfccs'; did you mean 'mfcc'"),
        ("mfcc", {"windows": 3}, "unknown key targets.mfcc.windows; did you mean 'window'"),
        ("mfcc", {"coefficients": 41}, "coefficients must be 1 to filters = 40, found 41"),
        ("lps", {"window": 4096}, "window must be 2 to n_fft = 2048 samples, found 4096"),
        ("rms", {"window": 1}, "window must be at least 2 samples, found 1"),
        ("rms", {"hop": 0}, "hop must be at least 1 sample, found 0"),
        ("rms", {"hop": "often"}, "targets.rms.hop must be int, found 'often'"),
        ("rms", {"centre": 0.3}, "centre must be a multiple of 0.5 that is not negative, found 0.3"),
        ("rms", {"deltas": -1}, "deltas must not be negative, found -1"),
        ("rms", {"context": 4}, "context must be an odd number of frames, found 4"),
        ("gammatone", {"low": 9000}, "low must be above 0 and below 8000 Hz, found 9000"),
        ("f0", {"low": 300, "high": 200}, "20 <= low < high <= 2000 Hz, found 300.0, 200.0"),
    ],
)
def test_a_wrong_option_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_target(name, options)
    assert "\n" not in str(caught.value)


def test_wrong_waves_are_refused() -> None:
    with pytest.raises(ValueError, match=r"floating \(batch, samples\), found torch.float32 \(800,\)"):
        RmsEnergy()(torch.zeros(800))
    with pytest.raises(ValueError, match=r"found torch.int16 \(1, 800\)"):
        RmsEnergy()(torch.zeros(1, 800, dtype=torch.int16))
    with pytest.raises(ValueError, match=r"over 150.5 samples, one frame, found 150"):
        RmsEnergy()(torch.zeros(1, 150))
