"""Pitch, voicing, harmonics-to-noise ratio and prosody of voices whose values are known."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3prl_plugins.pretrain.targets import CENTRE, HOP, TARGETS
from s3prl_plugins.pretrain.targets.energy import LogEnergy, ZeroCrossingRate
from s3prl_plugins.pretrain.targets.frames import cut
from s3prl_plugins.pretrain.targets.pitch import autocorrelation
from s3prl_plugins.pretrain.targets.voice import F0, LogHnr, Prosody, fill_unvoiced


def _harmonics(hertz: float, first: int = 1, last: int = 10, seconds: float = 0.6) -> Tensor:
    """Equally strong harmonics, power 1."""
    time = torch.arange(int(16000 * seconds), dtype=torch.float64) / 16000
    numbers = torch.arange(first, last + 1, dtype=torch.float64).unsqueeze(1)
    waves = torch.sin(2 * torch.pi * hertz * numbers * time + numbers.square())
    return (waves.sum(0) * (2 / len(numbers)) ** 0.5).unsqueeze(0)


def _noise(seconds: float = 0.6, seed: int = 0) -> Tensor:
    return torch.randn(1, int(16000 * seconds), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _voice(contour: np.ndarray) -> Tensor:
    """Pulses through three formants, following a pitch contour in Hz per sample."""
    phase = np.cumsum(contour) / 16000
    wave = np.diff(np.floor(phase), prepend=0.0)
    for hertz, width in ((600, 80), (1300, 100), (2600, 150)):
        radius = np.exp(-np.pi * width / 16000)
        wave = scipy.signal.lfilter([1.0], [1, -2 * radius * np.cos(2 * np.pi * hertz / 16000), radius**2], wave)
    return torch.from_numpy(wave / np.abs(wave).max()).float().unsqueeze(0)


def _inner(values: Tensor) -> Tensor:
    return values[0, 8:-8, 0]


@pytest.mark.parametrize("hertz", [65.0, 101.3, 220.0, 349.9, 480.0])
@pytest.mark.parametrize("first", [1, 3])
def test_pitch_of_harmonics(hertz: float, first: int) -> None:
    """Also where the fundamental itself and its octave are missing."""
    found = _inner(TARGETS["f0"](_harmonics(hertz, first)))
    torch.testing.assert_close(found, torch.full_like(found, hertz), rtol=5e-3, atol=0)


def test_pitch_of_a_sine() -> None:
    found = _inner(TARGETS["f0"](_harmonics(150, 1, 1)))
    torch.testing.assert_close(found, torch.full_like(found, 150), rtol=2e-3, atol=0)


@pytest.mark.parametrize(("start", "end"), [(90, 140), (240, 160), (200, 380)])
def test_pitch_follows_a_voice(start: float, end: float) -> None:
    contour = np.linspace(start, end, 16000) + 3 * np.sin(2 * np.pi * 5 * np.arange(16000) / 16000)
    found = _inner(TARGETS["f0"](_voice(contour)))
    places = (HOP * np.arange(100) + CENTRE).astype(int)[8:-8]
    np.testing.assert_allclose(found, contour[places], rtol=0.02)


def test_noise_and_silence_have_no_pitch() -> None:
    silence = torch.zeros(1, 8000)
    assert float((TARGETS["f0"](_noise(2)) > 0).float().mean()) < 0.02
    assert float(TARGETS["f0"](silence).max()) == float(TARGETS["voicing"](silence).max()) == 0
    assert float(TARGETS["log_hnr"](silence).max()) == -20


def test_voice_between_noise_is_found() -> None:
    parts = [0.3 * _noise(0.5, 1), _harmonics(130, seconds=0.5), 0.3 * _noise(0.5, 2)]
    found = TARGETS["f0"](torch.cat(parts, 1))[0, :, 0]
    assert bool((found[52:97] > 0).all())
    assert float((found[:47] > 0).float().mean() + (found[103:] > 0).float().mean()) < 0.05


def test_pitch_out_of_range_is_not_reported() -> None:
    found = F0(low=100, high=200)(_harmonics(150))
    assert bool(((found == 0) | ((found > 99) & (found < 202))).all())
    assert bool((_inner(found) > 0).all())
    assert float(F0(low=60, high=120)(_harmonics(500, 1, 1)).max()) < 130


@pytest.mark.parametrize("decibels", [0.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("hertz", [110.0, 230.0])
def test_harmonics_to_noise_ratio(decibels: float, hertz: float) -> None:
    """Harmonics of power 1 in white noise of known power."""
    wave = _harmonics(hertz, seconds=3) + 10 ** (-decibels / 20) * _noise(3)
    assert float(_inner(TARGETS["log_hnr"](wave)).median()) == pytest.approx(decibels, abs=0.5)
    share = float(_inner(TARGETS["voicing"](wave)).median())
    assert share == pytest.approx(1 / (1 + 10 ** (-decibels / 10)), abs=0.03)


def test_a_clean_voice_has_a_high_ratio_and_noise_a_low_one() -> None:
    assert float(_inner(TARGETS["log_hnr"](_harmonics(150))).min()) > 25
    assert float(_inner(TARGETS["log_hnr"](_noise())).median()) < 0
    assert bool((LogHnr()(_harmonics(150)) <= 40).all())


def test_autocorrelation_is_boersmas_formula() -> None:
    frame = cut(_noise().float(), 800, 160, CENTRE)[0, 5]
    hann = np.hanning(800)
    windowed = (frame.double().numpy() - frame.double().mean().item()) * hann
    full = np.correlate(windowed, windowed, "full")[799:1199]
    of_window = np.correlate(hann, hann, "full")[799:1199]
    want = full / full[0] / (of_window / of_window[0])
    np.testing.assert_allclose(autocorrelation(frame)[::2], want, atol=1e-4)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 99))
def test_unvoiced_frames_are_filled_as_numpy_interpolates(voiced: list[bool], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=len(voiced))
    filled = fill_unvoiced(torch.from_numpy(values).unsqueeze(0), torch.tensor([voiced]))[0]
    places, known = np.arange(len(voiced)), np.array(voiced)
    want = np.interp(places, places[known], values[known]) if known.any() else values
    np.testing.assert_allclose(filled, want, atol=1e-12)


def test_prosody_is_made_of_its_parts() -> None:
    wave = torch.cat([0.3 * _noise(0.3), _harmonics(130, seconds=0.4), 0.3 * _noise(0.3)], 1).float()
    contour, voicing, crossings, energy = Prosody()(wave)[0].T
    pitch = TARGETS["f0"](wave)[0, :, 0]
    voiced = pitch > 0
    torch.testing.assert_close(contour[voiced], pitch[voiced].log())
    assert bool((contour > np.log(100)).all())
    assert torch.equal(voicing, TARGETS["voicing"](wave)[0, :, 0])
    assert torch.equal(crossings, ZeroCrossingRate(window=320)(wave)[0, :, 0])
    assert torch.equal(energy, LogEnergy(window=320)(wave)[0, :, 0])


def test_prosody_without_voice_has_the_lowest_pitch() -> None:
    contour = Prosody(low=75)(torch.zeros(1, 3200))[0, :, 0]
    torch.testing.assert_close(contour, torch.full_like(contour, float(np.log(75))))
