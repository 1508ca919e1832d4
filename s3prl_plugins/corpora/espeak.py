"""espeak-ng through ctypes: one forked child for each utterance.

espeak-ng carries state from one call to the next, so that the second utterance of a process differs from the first
utterance of another, and some voices crash a process that has already used one. A parent that never speaks, and a child
that speaks once, cure both. espeak-ng (GPL-3) is used as a program to make data; nothing of it is part of this package.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from s3prl_plugins.corpora.voices import Voice
from s3prl_plugins.errors import CorpusError

__all__ = ["SAMPLE_RATE", "Engine", "Speech", "Wave", "require_espeak"]

SAMPLE_RATE = 16000
_NATIVE_RATE = 22050
_SYNCHRONOUS, _EVENTS_IPA_NO_EXIT, _UTF8, _FROM_CHARACTER = 2, 0x8003, 1, 1
_RATE, _VOLUME, _WORD_GAP = 1, 2, 7
_WORD_EVENT, _PHONE_EVENT = 1, 7
_VARIANT = "speaker"
_FILES = ("phondata", "phontab", "phonindex", "intonations", "en_dict")

Wave = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """What a voice said, at 16 kHz, without silence before the first and after the last phone."""

    samples: Wave
    """(samples,), in [-1, 1]."""
    words: tuple[tuple[str, int, int], ...]
    """Word, first sample, one past its last. espeak-ng speaks pairs such as "in the" as one, which then is one entry."""
    phones: tuple[tuple[str, int, int], ...]
    """IPA phone with stress marks, first sample, one past its last; pauses are left out."""


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def require_espeak() -> None:
    """:raises CorpusError: the wheel with espeak-ng is missing, or the platform cannot fork."""
    if not hasattr(os, "fork"):
        raise CorpusError(
            "making speech needs a platform with os.fork (Linux, macOS); make the corpus there, copy it here"
        )
    if importlib.util.find_spec("espeakng_loader") is None:
        raise CorpusError("making speech needs espeak-ng: pip install 's3prl-plugins[mini]'")


class Engine:
    """Loads espeak-ng with a private data folder; the process that holds it never speaks itself."""

    def __init__(self, folder: Path) -> None:
        require_espeak()
        import espeakng_loader

        data = folder / "espeak-ng-data"
        source = Path(espeakng_loader.get_data_path())
        self._variants = data / "voices" / "!v"
        self._variants.mkdir(parents=True)
        (data / "lang" / "gmw").mkdir(parents=True)
        for name in _FILES:
            shutil.copyfile(source / name, data / name)
        for path in sorted((source / "lang" / "gmw").glob("en*")):
            shutil.copyfile(path, data / "lang" / "gmw" / path.name)
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(folder).encode(), _EVENTS_IPA_NO_EXIT) != _NATIVE_RATE:
            raise CorpusError(f"espeak-ng must synthesise at {_NATIVE_RATE} Hz; reinstall espeakng-loader")
        if not hasattr(self._library, "espeak_ng_SetRandSeed"):
            raise CorpusError(
                "espeak-ng must be 1.52 or newer, whose noise can be seeded; pip install -U espeakng-loader"
            )

    def speak(self, voice: Voice, text: str) -> Speech:
        """Synthesise one utterance; the same voice and text give the same samples in every process.

        :raises CorpusError: the child crashed or said nothing.
        """
        # One file for all voices in turn: espeak-ng lists the folder whenever it sets a voice, and takes at most 350.
        (self._variants / _VARIANT).write_text(voice.variant, encoding="ascii")
        for volume in (45, 22, 11):
            native, events = self._in_child(voice, text, volume)
            if native.size and int(np.abs(native.astype(np.int32)).max()) < 32767:
                return _speech(native, events, text)
        raise CorpusError(f"espeak-ng must speak without clipping, found {voice} saying {text!r}; change the voice")

    def _in_child(self, voice: Voice, text: str, volume: int) -> tuple[npt.NDArray[np.int16], list[Any]]:
        read_end, write_end = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork beside threads; the child touches none and ends in os._exit.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(read_end)
                with os.fdopen(write_end, "wb") as pipe:
                    pipe.write(self._synthesise(voice, text, volume))
                status = 0
            finally:
                # No clean-up: exit handlers and open files are the parent's.
                os._exit(status)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            raise CorpusError(f"espeak-ng ended with {how} while {voice} said {text!r}; change the voice or the text")
        head, _, body = answer.partition(b"\n")
        return np.frombuffer(body, dtype=np.int16), json.loads(head)

    def _synthesise(self, voice: Voice, text: str, volume: int) -> bytes:
        chunks: list[bytes] = []
        events: list[tuple[int, int, int, int, str]] = []

        def collect(wave: Any, count: int, event: Any) -> int:
            index = 0
            while event[index].type:
                one = event[index]
                phone = one.id.text.decode("utf-8", "replace") if one.type == _PHONE_EVENT else ""
                events.append((one.type, one.text_position, one.length, one.sample, phone))
                index += 1
            if count:
                chunks.append(ctypes.string_at(wave, 2 * count))
            return 0

        callback = _Callback(collect)
        library = self._library
        library.espeak_SetSynthCallback(callback)
        # espeak-ng seeds the noise of breathy voices with the time of day.
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        if library.espeak_SetVoiceByName(f"{voice.accent}+{_VARIANT}".encode()) != 0:
            raise ValueError(f"espeak-ng has no language {voice.accent!r}")
        # A word gap of at least 10 ms makes word boundaries exact.
        for parameter, value in ((_RATE, voice.rate), (_VOLUME, volume), (_WORD_GAP, 1)):
            library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        library.espeak_Synth(encoded, len(encoded) + 1, 0, _FROM_CHARACTER, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        return json.dumps(events).encode() + b"\n" + b"".join(chunks)


def _speech(native: npt.NDArray[np.int16], events: list[Any], text: str) -> Speech:
    phones: list[tuple[str, int, int]] = []
    words: list[tuple[str, int]] = []
    marks = [event for event in events if event[0] == _PHONE_EVENT]
    for event, following in zip(marks, [*marks[1:], [0, 0, 0, native.size, ""]]):
        if event[4]:
            phones.append((event[4], event[3], following[3]))
    for kind, position, length, sample, _ in events:
        if kind == _WORD_EVENT:
            words.append((text[position - 1 : position - 1 + length], sample))
    if not phones:
        raise CorpusError(f"espeak-ng must speak, found no phone in {text!r}; change the text")
    first, last = phones[0][1], min(phones[-1][2], native.size)

    def at(sample: int) -> int:
        return round((min(max(sample, first), last) - first) * SAMPLE_RATE / _NATIVE_RATE)

    ends = [sample for _, sample in words[1:]] + [last]
    return Speech(
        samples=_resample(native[first:last].astype(np.float64) / 32768)[: at(last)],
        words=tuple((word, at(start), at(end)) for (word, start), end in zip(words, ends)),
        phones=tuple((phone, at(start), at(end)) for phone, start, end in phones),
    )


def _resample(native: npt.NDArray[np.float64]) -> Wave:
    """22050 Hz to 16000 Hz by cutting the spectrum, with a slope from 7.6 to 8 kHz."""
    blocks = -(-(native.size + 441) // 441)
    spectrum = np.fft.rfft(native, 441 * blocks)
    frequency = np.arange(spectrum.size) * (_NATIVE_RATE / (441 * blocks))
    spectrum *= np.clip((8000 - frequency) / 400, 0, 1)
    count = 320 * blocks
    return np.asarray(np.fft.irfft(spectrum[: count // 2 + 1], count) * (320 / 441), dtype=np.float32)
