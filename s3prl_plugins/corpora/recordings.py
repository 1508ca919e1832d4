"""A recording as plain data, and how it becomes an audio file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from s3prl_plugins.corpora.espeak import SAMPLE_RATE, Engine
from s3prl_plugins.corpora.scenes import CLEAN, Samples, Scene, coloured_noise, place
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.voices import Voice

__all__ = ["Line", "Recording", "Take", "render", "write"]

_PEAK = 0.9


@dataclass(frozen=True)
class Line:
    """One utterance within a recording."""

    voice: Voice
    text: str
    gap: float = 0.0
    """Seconds between the end of the line before and the start of this one; negative is overlap."""
    level: float = -26.0
    """Level of its active part, dB below full scale (root mean square)."""


@dataclass(frozen=True)
class Recording:
    """What to record. Everything random in it comes from `seed` and `path`."""

    path: str
    """Audio file, relative to the corpus; .wav or .flac."""
    seed: int
    lines: tuple[Line, ...] = ()
    scene: Scene = CLEAN
    seconds: float | None = None
    """Exact length: a random stretch of longer speech, shorter speech at a random place; None is as long as it takes."""
    margin: tuple[float, float] = (0.05, 0.15)
    """Least and greatest silence before and after the speech, seconds, where `seconds` is None."""


@dataclass(frozen=True)
class Take:
    """What came of a recording."""

    path: str
    samples: int
    """Length at 16 kHz."""
    spans: tuple[tuple[int, int], ...]
    """First sample of each line and one past its last."""
    peak: float
    """Largest absolute sample."""

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE


def render(recording: Recording, engine: Engine) -> tuple[Samples, tuple[tuple[int, int], ...]]:
    """Speak, mix, place in the scene; samples (samples,) within +-0.9, and the span of every line."""
    random = generator(recording.seed, recording.path)
    dry, spans = _mix(recording, engine)
    if recording.seconds is None:
        before, after = (int(random.uniform(*recording.margin) * SAMPLE_RATE) for _ in range(2))
        dry = np.pad(dry, (before, after))
        offset = before
    else:
        length = round(recording.seconds * SAMPLE_RATE)
        slack = length - dry.size
        offset = int(random.integers(min(slack, 0), max(slack, 0) + 1))
        dry = np.pad(dry, (max(offset, 0), max(slack - offset, 0)))[max(-offset, 0) :][:length]
    spans = tuple((max(start + offset, 0), min(stop + offset, dry.size)) for start, stop in spans)
    if recording.lines:
        wave = place(dry, recording.scene, random)
    else:
        level = 10 ** (random.uniform(-50, -30) / 20)
        wave = coloured_noise(random, dry.size, recording.scene.tilt, recording.scene.swing) * level
    peak = float(np.abs(wave).max())
    return (wave * (_PEAK / peak) if peak > _PEAK else wave), spans


def write(recording: Recording, engine: Engine, root: Path) -> Take:
    """Render a recording into `root`, 16 bit."""
    wave, spans = render(recording, engine)
    target = root / recording.path
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(target), np.round(wave * 32767).astype(np.int16), SAMPLE_RATE, subtype="PCM_16")
    return Take(recording.path, wave.size, spans, float(np.abs(wave).max()))


def _mix(recording: Recording, engine: Engine) -> tuple[Samples, tuple[tuple[int, int], ...]]:
    pieces: list[tuple[int, Samples]] = []
    end = 0
    for number, line in enumerate(recording.lines):
        speech = engine.speak(line.voice, line.text).samples.astype(np.float64)
        speech *= 10 ** (line.level / 20) / max(float(np.sqrt(np.mean(speech**2))), 1e-9)
        start = max(0, end + round(line.gap * SAMPLE_RATE)) if number else 0
        pieces.append((start, speech))
        end = start + speech.size
    total = max((start + piece.size for start, piece in pieces), default=0)
    mixed = np.zeros(total)
    for start, piece in pieces:
        mixed[start : start + piece.size] += piece
    return mixed, tuple((start, start + piece.size) for start, piece in pieces)
