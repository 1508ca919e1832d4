"""Any recording as the models hear it: one channel at 16 kHz."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from s3prl_plugins.errors import AudioError
from s3prl_plugins.heads.audio import SAMPLE_RATE, SHORTEST

__all__ = ["Audio", "hear", "name_of"]

Audio = str | Path | tuple["NDArray[Any] | Tensor", int]
"""A file that libsndfile reads (wav, flac, ogg, mp3 ...), or samples and their rate in Hz. Samples are (samples,), or have
the channels along the shorter side; floats in [-1, 1], or integers of full scale."""
SILENCE = 1e-4
"""Largest deviation from the mean, of full scale, that counts as silence: -80 dB."""
LOWEST, HIGHEST = 1000, 192_000
"""Sampling rates in Hz. The filter that brings a recording to 16 kHz takes memory with the rate."""
_BLOCK = 1 << 20
_CROSSINGS = 32
_Wave = NDArray[np.float32]


def name_of(audio: Audio) -> str:
    """What answers and errors call a recording."""
    return "audio" if isinstance(audio, tuple) else str(audio)


def hear(audio: Audio) -> Tensor:
    """Samples (samples,) float32 at 16 kHz: the mean of the channels, resampled where the rate is another.

    :raises AudioError: no such file, not audio, empty, NaN or infinite samples, silence, less than 25 ms, or a rate
        outside 1 to 192 kHz.
    """
    name = name_of(audio)
    if isinstance(audio, tuple):
        wave, rate = _mono(np.asarray(audio[0]), name), _checked(int(audio[1]), name)
    else:
        wave, rate = _read(Path(audio))
    if wave.size == 0:
        raise AudioError(f"{name}: audio holds no samples; record it again")
    if not np.isfinite(wave).all():
        raise AudioError(f"{name}: audio holds NaN or infinite samples; repair or replace it")
    if len(wave) * SAMPLE_RATE < SHORTEST * rate:
        least = 1000 * SHORTEST / SAMPLE_RATE
        raise AudioError(f"{name}: audio must last {least:.0f} ms, found {1000 * len(wave) / rate:.1f}; record more")
    if float(np.abs(wave - wave.mean()).max()) < SILENCE:
        raise AudioError(f"{name}: audio is silent (below -80 dB, channels mixed); check the recording")
    return torch.from_numpy(_resampled(wave, rate))


def _read(path: Path) -> tuple[_Wave, int]:
    """In blocks, so that an hour of eight channels needs the memory of one."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise AudioError(f"{path}: there must be an audio file, found {found}; check the path")
    try:
        with path.open("rb"):
            pass
        with soundfile.SoundFile(os.fsencode(path)) as file:
            rate = _checked(int(file.samplerate), str(path))
            blocks = [block.mean(axis=1) for block in file.blocks(_BLOCK, dtype="float32", always_2d=True)]
            return np.concatenate([*blocks, np.zeros(0, np.float32)]), rate
    except OSError as error:
        raise AudioError(
            f"{path}: audio cannot be read ({error.strerror}); give yourself the right to read it"
        ) from error
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", "") or error or type(error).__name__).rstrip(".")
        raise AudioError(f"{path}: audio cannot be read ({reason}); convert it to wav or flac") from error


def _checked(rate: int, name: str) -> int:
    if not LOWEST <= rate <= HIGHEST:
        raise AudioError(f"{name}: a rate must be from {LOWEST} to {HIGHEST} Hz, found {rate}; resample the recording")
    return rate


def _mono(samples: NDArray[Any], name: str) -> _Wave:
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
        found = f"{samples.dtype} of shape {samples.shape}"
        raise AudioError(
            f"{name}: samples must be numbers (samples,) or (channels, samples), found {found}; convert them"
        )
    if samples.dtype.kind == "u":
        raise AudioError(f"{name}: samples must be floats or signed integers, found {samples.dtype}; convert them")
    scale = np.iinfo(samples.dtype).max + 1 if samples.dtype.kind == "i" else 1
    if samples.ndim == 2:
        samples = samples.mean(axis=int(np.argmin(samples.shape)))
    return np.ascontiguousarray(samples / scale, dtype=np.float32)


def _resampled(wave: _Wave, rate: int) -> _Wave:
    """scipy's polyphase filter, which also takes rates that share no divisor with 16000; a Kaiser window of 90 dB."""
    if rate == SAMPLE_RATE:
        return wave
    from scipy.signal import firwin, resample_poly

    divisor = math.gcd(rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // divisor, rate // divisor
    slower = max(up, down)
    taps = firwin(2 * _CROSSINGS * slower + 1, 0.95 / slower, window=("kaiser", 9.0)).astype(np.float32)
    return np.ascontiguousarray(resample_poly(wave, up, down, window=taps), dtype=np.float32)
