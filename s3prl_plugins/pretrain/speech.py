"""Unlabelled speech on disk, and batches of equally long crops of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.audio import SAMPLE_RATE, load, seconds
from s3prl_plugins.problems import Problems
from s3prl_plugins.seeding import generator

__all__ = ["Crop", "Crops", "Frames", "PairedCrops", "Utterance", "find_speech", "load_crops", "split_speech"]

_KINDS = (".flac", ".wav")
_BUCKET = 50
"""Batches whose utterances are sorted by length together: little is cut off, and the order stays random."""


@dataclass(frozen=True)
class Frames:
    """How an encoder cuts audio into frames."""

    rate: int = 320
    """Samples between frames."""
    width: int = 400
    """Samples that one frame sees; HuBERT: 25 ms."""

    def count(self, samples: int) -> int:
        """Frames of so many samples."""
        return max(0, (samples - self.width) // self.rate + 1)

    def samples(self, count: int) -> int:
        """Least samples that give so many frames."""
        return (count - 1) * self.rate + self.width


@dataclass(frozen=True)
class Utterance:
    """One audio file."""

    path: Path
    samples: int


@dataclass(frozen=True)
class Crop:
    """A stretch of an utterance that begins at a frame."""

    index: int
    """Which utterance of the list."""
    first: int
    """First frame."""
    frames: int


def find_speech(folders: Sequence[Path], frames: Frames, least: int) -> list[Utterance]:
    """Every .wav and .flac file below the folders, sorted by path; files of fewer than `least` frames are left out.

    :raises CorpusError: a folder is missing, holds no such file, or a file is not 16 kHz mono audio.
    """
    found: list[Utterance] = []
    problems = Problems()
    for folder in folders:
        paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in _KINDS)
        if not paths:
            raise CorpusError(f"{folder} must be a folder with .wav or .flac files, found none; make or name another")
        lengths = [(path, round(seconds(path, problems) * SAMPLE_RATE)) for path in paths]
        found += [Utterance(path, samples) for path, samples in lengths if frames.count(samples) >= least]
    if not found:
        raise CorpusError(
            f"no file below {', '.join(map(str, folders))} is as long as {least} frames; add longer speech"
        )
    return found


def split_speech(utterances: Sequence[Utterance], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices to train on and to validate on; at least one utterance is held out."""
    order = torch.randperm(len(utterances), generator=generator(seed, "held out")).tolist()
    count = max(1, round(share * len(order)))
    return sorted(order[count:]), sorted(order[:count])


@dataclass(frozen=True)
class Crops:
    """Batches of crops, without end and without state: batch n of a seed is always the same.

    Every epoch takes each utterance once. Utterances are shuffled, sorted by length within groups of batches, and
    all of a batch are cut to the shortest of them (at most `longest` frames) at random places: nothing is padded.
    """

    utterances: Sequence[Utterance]
    chosen: Sequence[int]
    """Indices of the utterances to take."""
    frames: Frames
    seconds: float
    """Audio in a batch, at most."""
    longest: int
    """Frames of a crop, at most."""
    seed: int

    def epoch(self, number: int) -> list[list[Crop]]:
        """The batches of one epoch."""
        random = generator(self.seed, "epoch", number)
        order = [self.chosen[place] for place in torch.randperm(len(self.chosen), generator=random).tolist()]
        lengths = [self.frames.count(utterance.samples) for utterance in self.utterances]
        room = max(1, int(self.seconds * SAMPLE_RATE / self.frames.rate))
        per_group = _BUCKET * max(1, room // self.longest)
        batches: list[list[Crop]] = []
        for start in range(0, len(order), per_group):
            group = sorted(order[start : start + per_group], key=lambda index: -lengths[index])
            while group:
                size = 1
                while size < len(group) and (size + 1) * min(lengths[group[size]], self.longest) <= room:
                    size += 1
                batches.append(self._cut(group[:size], lengths, random))
                group = group[size:]
        return [batches[place] for place in torch.randperm(len(batches), generator=random).tolist()]

    def _cut(self, members: Sequence[int], lengths: Sequence[int], random: torch.Generator) -> list[Crop]:
        frames = min(self.longest, *(lengths[index] for index in members))
        starts = [int(torch.randint(lengths[index] - frames + 1, (), generator=random)) for index in members]
        return [Crop(index, first, frames) for index, first in zip(members, starts)]


class PairedCrops(Crops):
    """Batches of one crop are left out, for objectives that need another utterance."""

    def epoch(self, number: int) -> list[list[Crop]]:
        return [batch for batch in super().epoch(number) if len(batch) > 1]


def load_crops(utterances: Sequence[Utterance], crops: Sequence[Crop], frames: Frames) -> Tensor:
    """Audio of equally long crops, (crops, samples) float32."""
    waves = []
    for crop in crops:
        start = crop.first * frames.rate
        waves.append(load(utterances[crop.index].path, start, start + frames.samples(crop.frames)))
    return torch.stack(waves)
