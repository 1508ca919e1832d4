"""Spectral and energy targets against librosa, scipy, and signals whose values are known."""

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
from torch import Tensor

from s3prl_plugins.pretrain.targets import TARGETS
from s3prl_plugins.pretrain.targets.frames import CENTRE, cut
from s3prl_plugins.pretrain.targets.gammatone import Gammatone, erb_spaced, gammatone_filters
from s3prl_plugins.pretrain.targets.mel import LogMel, MelCepstrum
from s3prl_plugins.pretrain.targets.rasta import equal_loudness, mel_centres, rasta
from s3prl_plugins.pretrain.targets.spectrum import LogPowerSpectrum

CPU = torch.device("cpu")


def _noise(seconds: float = 1.0, rows: int = 1) -> Tensor:
    return 0.1 * torch.randn(rows, int(16000 * seconds), generator=torch.Generator().manual_seed(0))


def _sine(hertz: float, amplitude: float = 0.5, seconds: float = 0.5) -> Tensor:
    return amplitude * torch.sin(2 * torch.pi * hertz * torch.arange(int(16000 * seconds), dtype=torch.float64) / 16000)


def _inner(values: Tensor) -> Tensor:
    """Without frames that see the ends."""
    return values[0, 8:-8]


def _power(waves: Tensor, window: int, n_fft: int) -> np.ndarray:
    """Second implementation of the power spectrum, in numpy."""
    hann = scipy.signal.get_window("hann", window, fftbins=False)
    frames = cut(waves, window, 160, CENTRE)[0].double().numpy()
    return np.abs(np.fft.rfft(frames * hann, n_fft)) ** 2 / (hann**2).sum()


@pytest.mark.parametrize("window", [400, 512])
def test_lps_is_numpys(window: int) -> None:
    want = 10 * np.log10(_power(_noise(), window, 2048) + 1e-10)
    np.testing.assert_allclose(LogPowerSpectrum(window=window)(_noise())[0], want, atol=5e-3)


@pytest.mark.parametrize("window", [400, 2048])
def test_white_noise_has_its_variance_in_every_bin(window: int) -> None:
    power = LogPowerSpectrum(window=window).power(_noise(4)).mean()
    assert float(power) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("hertz", [250.0, 1000.0, 6500.0])
def test_a_sine_peaks_at_its_frequency(hertz: float) -> None:
    wave = _sine(hertz).unsqueeze(0)
    assert bool((_inner(TARGETS["lps"](wave)).argmax(-1) == round(hertz / 16000 * 2048)).all())
    mel = _inner(TARGETS["fbank"](wave)).argmax(-1)
    assert bool((mel == (mel_centres(40, 0, 8000, CPU) - hertz).abs().argmin()).all())
    if hertz >= 500:
        band = _inner(TARGETS["gammatone_long"](wave)).argmax(-1)
        assert bool(((erb_spaced(500, 40, CPU)[band] / hertz - 1).abs() < 0.06).all())


@pytest.mark.parametrize(("window", "n_fft"), [(400, 512), (1024, 1024)])
def test_fbank_is_librosas(window: int, n_fft: int) -> None:
    filters = librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=40, htk=True, norm=None)
    want = 10 * np.log10(_power(_noise(), window, n_fft) @ filters.T + 1e-10)
    np.testing.assert_allclose(LogMel(window=window, n_fft=n_fft)(_noise())[0], want, atol=5e-3)


def test_no_mel_band_is_empty() -> None:
    for name in ("fbank", "fbank_long", "mfcc", "mfcc_long", "rasta"):
        target = TARGETS[name]
        filters = librosa.filters.mel(sr=16000, n_fft=target.n_fft, n_mels=target.filters, htk=True, norm=None)
        assert bool((filters.max(1) > 0).all())


def test_mfcc_is_the_cosine_transform_of_fbank() -> None:
    want = scipy.fft.dct(LogMel()(_noise())[0].double().numpy(), type=2, norm="ortho")[:, :13]
    np.testing.assert_allclose(MelCepstrum(coefficients=13)(_noise())[0], want, atol=1e-3)


def test_gammatone_filters_have_scipys_response() -> None:
    """Down to 30 dB below the peak; further down the mirror image of negative frequencies shows."""
    centres = erb_spaced(500, 40, CPU)
    ours = gammatone_filters(4097, centres).double().numpy()
    hertz = np.linspace(0, 8000, 4097)
    for index in (0, 10, 20, 30):
        taps, _ = scipy.signal.gammatone(float(centres[index]), "fir", order=4, numtaps=4096, fs=16000)
        response = np.abs(scipy.signal.freqz(taps, 1, hertz, fs=16000)[1]) ** 2
        response /= response.max()
        near = ours[:, index] > 1e-3
        np.testing.assert_allclose(
            10 * np.log10(ours[near, index]), 10 * np.log10(response[near]), atol=0.7, err_msg=str(centres[index])
        )


def test_gammatone_bands_are_even_on_the_ears_scale() -> None:
    centres = erb_spaced(500, 40, CPU).double().numpy()
    scale = np.log(1 + 0.00437 * np.append(centres, 8000.0))
    assert centres[0] == pytest.approx(500, abs=0.01)
    np.testing.assert_allclose(np.diff(scale), np.diff(scale).mean(), rtol=1e-2)
    assert Gammatone(filters=24, low=100)(_noise()).shape == (1, 100, 24)


