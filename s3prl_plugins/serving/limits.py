"""How large and how long a recording may be that the page takes; read off its header, before it is decoded."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import soundfile
from torch import Tensor

from s3prl_plugins.errors import AudioError, ConfigError
from s3prl_plugins.inference.audio import hear

__all__ = ["Limits", "hear_upload"]

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Of one recording.

    :raises ConfigError: a limit that lets nothing through, or everything.
    """

    seconds: float = 120.0
    megabytes: float = 20.0
    """Size of the file as it is sent; 2^20 bytes each, as Gradio counts."""

    def __post_init__(self) -> None:
        for option, value in (("--max-seconds", self.seconds), ("--max-megabytes", self.megabytes)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{option} must be above 0 and finite, found {value:g}; for example 60")

    @property
    def bytes(self) -> int:
        return int(self.megabytes * _MEGABYTE)


def hear_upload(path: Path, limits: Limits) -> Tensor:
    """Samples (samples,) at 16 kHz of an uploaded file, as `inference.audio.hear`.

    :raises AudioError: too large, too long, not audio, empty, silent, too short. The message has the file's
        name without its folder.
    """
    try:
        _check(path, limits)
        return hear(path)
    except AudioError as error:
        raise AudioError(str(error).replace(str(path), path.name)) from None


def _check(path: Path, limits: Limits) -> None:
    if not path.is_file():
        raise AudioError(f"{path}: the file is gone, as it is after each answer; upload it again")
    if (size := path.stat().st_size) > limits.bytes:
        raise AudioError(
            f"{path}: a file may have {limits.megabytes:g} MB, found {size / _MEGABYTE:.1f}; cut it, or send FLAC or MP3"
        )
    try:
        info = soundfile.info(os.fsencode(path))
    except (soundfile.LibsndfileError, RuntimeError):
        return  # hear() says why
    if info.frames > limits.seconds * info.samplerate:
        found = math.ceil(10 * info.frames / info.samplerate) / 10
        raise AudioError(
            f"{path}: a recording may last {limits.seconds:g} s, found {found:.1f}; "
            "cut it, or use `s3prl-plugins predict`, which takes any length"
        )
