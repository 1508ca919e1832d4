"""VoxCeleb1 (SID, ASV): speakers with several videos, SID's split over all of them, ASV's trial lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from s3prl_plugins.corpora.layouts.plan import Plan, write_lines
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.texts import Part, sentences
from s3prl_plugins.corpora.voices import random_voice

__all__ = ["plan"]

_PARTS: tuple[Part, ...] = ("train", "dev", "test")
_VIDEO_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
SECONDS = (2.03, 2.12)
"""ASV's training drops what is shorter than 2 s once silence is removed; the noise floor here leaves no silence."""
_PER_VIDEO = 3


def plan(size: Size, seed: int) -> Plan:
    """Stretches of 2.03 to 2.12 s; each video has a room and a microphone of its own; noise at 3 to 20 dB throughout.

    As in the real corpus, SID's split goes by video over the speakers of both folders, so that SID's dev and test
    utterances of dev-folder speakers lie in ASV's training folder, and some of SID's training utterances are in ASV's
    trials. Here that is one a speaker: SID must not lose its speakers where `exclude_other_tests` drops those.
    """
    recordings: list[Recording] = []
    splits: dict[str, list[str]] = {part: [] for part in _PARTS}
    trialled: dict[str, list[str]] = {}
    for number in range(sum(size.vox_speakers)):
        speaker = f"id{10001 + number}"
        folder = "dev" if number < size.vox_speakers[0] else "test"
        trialled[speaker] = []
        for part, count in zip(_PARTS, size.vox_utterances):
            for take in range(count):
                recording = _utterance(folder, speaker, part, take, seed)
                recordings.append(recording)
                splits[part].append(recording.path)
                if part != "train" or take == 0:
                    trialled[speaker].append(recording.path.split("/wav/")[1])
    ids = list(trialled)
    held_out = ids[size.vox_speakers[0] - size.vox_dev_trial_speakers : size.vox_speakers[0]]
    tested = ids[size.vox_speakers[0] :]

    def index(root: Path, _final: Path, _takes: Mapping[str, Take]) -> None:
        base = root / "VoxCeleb1"
        lines = [f"{code} {path.split('/wav/')[1]}" for code, part in enumerate(_PARTS, 1) for path in splits[part]]
        write_lines(base / "veri_test_class.txt", sorted(lines, key=lambda line: line.split()[1]))
        for name, speakers, count in (
            ("dev_meta_data.txt", held_out, size.vox_trials[0]),
            ("voxceleb1_test_v2.txt", tested, size.vox_trials[1]),
        ):
            random = generator(seed, "VoxCeleb1", name)
            write_lines(base / name, _trials({speaker: trialled[speaker] for speaker in speakers}, count, random))

    return Plan("VoxCeleb1", recordings, index, splits)


def _utterance(folder: str, speaker: str, part: Part, take: int, seed: int) -> Recording:
    """One utterance; its video decides the room and the microphone, the utterance the noise and the text."""
    session = generator(seed, "VoxCeleb1", speaker, part, take // _PER_VIDEO)
    video = "".join(session.choice(list(_VIDEO_LETTERS), size=11))
    scene = random_scene(session, noisy=1.0, snr=(3, 20), reverberant=0.5, channel=4.0)
    path = f"VoxCeleb1/{folder}/wav/{speaker}/{video}/{take % _PER_VIDEO + 1:05d}.wav"
    voice = random_voice(generator(seed, "VoxCeleb1", "voice", speaker))
    random = generator(seed, "VoxCeleb1", "text", path)
    source = sentences(random, part)
    lines = tuple(Line(voice, next(source).text, 0.05) for _ in range(2))
    return Recording(path, seed, lines, scene, seconds=round(float(random.uniform(*SECONDS)), 3))


def _trials(utterances: Mapping[str, list[str]], count: int, random: np.random.Generator) -> list[str]:
    """`count` different pairs in random order, half of them of one speaker (fewer where there are no more pairs)."""
    speakers = list(utterances)
    same = {
        (first, second)
        for own in utterances.values()
        for position, first in enumerate(own)
        for second in own[position + 1 :]
    }
    chosen = sorted(same)
    keep = sorted(random.choice(len(chosen), size=min(count // 2, len(chosen)), replace=False))
    lines = [f"1 {chosen[int(k)][0]} {chosen[int(k)][1]}" for k in keep]
    others: set[tuple[str, str]] = set()
    while len(others) < len(keep):
        left, right = (speakers[int(i)] for i in random.choice(len(speakers), size=2, replace=False))
        first, second = (str(random.choice(utterances[speaker])) for speaker in (left, right))
        if (second, first) not in others:
            others.add((first, second))
    lines += [f"0 {first} {second}" for first, second in sorted(others)]
    return [lines[int(i)] for i in random.permutation(len(lines))]
