"""LibriMix (SD): two speakers who overlap, as Kaldi folders, from the readers of the LibriSpeech split of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s3prl_plugins.corpora.espeak import SAMPLE_RATE
from s3prl_plugins.corpora.layouts.librispeech import Reader, readers
from s3prl_plugins.corpora.layouts.plan import Plan, write_lines
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.texts import Part

__all__ = ["plan"]


@dataclass(frozen=True)
class _Mixture:
    name: str
    path: str
    turns: tuple[tuple[str, str], ...]
    """(speaker, utterance) of each line."""


def plan(size: Size, seed: int) -> Plan:
    """Recordings of two turns that overlap by 0.3 to 1.8 seconds (one in ten not at all), noise at 5 to 20 dB."""
    people = readers(size, seed)
    recordings: list[Recording] = []
    mixtures: dict[Part, list[_Mixture]] = {"train": [], "dev": [], "test": []}
    for part, count in zip(mixtures, size.mixtures):
        random = generator(seed, "LibriMix", part)
        made: set[str] = set()
        while len(made) < count:
            mixture, recording = _mixture(people[part], part, seed, random)
            if mixture.name not in made:
                made.add(mixture.name)
                mixtures[part].append(mixture)
                recordings.append(recording)

    def index(root: Path, final: Path, takes: Mapping[str, Take]) -> None:
        for part, chosen in mixtures.items():
            _kaldi(root / "LibriMix" / part, final, sorted(chosen, key=lambda m: m.name), takes)

    splits: dict[str, list[str]] = {part: [mixture.path for mixture in chosen] for part, chosen in mixtures.items()}
    return Plan("LibriMix", recordings, index, splits)


def _mixture(people: list[Reader], part: Part, seed: int, random: np.random.Generator) -> tuple[_Mixture, Recording]:
    first, second = (people[int(i)] for i in random.choice(len(people), size=2, replace=False))
    lines: list[Line] = []
    turns: list[tuple[str, str]] = []
    gap = float(random.uniform(0.05, 0.4) if random.random() < 0.1 else -random.uniform(0.3, 1.8))
    for reader in (first, second):
        chosen = int(random.integers(len(reader.texts)))
        lines.append(Line(reader.voice, reader.texts[chosen], gap, float(random.uniform(-29, -24))))
        turns.append((str(reader.speaker), reader.utterance(chosen)))
    name = f"{turns[0][1]}_{turns[1][1]}"
    path = f"LibriMix/wav/{part}/{name}.wav"
    scene = random_scene(random, noisy=0.9, snr=(5, 20), reverberant=0.3)
    return _Mixture(name, path, tuple(turns)), Recording(path, seed, tuple(lines), scene, margin=(0.0, 0.4))


def _kaldi(folder: Path, final: Path, mixtures: list[_Mixture], takes: Mapping[str, Take]) -> None:
    segments: list[str] = []
    utt2spk: list[str] = []
    rttm: list[str] = []
    spoken: dict[str, list[str]] = {}
    for mixture in mixtures:
        for (speaker, _), (start, stop) in zip(mixture.turns, takes[mixture.path].spans):
            begin, end = (round(sample / SAMPLE_RATE, 3) for sample in (start, stop))
            utterance = f"{speaker}_{mixture.name}_{round(begin * 100):06d}_{round(end * 100):06d}"
            segments.append(f"{utterance} {mixture.name} {begin:.3f} {end:.3f}")
            utt2spk.append(f"{utterance} {speaker}")
            spoken.setdefault(speaker, []).append(utterance)
            rttm.append(f"SPEAKER {mixture.name} 1 {begin:.3f} {end - begin:.3f} <NA> <NA> {speaker} <NA> <NA>")
    write_lines(folder / "segments", sorted(segments))
    write_lines(folder / "utt2spk", sorted(utt2spk))
    write_lines(folder / "spk2utt", [f"{speaker} {' '.join(sorted(utts))}" for speaker, utts in sorted(spoken.items())])
    write_lines(folder / "wav.scp", [f"{m.name} {(final / m.path).resolve()}" for m in mixtures])
    write_lines(folder / "reco2dur", [f"{m.name} {takes[m.path].seconds:.4f}" for m in mixtures])
    write_lines(folder / "rttm", rttm)
