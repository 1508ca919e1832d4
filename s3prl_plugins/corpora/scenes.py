"""Where a recording was made: room, microphone and background noise, all simulated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s3prl_plugins.corpora.espeak import SAMPLE_RATE

__all__ = ["CLEAN", "Scene", "coloured_noise", "place", "random_scene"]

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Acoustic conditions of a recording."""

    snr: float = 50.0
    """Speech over noise, dB."""
    tilt: float = 1.0
    """The noise's power falls with frequency to this power: 0 is white, 1 pink, 2 brown."""
    swing: float = 0.0
    """How far the noise's level swings, 0 (steady) to 1."""
    rt60: float = 0.0
    """Reverberation time, seconds; 0 is no room."""
    wet: float = 0.0
    """Energy of the reverberation over that of the direct sound."""
    channel: tuple[float, ...] = ()
    """Gain of the microphone in dB at equal steps on the mel scale from 0 to 8 kHz."""


CLEAN = Scene()


def random_scene(
    random: np.random.Generator,
    *,
    noisy: float = 0.5,
    snr: tuple[float, float] = (5.0, 20.0),
    reverberant: float = 0.3,
    channel: float = 0.0,
) -> Scene:
    """Draw a scene.

    :param noisy: share of scenes with noise, at a uniform `snr` in dB.
    :param reverberant: share of scenes in a room of 0.15 to 0.5 s.
    :param channel: standard deviation in dB of the microphone's gains.
    """
    noise = random.random() < noisy
    room = random.random() < reverberant
    return Scene(
        snr=round(float(random.uniform(*snr)), 1) if noise else 40.0,
        tilt=round(float(random.uniform(0, 1.6)), 2),
        swing=round(float(random.uniform(0, 0.8)), 2),
        rt60=round(float(random.uniform(0.15, 0.5)), 2) if room else 0.0,
        wet=round(float(random.uniform(0.2, 0.8)), 2) if room else 0.0,
        channel=tuple(round(float(g), 1) for g in random.normal(0, channel, size=8)) if channel else (),
    )


def coloured_noise(random: np.random.Generator, count: int, tilt: float, swing: float = 0.0) -> Samples:
    """Gaussian noise (count,) of unit power whose power spectrum falls as frequency ** -tilt, its level swinging slowly."""
    padded = _fast_length(count)
    spectrum = np.fft.rfft(random.standard_normal(padded))
    frequency = np.maximum(np.fft.rfftfreq(padded, 1 / SAMPLE_RATE), 50.0)
    noise = np.fft.irfft(spectrum * frequency ** (-tilt / 2), padded)[:count]
    if swing:
        cycles, phase = random.uniform(0.5, 3.0), random.uniform(0, 2 * np.pi)
        noise *= 1 + swing * np.sin(2 * np.pi * cycles * np.arange(count) / SAMPLE_RATE + phase)
    power = float(np.sqrt(np.mean(noise**2)))
    return np.asarray(noise / max(power, 1e-9), dtype=np.float64)


def place(speech: Samples, scene: Scene, random: np.random.Generator) -> Samples:
    """Put dry `speech` (samples,) into a scene; the length stays, the room's tail beyond the end is cut.

    The signal-to-noise ratio counts the power of the samples that are not digital silence.
    """
    count = speech.size
    tail = int(scene.rt60 * SAMPLE_RATE)
    padded = _fast_length(count + tail)
    spectrum = np.fft.rfft(speech, padded)
    if scene.rt60:
        spectrum = spectrum * np.fft.rfft(_room(scene, random), padded)
    noise_spectrum = np.fft.rfft(coloured_noise(random, count, scene.tilt, scene.swing), padded)
    wet = np.fft.irfft(spectrum, padded)[:count]
    active = np.abs(speech) > 0
    power = float(np.mean(wet[active] ** 2)) if active.any() else 1.0
    spectrum += noise_spectrum * np.sqrt(power * 10 ** (-scene.snr / 10))
    if scene.channel:
        mel = 2595 * np.log10(1 + np.fft.rfftfreq(padded, 1 / SAMPLE_RATE) / 700)
        gain = np.interp(mel, np.linspace(0, mel[-1], len(scene.channel)), scene.channel)
        spectrum *= 10 ** (gain / 20)
    return np.asarray(np.fft.irfft(spectrum, padded)[:count], dtype=np.float64)


def _room(scene: Scene, random: np.random.Generator) -> Samples:
    """Impulse response: the direct sound, then noise whose energy falls by 60 dB in `rt60` seconds."""
    count = int(scene.rt60 * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    response = random.standard_normal(count) * 10 ** (-3 * time / scene.rt60)
    response[: int(0.002 * SAMPLE_RATE)] = 0
    response *= np.sqrt(scene.wet / max(float(np.sum(response**2)), 1e-12))
    response[0] = 1
    return np.asarray(response, dtype=np.float64)


def _fast_length(count: int) -> int:
    """The next length of 1, 3 or 5 times a power of two, at which transforms are fast."""
    return min(odd << max(0, (-(-count // odd) - 1).bit_length()) for odd in (1, 3, 5))
