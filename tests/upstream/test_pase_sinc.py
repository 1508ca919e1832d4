"""Sinc filters against a direct formula in numpy, and what scipy says of their pass bands; mirrored ends against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import freqz

from s3prl_plugins.upstream.pase.padding import mirrored
from s3prl_plugins.upstream.pase.sinc import SincConv

FILTERS, KERNEL = 64, 251


def test_taps_are_windowed_differences_of_ideal_low_pass_filters() -> None:
    conv = SincConv(FILTERS, KERNEL)
    low, high = (edge.detach().double().numpy()[:, None] for edge in conv.edges())
    n = np.arange(-(KERNEL // 2), KERNEL // 2 + 1)
    ideal = (2 * high * np.sinc(2 * high * n / 16000) - 2 * low * np.sinc(2 * low * n / 16000)) / (2 * (high - low))
    steps = np.linspace(0, KERNEL / 2 - 1, KERNEL // 2)  # as the released code spreads half a window
    half = 0.54 - 0.46 * np.cos(2 * np.pi * steps / KERNEL)
    window = np.concatenate([half, [1], half[::-1]])
    np.testing.assert_allclose(window, np.hamming(KERNEL), atol=0.005)
    np.testing.assert_allclose(conv.taps().detach().numpy(), ideal * window, atol=2e-5)


def test_bands_are_adjacent_in_mel_from_80_hz_to_8_khz_overlapping_by_the_least_width() -> None:
    low, high = (edge.detach() for edge in SincConv(FILTERS, KERNEL).edges())
    assert float(low[0]) == pytest.approx(80) and float(high[-1]) == pytest.approx(8000)
    torch.testing.assert_close(high[:-1] - low[1:], torch.full((FILTERS - 1,), 50.0), atol=2e-3, rtol=0)
    mel = 2595 * torch.log10(1 + (low - 50) / 700)
    assert float(mel.diff().std() / mel.diff().mean()) < 1e-4


@pytest.mark.parametrize("number", [30, 45, 60])
def test_a_filter_passes_its_band_and_stops_the_rest(number: int) -> None:
    conv = SincConv(FILTERS, KERNEL)
    low, high = (float(edge[number].detach()) for edge in conv.edges())
    frequencies, response = freqz(conv.taps()[number].detach().numpy(), worN=4096, fs=16000)
    gain = np.abs(response) / np.abs(response).max()
    slope = 16000 / KERNEL * 2  # half the width of a Hamming window's main lobe
    inside = (frequencies > low + slope / 2) & (frequencies < high - slope / 2)
    outside = (frequencies < low - slope) | (frequencies > high + slope)
    assert gain[inside].min() > 0.6 and 20 * np.log10(gain[outside].max()) < -35


def test_edges_stay_in_range_wherever_training_moves_them() -> None:
    conv = SincConv(4, 31)
    with torch.no_grad():
        conv.low.copy_(torch.tensor([-300.0, 0, 7000, 100]))
        conv.band.copy_(torch.tensor([0.0, -20, 5000, 1e5]))
    low, high = conv.edges()
    torch.testing.assert_close(low.detach(), torch.tensor([350.0, 50, 7050, 150]))
    torch.testing.assert_close(high.detach(), torch.tensor([400.0, 120, 8000, 8000]))
    assert torch.isfinite(conv.taps()).all()


def test_outputs_are_numpys_convolution_of_the_mirrored_wave() -> None:
    conv = SincConv(8, 31)
    wave = np.random.default_rng(0).standard_normal(200).astype("float32")
    found = conv(torch.from_numpy(wave)[None, None]).detach().numpy()[0]
    extended = np.pad(wave, 15, mode="reflect")
    for row, taps in zip(found, conv.taps().detach().numpy()):
        np.testing.assert_allclose(row, np.convolve(extended, taps, "valid"), atol=2e-5)


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 100])
def test_mirroring_is_numpys_however_short_the_signal(samples: int) -> None:
    signal = torch.arange(float(2 * samples)).view(1, 2, samples)
    expected = np.pad(signal.numpy(), ((0, 0), (0, 0), (9, 10)), mode="reflect")
    np.testing.assert_array_equal(mirrored(signal, 9, 10).numpy(), expected)
