"""Reading audio: 16 kHz mono through soundfile, every fault named with its cure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import soundfile
import torch
from torch import Tensor

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.problems import Problems

__all__ = ["SAMPLE_RATE", "SHORTEST", "header_of", "load", "seconds"]

SAMPLE_RATE = 16000
"""Samples per second of every SUPERB corpus and upstream."""
SHORTEST = 400
"""Samples that give one frame of HuBERT, wav2vec 2.0, WavLM, or one 25 ms window of fbank."""

_UNKNOWN = 0x7FFF0000
"""Bytes: sizes that sox and ffmpeg write to a pipe are this or more."""
_RESAMPLE = "convert it to 16 kHz mono, e.g. with: sox IN -r 16000 -c 1 OUT"


def header_of(path: Path, problems: Problems) -> Any:
    """soundfile's header of any rate and number of channels; a missing, unreadable or empty file goes to `problems` (None)."""
    try:
        if not path.is_file():
            problems.add(path, "audio file is missing", "complete the corpus or remove the utterance from its index")
            return None
        cut = _cut_off(path)
    except OSError as error:
        problems.add(path, f"audio cannot be read ({error.strerror})", "give yourself the right to read it")
        return None
    try:
        header = soundfile.info(os.fsencode(path))
    except soundfile.LibsndfileError as error:
        problems.add(path, f"audio cannot be read ({error.error_string})", "replace the file")
        return None
    if header.frames == 0:
        problems.add(path, "audio holds no samples", "replace the file or remove it from the index")
        return None
    if cut:
        problems.add(path, f"audio must be whole, its header tells of {cut:,} bytes more", "replace the file")
        return None
    return header


def _cut_off(path: Path) -> int:
    """Bytes of samples that the header of a .wav file tells of and the file lacks; libsndfile takes such a file as it is.

    0 for other files, and where whoever wrote the header could not know (a pipe: no size, or one of 2 GB and more).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = file.read(4)
        if kind not in (b"RIFF", b"RIFX"):
            return 0
        order: Literal["little", "big"] = "big" if kind == b"RIFX" else "little"
        place = 12
        while place + 8 <= size:
            file.seek(place)
            name, length = file.read(4), int.from_bytes(file.read(4), order)
            if name == b"data":
                return max(0, place + 8 + length - size) if length < _UNKNOWN else 0
            place += 8 + length + length % 2
    return 0


def seconds(path: Path, problems: Problems) -> float:
    """Length from the header; a missing, unreadable, empty, stereo or wrong-rate file goes to `problems` (then 0.0)."""
    header = header_of(path, problems)
    if header is None:
        return 0.0
    if header.samplerate != SAMPLE_RATE:
        problems.add(path, f"sample rate must be {SAMPLE_RATE} Hz, found {header.samplerate}", _RESAMPLE)
    elif header.channels != 1:
        problems.add(path, f"audio must be mono, found {header.channels} channels", _RESAMPLE)
    else:
        return float(header.frames) / SAMPLE_RATE
    return 0.0


def load(path: Path, start: int = 0, stop: int | None = None) -> Tensor:
    """Samples `start` to `stop` of a file, (samples,) float32 in [-1, 1].

    :raises CorpusError: the file is missing, unreadable, empty, not 16 kHz mono, or holds NaN or infinite samples.
    """
    try:
        samples, rate = soundfile.read(os.fsencode(path), start=start, stop=stop, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        if not path.is_file():
            raise CorpusError(f"{path}: audio file is missing; complete the corpus") from error
        # libsndfile has no words for some faults of its flac decoder.
        reason = getattr(error, "error_string", str(error)) or f"libsndfile error {getattr(error, 'code', '')}"
        raise CorpusError(f"{path}: audio cannot be read ({reason}); replace the file") from error
    if rate != SAMPLE_RATE:
        raise CorpusError(f"{path}: sample rate must be {SAMPLE_RATE} Hz, found {rate}; {_RESAMPLE}")
    if samples.shape[1] != 1:
        raise CorpusError(f"{path}: audio must be mono, found {samples.shape[1]} channels; {_RESAMPLE}")
    wave = torch.from_numpy(samples[:, 0].copy())
    if wave.numel() == 0:
        raise CorpusError(f"{path}: audio holds no samples; replace the file or remove it from the index")
    if not torch.isfinite(wave).all():
        raise CorpusError(f"{path}: audio holds NaN or infinite samples; replace the file")
    return wave
