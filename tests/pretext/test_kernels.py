"""Downsampling filters, the spectrogram, and both kernels."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from s3prl_plugins.pretext.kernels import downsampling, label_energy, log_mel, speech_kernel


@pytest.mark.parametrize(("frames", "kept"), [(1, 10), (7, 10), (100, 30), (801, 30)])
def test_filters_average(frames: int, kept: int) -> None:
    filters = downsampling(frames, kept)
    assert filters.shape == (kept, frames) and (filters >= 0).all()
    assert torch.allclose(filters.sum(dim=1), torch.ones(kept, dtype=torch.float64))
    assert torch.allclose(filters, filters.flip(0, 1), atol=1e-12)


def test_filters_by_the_definition() -> None:
    frames, kept, k = 50, 10, 3
    centre, std = k * (frames - 1) / (kept - 1), 0.1 * k + 0.07 * frames
    below = [0.5 * (1 + math.erf((i - 0.5 - centre) / std / math.sqrt(2))) for i in range(frames + 1)]
    weights = torch.tensor([after - before for before, after in itertools.pairwise(below)], dtype=torch.float64)
    assert torch.allclose(downsampling(frames, kept)[k], weights / weights.sum())


def test_a_tone_lights_its_band() -> None:
    time = torch.arange(16000) / 16000
    loudest = [int(log_mel(torch.sin(2 * math.pi * hertz * time)).mean(dim=0).argmax()) for hertz in (300, 1000, 4000)]
    mels = [2595 * math.log10(1 + hertz / 700) for hertz in (300, 1000, 4000)]
    top = 2595 * math.log10(1 + 8000 / 700)
    assert all(abs(band + 1 - 81 * mel / top) <= 1 for band, mel in zip(loudest, mels))
    assert log_mel(torch.zeros(16000)).shape == (101, 80)


def test_speech_kernel_is_the_cosine() -> None:
    stretches = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = speech_kernel(stretches)
    product = float((stretches[1] * stretches[2]).sum() / stretches[1].norm() / stretches[2].norm())
    assert float(kernel[1, 2]) == pytest.approx(product)
    assert torch.allclose(kernel.diagonal(), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(speech_kernel(7 * stretches), kernel)


def test_label_energy_is_the_gaussian_of_the_papers() -> None:
    labels = torch.tensor([[0.0], [0.1], [0.5]])
    expected = [math.exp(-(d**2) / (2 * 0.05)) for d in (0.1, 0.5, 0.4)]
    assert (-label_energy(labels)).exp().tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(label_energy(labels.repeat(1, 6)), label_energy(labels))
