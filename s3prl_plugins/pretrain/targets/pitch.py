"""Fundamental frequency and periodicity of each frame, by autocorrelation and a search for the best path."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.targets.frames import cut

__all__ = ["Pitch", "autocorrelation", "track"]

_CANDIDATES = 6
_FINER = 2
_SILENCE = 1e-10
"""Mean square below which nothing is periodic."""
# Boersma's costs, made for steps of 10 ms.
_VOICED = 0.45
_OCTAVE = 0.01
_OCTAVE_JUMP = 0.35
_SWITCH = 0.14


@dataclass(frozen=True)
class Pitch:
    """Of every frame, both (batch, frames)."""

    hertz: Tensor
    """Fundamental frequency, 0 where unvoiced."""
    periodicity: Tensor
    """Share of the power that repeats with the best period, 0 (noise, silence) to 1; also where unvoiced."""


def track(waves: Tensor, low: float, high: float, hop: int, centre: float) -> Pitch:
    """Follow the pitch from `low` to `high` Hz (Boersma, "Accurate short-term analysis of the fundamental frequency and
    the harmonics-to-noise ratio of a sampled sound", 1993; Praat's default costs).

    Candidates are the peaks of the frame's autocorrelation over that of its window (three periods of `low`); the path
    of least octave jumps and changes of voicing is taken. Praat also calls quiet parts unvoiced, relative to the loudest.

    :param waves: (batch, samples) at 16 kHz.
    """
    correlation = autocorrelation(cut(waves, round(3 * SAMPLE_RATE / low), hop, centre))
    period, strength = _candidates(correlation, low, high)
    hertz = torch.where(strength > 0, 1 / period, 0.0)
    local = torch.where(strength > 0, strength + _OCTAVE * torch.log2(hertz.clamp(min=low) / low), -1.0)
    # The last state is unvoiced.
    local = pad(local, (0, 1), value=_VOICED)
    chosen = _best_path(local, pad(hertz, (0, 1))).unsqueeze(-1)
    best = strength.gather(-1, local[..., :-1].argmax(-1, keepdim=True))
    periodicity = torch.where(chosen == _CANDIDATES, best, pad(strength, (0, 1)).gather(-1, chosen))
    return Pitch(pad(hertz, (0, 1)).gather(-1, chosen).squeeze(-1), periodicity.clamp(0, 1).squeeze(-1))


def autocorrelation(frames: Tensor) -> Tensor:
    """Autocorrelation at lags of half samples up to half a window, 1 at lag 0.

    That of the frame times a Hann window, divided by that of the window.

    :param frames: (..., window).
    :return: (..., lags).
    """
    window = frames.shape[-1]
    hann = torch.hann_window(window, periodic=False, device=frames.device)
    # Room for the lags, and even.
    length = 2 * (3 * window // 4 + window % 2)

    def raw(values: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(values, length)
        power = spectrum.real.square() + spectrum.imag.square()
        # Half of the last bin belongs to the negative frequencies, which the finer lags keep apart.
        power[..., -1] /= 2
        lags: Tensor = torch.fft.irfft(power, _FINER * length)[..., : _FINER * window // 2] * _FINER
        return lags

    of_frames = raw((frames - frames.mean(-1, keepdim=True)) * hann)
    of_window = raw(hann)
    silence = _SILENCE * hann.square().sum()
    return of_frames / (of_frames[..., :1] + silence) / (of_window / of_window[0])


def _candidates(correlation: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Periods in seconds and heights of the highest peaks, (..., candidates); height 0 where there are fewer."""
    scale = _FINER * SAMPLE_RATE
    first, last = int(scale / high), min(int(scale / low) + 1, correlation.shape[-1] - 2)
    left, middle, right = (correlation[..., first + step : last + step + 1] for step in (-1, 0, 1))
    peak = (middle > left) & (middle >= right) & (middle > 0)
    lags = torch.arange(first, last + 1, device=correlation.device)
    preferred = middle - _OCTAVE * torch.log2(lags / first)
    kept = torch.where(peak, preferred, -1.0).topk(_CANDIDATES, -1).indices
    left, middle, right, peak = (values.gather(-1, kept) for values in (left, middle, right, peak))
    # A parabola through the peak and its neighbours.
    slope, bend = (right - left) / 2, (2 * middle - left - right).clamp(min=1e-9)
    lag = kept + first + (slope / bend).clamp(-0.5, 0.5)
    height = (middle + slope.square() / (2 * bend)).clamp(max=1.0)
    return lag / scale, torch.where(peak, height, 0.0)


def _best_path(local: Tensor, hertz: Tensor) -> Tensor:
    """Viterbi search: (batch, frames, states) scores and frequencies (0: unvoiced) -> (batch, frames) states."""
    voiced = hertz > 0
    octaves = torch.log2(hertz.clamp(min=1.0))
    jump = (octaves[:, 1:, None, :] - octaves[:, :-1, :, None]).abs() * _OCTAVE_JUMP
    before, after = voiced[:, :-1, :, None], voiced[:, 1:, None, :]
    cost = torch.where(before & after, jump, (before != after) * _SWITCH)
    score, back = local[:, 0], []
    for step in range(cost.shape[1]):
        best, source = (score.unsqueeze(2) - cost[:, step]).max(1)
        score = best + local[:, step + 1]
        back.append(source)
    path = [score.argmax(1, keepdim=True)]
    for source in reversed(back):
        path.append(source.gather(1, path[-1]))
    return torch.cat(path[::-1], 1)
