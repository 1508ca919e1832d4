"""The effects of sox that s3prl's recipes use, without sox: `torchaudio.sox_effects` is gone since torchaudio 2.9.

`channels`, `rate`, `gain`, `norm`, and `silence` in its two common forms. The meaning is sox 14.4.2's: amplitudes are
clipped to [-1, 1] after every effect, and `silence 1 D T -1 D T` removes inner silences as well as those at both ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from s3prl_plugins.errors import UserError, nearest

__all__ = ["EFFECTS", "apply_effects_file", "apply_effects_tensor", "remove_silence"]

Wave = npt.NDArray[np.float32]
Chain = Sequence[Sequence[str]]


def apply_effects_file(
    path: str,
    effects: Chain,
    normalize: bool = True,  # noqa: ARG001 (torchaudio's signature; audio is always read as float)
    channels_first: bool = True,
    format: str | None = None,  # noqa: A002, ARG001 (soundfile recognises the format)
) -> tuple[Any, int]:
    """Read `path` with soundfile and apply `effects`: (tensor (channels, samples) in [-1, 1], sampling rate)."""
    import soundfile
    import torch

    wave, rate = soundfile.read(os.fsencode(path), dtype="float32", always_2d=True)
    tensor, rate = apply_effects_tensor(torch.from_numpy(wave.T), rate, effects)
    return (tensor if channels_first else tensor.t()), rate


def apply_effects_tensor(tensor: Any, sample_rate: int, effects: Chain, channels_first: bool = True) -> tuple[Any, int]:
    """Apply `effects`, for example `[["channels", "1"], ["gain", "-3.0"]]`, to a float tensor (channels, samples).

    :raises UserError: an effect, or a form of one, that only the sox program knows.
    """
    import torch

    wave: Wave = np.asarray(tensor.detach().cpu().numpy(), dtype=np.float32)
    wave = wave if channels_first else wave.T
    for name, *arguments in effects:
        if name not in EFFECTS:
            raise UserError(f"sox effect {name!r} cannot be had without sox; {nearest(name, EFFECTS)}")
        wave, sample_rate = EFFECTS[name](wave, sample_rate, [str(argument) for argument in arguments])
        wave = np.clip(wave, -1.0, 1.0)
    changed = torch.from_numpy(np.ascontiguousarray(wave if channels_first else wave.T))
    return changed, sample_rate


def remove_silence(wave: Wave, rate: int, above: tuple[float, float], below: tuple[float, float] | None) -> Wave:
    """sox's `silence 1 D T [-1 D T]` on one channel, `wave` (samples,).

    A sample is loud if the RMS of the 20 ms up to it exceeds T. Samples are dropped until D seconds are loud without a
    break; from there all is kept until D seconds are not. Those are dropped, the RMS starts anew from zero, and the
    search begins again; without `below` all is kept to the end. (Where `silence` is the first effect on 16-bit audio, sox
    rounds the RMS down to 16 bits; s3prl's chains begin with `gain`, after which it does not, nor do we.)

    :param above: (D in seconds, T as a fraction of full scale) that end a silence.
    :param below: the same for what begins one; None: only the leading silence is removed.
    """
    window = rate // 50
    energy = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
    floor = window * above[1] ** 2
    loud_length = round(above[0] * rate)
    found_loud = _run_ends(_loud(energy, window, above[1]), loud_length)
    quiet_length = round(below[0] * rate) if below else 0
    found_quiet = _run_ends(~_loud(energy, window, below[1]), quiet_length) if below else np.empty(0, np.int64)
    kept: list[Wave] = []
    position = 0
    while position < len(wave):
        # Since the RMS starts from zero here, nothing is loud before the energy from here on exceeds the threshold.
        first = int(np.searchsorted(energy, energy[position] + floor, side="right")) - 1
        loud = _first_at(found_loud, first + loud_length - 1)
        if loud is None:
            break
        start = loud + 1 - loud_length
        quiet = _first_at(found_quiet, loud + quiet_length)
        if quiet is None:
            kept.append(wave[start:])
            break
        kept.append(wave[start : quiet + 1 - quiet_length])
        position = quiet + 1
    return np.concatenate(kept) if kept else wave[:0]


def _loud(energy: npt.NDArray[np.float64], window: int, threshold: float) -> npt.NDArray[np.bool_]:
    """Whether the RMS of the `window` samples up to each sample exceeds the threshold; zeros before the first."""
    past = np.concatenate([np.zeros(min(window, len(energy)) - 1), energy])[: len(energy) - 1]
    return np.asarray(energy[1:] - past > window * threshold**2)


def _run_ends(mask: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.int64]:
    """The positions at which `mask` has been true for at least `length` samples."""
    index = np.arange(len(mask))
    last_false = np.maximum.accumulate(np.where(mask, -1, index))
    return np.flatnonzero(mask & (index - last_false >= length))


def _first_at(sorted_positions: npt.NDArray[np.int64], at_least: int) -> int | None:
    place = int(np.searchsorted(sorted_positions, at_least))
    return int(sorted_positions[place]) if place < len(sorted_positions) else None


def _channels(wave: Wave, rate: int, arguments: list[str]) -> tuple[Wave, int]:
    if arguments != ["1"] and arguments != [str(len(wave))]:
        raise UserError(f"sox effect 'channels {' '.join(arguments)}' cannot be had without sox; use 'channels 1'")
    return (wave.mean(axis=0, keepdims=True) if arguments == ["1"] else wave), rate


def _rate(wave: Wave, rate: int, arguments: list[str]) -> tuple[Wave, int]:
    import torch
    import torchaudio

    wanted = int(float(arguments[-1]))
    if wanted == rate:
        return wave, rate
    return torchaudio.functional.resample(torch.from_numpy(np.ascontiguousarray(wave)), rate, wanted).numpy(), wanted


def _gain(wave: Wave, rate: int, arguments: list[str]) -> tuple[Wave, int]:
    """`gain DB`, or `gain -n [DB]`: first scale the peak to full scale."""
    if arguments[:1] == ["-n"]:
        peak = float(np.abs(wave).max(initial=0.0))
        wave = wave / peak if peak > 0 else wave
        arguments = arguments[1:] or ["0"]
    return (wave * np.float32(10 ** (float(arguments[0]) / 20))).astype(np.float32), rate


def _norm(wave: Wave, rate: int, arguments: list[str]) -> tuple[Wave, int]:
    return _gain(wave, rate, ["-n", *arguments])


def _silence(wave: Wave, rate: int, arguments: list[str]) -> tuple[Wave, int]:
    form = (arguments[:1], arguments[3:4], len(arguments))
    if len(wave) != 1 or form not in ((["1"], [], 3), (["1"], ["-1"], 6)):
        raise UserError(
            f"sox effect 'silence {' '.join(arguments)}' on {len(wave)} channel(s) cannot be had without sox; "
            "use 'silence 1 D T%' or 'silence 1 D T% -1 D T%' on one channel"
        )
    limits = [(_seconds(arguments[i + 1], rate), _fraction(arguments[i + 2])) for i in range(0, len(arguments), 3)]
    return remove_silence(wave[0], rate, limits[0], limits[1] if len(limits) == 2 else None)[None], rate


def _seconds(text: str, rate: int) -> float:
    """sox reads a bare integer as samples, anything with a point as seconds."""
    return int(text) / rate if text.isdigit() else float(text.removesuffix("t"))


def _fraction(text: str) -> float:
    return 10 ** (float(text[:-1]) / 20) if text.endswith("d") else float(text.removesuffix("%")) / 100


EFFECTS: dict[str, Callable[[Wave, int, list[str]], tuple[Wave, int]]] = {
    "channels": _channels,
    "gain": _gain,
    "norm": _norm,
    "rate": _rate,
    "silence": _silence,
}
"""Name of an effect -> what it does to (channels, samples) audio at a rate."""
