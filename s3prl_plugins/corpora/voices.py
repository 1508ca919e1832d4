"""Speakers: espeak-ng voice variants with their own pitch, vocal tract and voice quality."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["EMOTIONS", "Voice", "emotional", "random_voice"]

ACCENTS = ("en-us", "en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland")
EMOTIONS = ("neu", "hap", "ang", "sad")


@dataclass(frozen=True)
class Voice:
    """One speaker. `variant` is the espeak-ng voice file it stands for."""

    accent: str = "en-us"
    """espeak-ng language."""
    pitch: float = 100.0
    """Lowest fundamental frequency, Hz."""
    pitch_range: float = 1.35
    """Highest over lowest fundamental frequency."""
    rate: int = 185
    """Words a minute."""
    formants: tuple[tuple[int, int, int], ...] = ()
    """Formant 0, 1 ...: frequency, amplitude, width, each in percent of espeak-ng's default."""
    flutter: int = 2
    """Slow pitch fluctuation, 0 to 15."""
    roughness: int = 2
    """Alternating weak cycles, 0 to 7."""
    voicing: int = 90
    """Strength of the voiced source, percent."""
    breath: tuple[int, ...] = ()
    """Noise in formant 1, 2 ..., 0 to about 50."""
    tone: tuple[int, ...] = ()
    """Spectral envelope: frequency in Hz, amplitude 0 to 255, alternating."""
    stress: tuple[int, ...] = ()
    """Amplitude for each of espeak-ng's eight degrees of stress."""

    @property
    def variant(self) -> str:
        """The text of the espeak-ng variant file."""
        lines = [
            "language variant",
            f"pitch {self.pitch:.0f} {self.pitch * self.pitch_range:.0f}",
            f"flutter {self.flutter}",
            f"roughness {self.roughness}",
            f"voicing {self.voicing}",
        ]
        lines += [f"formant {n} {' '.join(map(str, values))}" for n, values in enumerate(self.formants)]
        for key, values in (("breath", self.breath), ("tone", self.tone), ("stressAmp", self.stress)):
            if values:
                lines.append(f"{key} {' '.join(map(str, values))}")
        return "\n".join(lines) + "\n"


def random_voice(
    random: np.random.Generator, *, accents: tuple[str, ...] = ACCENTS, female: bool | None = None
) -> Voice:
    """Draw a speaker; `female` fixes the range of pitch and vocal tract, None draws it."""
    high = bool(random.random() < 0.5) if female is None else female
    pitch = random.uniform(150, 205) if high else random.uniform(82, 130)
    tract = random.uniform(101, 115) if high else random.uniform(88, 103)
    formants = tuple(
        (
            round(tract * random.uniform(0.95, 1.05)),
            round(random.uniform(75, 110)),
            round(random.uniform(85, 135)),
        )
        for _ in range(9)
    )
    return Voice(
        accent=str(random.choice(accents)),
        pitch=round(pitch, 1),
        pitch_range=round(random.uniform(1.25, 1.5), 2),
        rate=int(random.integers(180, 225)),
        formants=formants,
        flutter=int(random.integers(0, 6)),
        roughness=int(random.integers(0, 4)),
        voicing=int(random.integers(75, 105)),
        breath=(0, *(int(n) for n in random.integers(0, 9, size=4))),
    )


def emotional(voice: Voice, emotion: str, random: np.random.Generator) -> Voice:
    """The speaker in one emotion: another pitch, melody, rate and voice quality, not another level.

    The labels name synthetic settings; no listener has judged them. Each speaker has an own extent of every change,
    and the extents overlap between emotions, so that no single cue tells them apart.
    """

    def about(mean: float, spread: float = 0.08) -> float:
        return float(mean * random.uniform(1 - spread, 1 + spread))

    def altered(
        pitch: float,
        melody: float,
        rate: float,
        roughness: int,
        breath: int,
        stress: tuple[int, ...],
        tone: tuple[int, ...],
    ) -> Voice:
        return replace(
            voice,
            pitch=round(voice.pitch * about(pitch), 1),
            pitch_range=round(1 + (voice.pitch_range - 1) * about(melody, 0.2), 2),
            rate=round(voice.rate * about(rate, 0.06)),
            roughness=min(7, voice.roughness + roughness),
            breath=tuple(n + breath for n in voice.breath),
            stress=stress,
            tone=tone,
        )

    if emotion == "neu":
        return altered(1.0, 1.0, 1.0, 0, 0, (), ())
    if emotion == "hap":
        return altered(1.35, 2.2, 1.1, 0, 2, (18, 18, 20, 20, 22, 24, 26, 26), (600, 165, 1500, 150, 3000, 125))
    if emotion == "ang":
        return altered(1.15, 1.5, 1.25, 5, 0, (20, 20, 24, 24, 24, 26, 28, 28), (600, 140, 1500, 175, 3000, 165))
    if emotion == "sad":
        return altered(0.85, 0.35, 0.75, 1, 12, (18, 18, 18, 18, 18, 18, 18, 18), (600, 180, 1500, 100, 3000, 60))
    raise ValueError(f"emotion must be one of {', '.join(EMOTIONS)}, found {emotion!r}")