def test_energy_is_numpys() -> None:
    frames = cut(_noise(), 400, 160, CENTRE)[0].double().numpy()
    np.testing.assert_allclose(TARGETS["rms"](_noise())[0, :, 0], np.sqrt((frames**2).mean(1)), rtol=1e-5)
    np.testing.assert_allclose(TARGETS["log_energy"](_noise())[0, :, 0], 10 * np.log10((frames**2).mean(1)), atol=1e-3)
    assert float(TARGETS["log_energy"](torch.zeros(1, 800)).max()) == pytest.approx(-100)


def test_rms_of_a_sine() -> None:
    """80 Hz: the window holds two whole periods."""
    torch.testing.assert_close(
        _inner(TARGETS["rms"](_sine(80).unsqueeze(0))), torch.full((34, 1), 0.5 / 2**0.5), rtol=1e-5, atol=0
    )


def test_zero_crossings_are_librosas() -> None:
    frames = cut(_noise(), 400, 160, CENTRE)[0].numpy()
    want = librosa.zero_crossings(frames, pad=False, axis=1).sum(1) / 399
    np.testing.assert_allclose(TARGETS["zcr"](_noise())[0, :, 0], want, rtol=1e-6)


@pytest.mark.parametrize("hertz", [220.0, 1500.0])
def test_a_sine_crosses_zero_twice_a_period(hertz: float) -> None:
    rate = _inner(TARGETS["zcr"](_sine(hertz, seconds=2).unsqueeze(0))).mean()
    assert float(rate) == pytest.approx(2 * hertz / 16000, rel=0.01)


def test_zero_is_positive() -> None:
    assert float(TARGETS["zcr"](torch.zeros(1, 800)).max()) == 0
    assert float(TARGETS["zcr"](-torch.zeros(1, 800)).max()) == 0


@pytest.mark.parametrize("decibels", [-12.0, 0.0, 20.0])
def test_alpha_ratio_of_two_sines(decibels: float) -> None:
    wave = _sine(400, 0.3) + _sine(2000, 0.3 * 10 ** (-decibels / 20)) + _sine(6000, 0.4)
    ratio = _inner(TARGETS["alpha_ratio"](wave.unsqueeze(0)))
    torch.testing.assert_close(ratio, torch.full_like(ratio, decibels), rtol=0, atol=0.05)


def test_alpha_ratio_of_white_noise_is_that_of_the_bandwidths() -> None:
    ratio = 10 ** (TARGETS["alpha_ratio"](_noise(8)) / 10)
    assert float(10 * torch.log10(ratio.mean())) == pytest.approx(10 * np.log10(950 / 4000), abs=0.5)


def test_rasta_is_scipys_filter_two_frames_early() -> None:
    bands = torch.randn(2, 3, 60, generator=torch.Generator().manual_seed(0)) + 5
    moved = (bands - bands[..., :1]).double().numpy()
    want = scipy.signal.lfilter([0.2, 0.1, 0, -0.1, -0.2], [1, -0.98], moved, axis=-1)[..., 2:]
    np.testing.assert_allclose(rasta(bands)[..., :-2], want, atol=1e-4)


def test_rasta_removes_a_microphone_and_keeps_the_motion() -> None:
    bands = torch.randn(1, 5, 80, generator=torch.Generator().manual_seed(1))
    microphone = torch.linspace(-3, 3, 5).view(1, 5, 1)
    torch.testing.assert_close(rasta(bands + microphone), rasta(bands), rtol=1e-4, atol=1e-4)
    assert float(rasta(microphone.expand(1, 5, 80)).abs().max()) == 0

    def swing(hertz: float) -> float:
        return float(rasta(torch.sin(2 * torch.pi * hertz * torch.arange(600) / 100).view(1, 1, -1))[..., 300:].std())

    # Syllables come at about 4 Hz.
    assert swing(4) > 2 * max(swing(0.1), swing(30))


def test_rasta_norm_without_motion_is_the_ears_weighting() -> None:
    want = equal_loudness(mel_centres(26, 20, 8000, CPU)).pow(1 / 3).sum()
    assert float(TARGETS["rasta"](_noise(rows=20)).mean()) == pytest.approx(float(want), rel=0.2)
    assert float(TARGETS["rasta"](torch.zeros(1, 3200))[0].mean()) == pytest.approx(float(want), rel=1e-4)
    onset = torch.cat([torch.zeros(1, 8000), _noise(0.5)], 1)
    values = TARGETS["rasta"](onset)[0, :, 0]
    assert float(values[52:60].mean()) > 3 * float(values[:40].mean())


def test_equal_loudness_favours_what_the_ear_hears_best() -> None:
    weights = equal_loudness(torch.tensor([50.0, 300.0, 1000.0, 4000.0]))
    assert bool((weights.diff() > 0).all())
    assert float(weights[2]) == pytest.approx((1e6 / 1.16e6) ** 2 * 2.44e6 / 10.61e6, rel=1e-5)
