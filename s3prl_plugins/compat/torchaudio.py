"""torchaudio 2.9 removed backends, `info` and `sox_effects`, and reads files only through the package torchcodec."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

from s3prl_plugins.compat.repair import Repair

__all__ = ["REPAIRS", "AudioInfo", "info", "load", "save"]

# soundfile's name of a sample format -> torchaudio's name and bits per sample.
_ENCODINGS = {
    "PCM_S8": ("PCM_S", 8), "PCM_U8": ("PCM_U", 8), "PCM_16": ("PCM_S", 16), "PCM_24": ("PCM_S", 24),
    "PCM_32": ("PCM_S", 32), "FLOAT": ("PCM_F", 32), "DOUBLE": ("PCM_F", 64), "ULAW": ("ULAW", 8), "ALAW": ("ALAW", 8),
}  # fmt: skip


class AudioInfo(NamedTuple):
    """What `torchaudio.info` returned until 2.8."""

    sample_rate: int
    num_frames: int
    num_channels: int
    bits_per_sample: int
    """0 where the format is compressed."""
    encoding: str


def info(uri: str | BinaryIO, format: str | None = None, **_: object) -> AudioInfo:  # noqa: A002, ARG001
    """The header of an audio file, read by soundfile."""
    import soundfile

    header = soundfile.info(_readable(uri))
    encoding, bits = _ENCODINGS.get(header.subtype, (header.format, 0))
    if header.format == "FLAC":
        encoding = "FLAC"
    return AudioInfo(header.samplerate, header.frames, header.channels, bits, encoding)


def load(
    uri: str | BinaryIO,
    frame_offset: int = 0,
    num_frames: int = -1,
    normalize: bool = True,
    channels_first: bool = True,
    **_: object,
) -> tuple[Any, int]:
    """Audio as (tensor (channels, samples), sampling rate): float32 in [-1, 1], or int16 without `normalize`."""
    import soundfile
    import torch

    dtype = "float32" if normalize else "int16"
    wave, rate = soundfile.read(_readable(uri), num_frames, frame_offset, dtype=dtype, always_2d=True)
    tensor = torch.from_numpy(wave)
    return (tensor.t().contiguous() if channels_first else tensor), rate


def save(
    uri: str | BinaryIO,
    src: Any,
    sample_rate: int,
    channels_first: bool = True,
    format: str | None = None,  # noqa: A002
    encoding: str | None = None,
    bits_per_sample: int | None = None,
    **_: object,
) -> None:
    """Write a tensor (channels, samples); float tensors become 32-bit float wav unless told otherwise."""
    import soundfile

    wave = src.detach().cpu()
    wave = wave.t() if channels_first and wave.dim() == 2 else wave
    chosen = [name for name, known in _ENCODINGS.items() if known == (encoding or "PCM_S", bits_per_sample or 16)]
    subtype = chosen[0] if encoding or bits_per_sample else None
    name = str(uri).lower()
    if subtype is None and wave.is_floating_point() and (format == "wav" or name.endswith(".wav")):
        subtype = "FLOAT"
    soundfile.write(_readable(uri), wave.numpy(), sample_rate, subtype=subtype, format=format)


def _readable(uri: Any) -> Any:
    return uri if hasattr(uri, "read") or hasattr(uri, "write") else os.fsencode(uri)


def _set_audio_backend(backend: str | None) -> None:
    """Does nothing: there is one way to read audio."""


def _get_audio_backend() -> str:
    return "soundfile"


def _mend_backend(torchaudio: ModuleType) -> bool:
    missing = not hasattr(torchaudio, "set_audio_backend")
    if missing:
        vars(torchaudio).update(set_audio_backend=_set_audio_backend, get_audio_backend=_get_audio_backend)
    return missing


def _mend_info(torchaudio: ModuleType) -> bool:
    missing = not hasattr(torchaudio, "info")
    if missing:
        vars(torchaudio).update(info=info)
    return missing


def _mend_files(torchaudio: ModuleType) -> bool:
    cannot_work = hasattr(torchaudio, "load_with_torchcodec") and importlib.util.find_spec("torchcodec") is None
    if cannot_work:
        vars(torchaudio).update(load=load, save=save)
    return cannot_work


def _mend_sox_effects(torchaudio: ModuleType) -> bool:
    if importlib.util.find_spec("torchaudio.sox_effects") is not None:
        return False
    from s3prl_plugins.compat import sox

    module = ModuleType("torchaudio.sox_effects", sox.__doc__)
    vars(module).update(
        apply_effects_file=sox.apply_effects_file,
        apply_effects_tensor=sox.apply_effects_tensor,
        effect_names=lambda: sorted(sox.EFFECTS),
    )
    sys.modules[module.__name__] = module
    vars(torchaudio).update(sox_effects=module)
    return True


REPAIRS = (
    Repair(
        "torchaudio.set_audio_backend", "torchaudio", "removed in torchaudio 2.9", "accepted and ignored", _mend_backend
    ),
    Repair("torchaudio.info", "torchaudio", "removed in torchaudio 2.9", "the header as soundfile reads it", _mend_info),
    Repair(
        "torchaudio.load", "torchaudio", "needs torchcodec since torchaudio 2.9, which is not installed",
        "load and save through soundfile", _mend_files,
    ),
    Repair(
        "torchaudio.sox_effects", "torchaudio", "removed in torchaudio 2.9",
        "channels, rate, gain, norm and silence in numpy", _mend_sox_effects,
    ),
)  # fmt: skip
