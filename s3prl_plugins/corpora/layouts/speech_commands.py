"""Speech Commands v1 (KS): folders of words, background noises, and the separate test folder of twelve classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from s3prl_plugins.corpora.layouts.plan import Plan
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import Scene, random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.texts import Part
from s3prl_plugins.corpora.voices import random_voice

__all__ = ["OTHER_WORDS", "WORDS", "plan"]

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
OTHER_WORDS = ("bed", "bird", "cat", "dog", "happy", "house", "one", "two", "three", "tree", "wow", "nine")
_SNR = (0.0, 15.0)
_PARTS: tuple[Part, ...] = ("train", "dev", "test")
_UNKNOWN, _SILENCE = "_unknown_", "_silence_"


def bucket(name: str) -> float:
    """Percentage that decides the split of a clip: below 10 dev, below 20 unused by SUPERB, above train.

    Speech Commands' rule (arXiv 1804.03209, section 7) as s3prl applies it: SHA-1 of the name before `_nohash_`.
    """
    most = 2**27 - 1
    digest = int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16)
    return (digest % (most + 1)) * (100.0 / most)


def plan(size: Size, seed: int) -> Plan:
    """Clips of one second; speakers disjoint between splits; noise at 0 to 15 dB in 80 %, a room in half of them."""
    recordings: list[Recording] = []
    splits: dict[str, list[str]] = {part: [] for part in _PARTS}
    for part, speakers, clips in zip(_PARTS, size.ks_speakers, size.ks_clips):
        for word in (*WORDS, _UNKNOWN):
            for number in range(clips):
                path, spoken = _clip_path(part, word, number, number % speakers, seed)
                recordings.append(_clip(path, spoken, part, number % speakers, seed))
                splits[part].append(path)
    for number in range(size.ks_clips[2]):
        path = f"speech_commands_test/{_SILENCE}/{number:05d}.wav"
        recordings.append(Recording(path, seed, scene=_noise(path, seed), seconds=1.0))
        splits["test"].append(path)
    for number in range(4):
        path = f"speech_commands/_background_noise_/noise_{number}.wav"
        recordings.append(Recording(path, seed, scene=_noise(path, seed), seconds=8.0))
        splits["train"].append(path)

    def index(_root: Path, _final: Path, _takes: Mapping[str, Take]) -> None:
        """The layout has no index files."""

    return Plan("speech_commands", recordings, index, splits)


def _clip_path(part: Part, word: str, number: int, speaker: int, seed: int) -> tuple[str, str]:
    spoken = word
    if word == _UNKNOWN:
        spoken = OTHER_WORDS[number % len(OTHER_WORDS)]
    if part == "test":
        return f"speech_commands_test/{word}/{_speaker_hash(part, speaker, seed)}_nohash_{number}.wav", spoken
    return f"speech_commands/{spoken}/{_speaker_hash(part, speaker, seed)}_nohash_{number}.wav", spoken


def _speaker_hash(part: Part, speaker: int, seed: int) -> str:
    """Eight hexadecimal digits that fall into the part the speaker belongs to."""
    random = generator(seed, "speech_commands", part, "hash", speaker)
    while True:
        name = f"{int(random.integers(2**32)):08x}"
        percent = bucket(name)
        if part == "test" or (percent < 10 if part == "dev" else percent >= 20):
            return name


def _clip(path: str, spoken: str, part: Part, speaker: int, seed: int) -> Recording:
    voice = random_voice(generator(seed, "speech_commands", part, "voice", speaker))
    random = generator(seed, "scene", path)
    scene = random_scene(random, noisy=0.8, snr=_SNR, reverberant=0.5, channel=3.0)
    return Recording(path, seed, (Line(voice, spoken, level=float(random.uniform(-32, -22))),), scene, seconds=1.0)


def _noise(path: str, seed: int) -> Scene:
    random: np.random.Generator = generator(seed, "scene", path)
    return random_scene(random, channel=0.0)
