"""What several distortions do to a wave: filter it, add to it at a level, keep its energy."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["add", "convolve", "keep_energy"]


def convolve(wave: Tensor, response: Tensor, delay: int) -> Tensor:
    """`wave` (samples,) through an impulse response (taps,), `delay` samples early: as long as the wave, its tail cut."""
    from scipy.fft import next_fast_len

    count = len(wave)
    length = next_fast_len(count + len(response) - 1, real=True)
    spectrum = torch.fft.rfft(wave, length) * torch.fft.rfft(response.to(wave), length)
    whole: Tensor = torch.fft.irfft(spectrum, length)
    return whole[delay : delay + count]


def keep_energy(changed: Tensor, wave: Tensor) -> Tensor:
    """`changed` scaled to the energy of `wave`; zeros where one of them is silent."""
    return changed * _ratio(wave, changed)


def add(wave: Tensor, sound: Tensor, snr: float) -> Tensor:
    """`wave` and `sound` (samples,) at so many dB of energy over the whole wave, together of the wave's energy."""
    gain = 10 ** (-snr / 20) * _ratio(wave, sound)
    return keep_energy(wave + gain * sound, wave)


def _ratio(wave: Tensor, other: Tensor) -> Tensor:
    ratio = torch.linalg.vector_norm(wave) / torch.linalg.vector_norm(other)
    return torch.nan_to_num(ratio, nan=0.0, posinf=0.0)
