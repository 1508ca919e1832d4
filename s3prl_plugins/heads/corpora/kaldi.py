"""Kaldi data folders for diarization, as LibriMix's prepare_diarization.py writes them and s3prl reads them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.audio import SAMPLE_RATE, SHORTEST
from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.corpora.index import AsTheyLie, has_folder, measured, read_fields
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.problems import Problems

__all__ = ["SdReader", "Segment"]

FRAME_SHIFT = 320
"""Samples of one of `chunk_frames` where the head follows the upstream's rate (20 ms, HuBERT's)."""

_OVER = 1.0
"""Seconds that a segment may end after its recording, which cuts it: annotations are of whole utterances."""
_MEND = "mend the file"
Segment = tuple[str, float, float]
"""Speaker, start and end in seconds from the beginning of the stretch."""


class SdReader(AsTheyLie):
    """Who speaks when: `wav.scp`, `segments`, `utt2spk`, `reco2dur` in one folder for each split.

    A label is the tuple of segments that touch the stretch, clipped to it. Training hears a recording in chunks;
    dev and test hear it whole, so that speakers are permuted once for each recording (s3prl chunks there too, which
    makes no difference on Libri2Mix, whose recordings are shorter than a chunk). s3prl loses a segment that covers
    a whole chunk; here it counts. Recordings hold several speakers, so that `Example.speaker` is empty.
    """

    @dataclass(frozen=True)
    class Config:
        """Where the three data folders lie."""

        train_dir: Path = Path("LibriMix/train")
        """Data folder of the training recordings."""
        dev_dir: Path = Path("LibriMix/dev")
        """Data folder of the dev recordings."""
        test_dir: Path = Path("LibriMix/test")
        """Data folder of the test recordings."""
        chunk_frames: int = 2000
        """Longest stretch used in training, in frames of the head's `frame_shift` (of 20 ms where that is null)."""

        def __post_init__(self) -> None:
            if self.chunk_frames < 1:
                raise ConfigError(f"chunk_frames must be at least 1, found {self.chunk_frames}")

    def __init__(self, config: TaskConfig, root: Path) -> None:
        self.card = config.card
        self.root = root
        self.folders = {part: root / getattr(config.corpus, f"{part}_dir") for part in ("train", "dev", "test")}
        self.frame_shift: int = config.head.frame_shift or FRAME_SHIFT
        self.chunk_frames: int = config.corpus.chunk_frames
        self.num_speakers: int = config.head.num_speakers

    def files(self) -> Sequence[Path]:
        names = ("wav.scp", "segments", "utt2spk", "reco2dur")
        return [folder / name for folder in self.folders.values() for name in names]

    def labels(self, problems: Problems) -> None:
        """None: a head needs no more than its `num_speakers`."""

    def examples(self, split: str, problems: Problems) -> list[Example]:
        folder = self.folders[self.card.split(split)]
        if not has_folder(folder, problems):
            return []
        drafts = [Example(name, path, 0.0, ()) for name, path in self._recordings(folder, problems)]
        whole = measured(drafts, split, problems)
        durations = self._durations(folder, problems)
        lengths = {example.name: example.seconds for example in whole}
        segments = self._segments(folder, {draft.name for draft in drafts}, lengths, problems)
        found = []
        for example in whole:
            turns = segments.get(example.name, [])
            if len({speaker for speaker, _, _ in turns}) > self.num_speakers:
                problems.add(f"{folder}: {example.name}", "more speakers than the head's num_speakers", "raise it")
                continue
            if durations and example.name not in durations:
                problems.add(folder / "reco2dur", f"recording {example.name!r} has no duration", "add it")
            length = min(example.seconds, durations.get(example.name, example.seconds))
            frames = int(length * SAMPLE_RATE / self.frame_shift)
            found += self._stretches(example, frames, self.chunk_frames if split == "train" else frames, turns)
        return found

    def heard(self, wave: Tensor) -> Tensor:
        return wave[: len(wave) // self.frame_shift * self.frame_shift]

    def _stretches(self, whole: Example, frames: int, chunk: int, turns: Sequence[Segment]) -> list[Example]:
        """A recording of `frames` frames in pieces of at most `chunk`.

        Left out are a part of a frame at its end and a last piece that is too short for an upstream (s3prl keeps it).
        """
        pieces: list[Example] = []
        for first in range(0, frames, max(chunk, 1)):
            start, stop = first * self.frame_shift, min(first + chunk, frames) * self.frame_shift
            if pieces and stop - start < SHORTEST:
                break
            name = whole.name if chunk >= frames else f"{whole.name}#{first // chunk}"
            label = _clipped(turns, start / SAMPLE_RATE, stop / SAMPLE_RATE)
            pieces.append(Example(name, whole.path, (stop - start) / SAMPLE_RATE, label, start=start, stop=stop))
        return pieces

    def _recordings(self, folder: Path, problems: Problems) -> list[tuple[str, Path]]:
        found = []
        for name, source in sorted(read_fields(folder / "wav.scp", 2, problems)):
            if source.endswith("|") or source == "-":
                rule = f"recording {name!r} must be an audio file, found the command {source!r}"
                problems.add(folder / "wav.scp", rule, "run the command once and name the file it makes")
            else:
                found.append((name, self.root / source))
            if "/" in name or name in (".", ".."):  # predictions are files of these names
                problems.add(folder / "wav.scp", f"recording {name!r} must have a name without '/'", "rename it")
        return found

    def _durations(self, folder: Path, problems: Problems) -> dict[str, float]:
        path = folder / "reco2dur"
        found = {name: _seconds(text, path, problems) for name, text in read_fields(path, 2, problems)}
        for name, length in found.items():
            if length == 0:
                problems.add(path, f"a duration must be above 0 seconds, found '0' for {name!r}", _MEND)
        return {name: length for name, length in found.items() if length}

    def _segments(
        self, folder: Path, recordings: Collection[str], lengths: Mapping[str, float], problems: Problems
    ) -> dict[str, list[Segment]]:
        """Recording -> its turns.

        :param recordings: those of `wav.scp`; `lengths` has the seconds of those that are usable.
        """
        path = folder / "segments"
        speakers = {row[0]: row[1] for row in read_fields(folder / "utt2spk", 2, problems)}
        found: dict[str, list[Segment]] = defaultdict(list)
        seen = set()
        for utterance, recording, first, last in read_fields(path, 4, problems):
            start, end = _seconds(first, path, problems), _seconds(last, path, problems)
            if utterance not in speakers:
                problems.add(
                    folder / "utt2spk", f"segment {utterance!r} of segments has no speaker", "add it to utt2spk"
                )
            elif recording not in recordings:
                problems.add(path, f"segment {utterance!r} is of {recording!r}, which wav.scp lacks", "add it there")
            elif utterance in seen:
                problems.add(path, f"segment ids must be unique, found {utterance!r} twice", "remove one of them")
            elif start is not None and end is not None:
                fault = _span_fault(start, end, lengths.get(recording, end))
                if fault:
                    problems.add(path, f"segment {utterance!r} {fault}", _MEND)
                found[recording].append((speakers[utterance], start, end))
            seen.add(utterance)
        return found


def _span_fault(start: float, end: float, length: float) -> str:
    if start >= end:
        return f"must end after it starts, found {start:g} to {end:g} seconds"
    if end > length + _OVER:
        return f"ends at {end:g} seconds, its recording at {length:.2f}"
    return ""


def _clipped(turns: Sequence[Segment], start: float, stop: float) -> tuple[Segment, ...]:
    inside = [(speaker, max(begin, start), min(end, stop)) for speaker, begin, end in turns]
    kept = [(speaker, round(begin - start, 6), round(end - start, 6)) for speaker, begin, end in inside if begin < end]
    return tuple(sorted(kept, key=lambda turn: turn[1:]))


def _seconds(text: str, path: Path, problems: Problems) -> float | None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 <= value < math.inf:
        return value
    problems.add(path, f"a time must be a number of seconds, found {text!r}", _MEND)
    return None
