"""LibriSpeech (ASR, PR): flac files with transcripts beside them, a lexicon, s3prl's vocabularies and length tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.corpora.layouts.plan import Plan, spread, write_lines
from s3prl_plugins.corpora.lexicon import LEXICON
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.texts import Part, sentences
from s3prl_plugins.corpora.voices import Voice, random_voice
from s3prl_plugins.superb.units import LETTERS, PHONES

__all__ = ["FOLDERS", "Reader", "plan", "readers"]

FOLDERS: dict[Part, str] = {"train": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}


@dataclass(frozen=True)
class Reader:
    """A speaker of LibriSpeech with one chapter, and what the speaker reads."""

    speaker: int
    chapter: int
    voice: Voice
    texts: tuple[str, ...]

    def utterance(self, number: int) -> str:
        return f"{self.speaker}-{self.chapter}-{number:04d}"


def readers(size: Size, seed: int) -> dict[Part, list[Reader]]:
    """Speakers of the three splits; speakers and sentences are disjoint between splits (LibriMix uses them too)."""
    found: dict[Part, list[Reader]] = {}
    speaker = 100
    parts: tuple[Part, ...] = ("train", "dev", "test")
    for part, speakers, count in zip(parts, size.libri_speakers, size.libri_sentences):
        source = sentences(generator(seed, "LibriSpeech", part), part)
        texts = [next(source).text for _ in range(count)]
        owner = spread(count, speakers)
        found[part] = []
        for index in range(speakers):
            random = generator(seed, "LibriSpeech", "speaker", speaker)
            own = tuple(text for text, holder in zip(texts, owner) if holder == index)
            found[part].append(
                Reader(speaker, 10000 + int(random.integers(90000)), random_voice(random, female=index % 2 == 0), own)
            )
            speaker += int(generator(seed, "LibriSpeech", "step", speaker).integers(1, 60))
    return found


def plan(size: Size, seed: int) -> Plan:
    """Sentences of the grammar, 2 to 4 seconds; in 40 % of them noise at 8 to 25 dB, in 30 % a room."""
    people = readers(size, seed)
    recordings: list[Recording] = []
    splits: dict[str, list[str]] = {}
    for part, folder in FOLDERS.items():
        paths = splits[folder] = []
        for reader in people[part]:
            for number, text in enumerate(reader.texts):
                name = reader.utterance(number)
                path = f"LibriSpeech/{folder}/{reader.speaker}/{reader.chapter}/{name}.flac"
                scene = random_scene(generator(seed, "scene", path), noisy=0.4, snr=(8, 25), reverberant=0.3)
                recordings.append(Recording(path, seed, (Line(reader.voice, text),), scene))
                paths.append(path)

    def index(root: Path, _final: Path, takes: Mapping[str, Take]) -> None:
        base = root / "LibriSpeech"
        for part, folder in FOLDERS.items():
            for reader in people[part]:
                lines = [f"{reader.utterance(n)} {text.upper()}" for n, text in enumerate(reader.texts)]
                chapter = base / folder / str(reader.speaker) / str(reader.chapter)
                write_lines(chapter / f"{reader.speaker}-{reader.chapter}.trans.txt", lines)
            longest = sorted(splits[folder], key=lambda path: (-takes[path].samples, path))
            rows = [
                f"{n},{path.removeprefix('LibriSpeech/')},{takes[path].samples},0" for n, path in enumerate(longest)
            ]
            write_lines(base / "len_for_bucket" / f"{folder}.csv", [",file_path,length,label", *rows])
        write_lines(base / "lexicon.txt", [f"{word.upper()} {' '.join(phones)}" for word, phones in LEXICON.items()])
        write_lines(base / "phoneme.txt", PHONES)
        write_lines(base / "char.dict", [f"{symbol} 1" for symbol in LETTERS])

    return Plan("LibriSpeech", recordings, index, splits)
