"""Unlabelled speech to pretrain on: many speakers, many words, no labels; speakers and texts of no mini-SUPERB test set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from s3prl_plugins.corpora.layouts.plan import Plan
from s3prl_plugins.corpora.layouts.speech_commands import OTHER_WORDS, WORDS
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.texts import part_of, sentences, vocabulary
from s3prl_plugins.corpora.voices import EMOTIONS, emotional, random_voice

__all__ = ["plan", "texts"]

SECONDS = 2.4
"""Mean length of an utterance, from which the number of utterances follows."""
PER_SPEAKER = 30

_ONSETS = ("", "b", "bl", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pr", "r", "s",
           "sh", "sl", "st", "t", "th", "tr", "v", "w", "y", "z")  # fmt: skip
_NUCLEI = ("a", "ai", "ar", "au", "e", "ee", "er", "i", "o", "oa", "oo", "or", "ou", "oy", "u")
_CODAS = ("", "", "b", "ck", "d", "f", "g", "l", "m", "n", "nd", "ng", "p", "s", "sh", "st", "t", "th", "v", "z")


def texts(random: np.random.Generator) -> Iterator[str]:
    """Texts without end: a third sentences of the grammar's training part, the rest 4 to 13 words without grammar.

    Every third of those words is invented, which brings in sounds and sequences the vocabulary lacks.
    """
    grammar = sentences(random, "train")
    words = sorted({*vocabulary(), *WORDS, *OTHER_WORDS})
    while True:
        if random.random() < 1 / 3:
            yield next(grammar).text
            continue
        drawn = (
            _invented(random) if random.random() < 1 / 3 else str(random.choice(words))
            for _ in range(int(random.integers(4, 14)))
        )
        text = " ".join(drawn)
        if part_of(text) == "train":
            yield text


def plan(hours: float, seed: int) -> Plan:
    """Utterances of two to three seconds, half of them emotional, in the acoustic conditions of all mini-SUPERB's corpora."""
    count = max(1, round(hours * 3600 / SECONDS))
    recordings = []
    source = texts(generator(seed, "speech", "texts"))
    for number in range(count):
        speaker = number // PER_SPEAKER
        voice = random_voice(generator(seed, "speech", "speaker", speaker))
        path = f"speech/{speaker:04d}/{speaker:04d}-{number % PER_SPEAKER:02d}.flac"
        random = generator(seed, "speech", path)
        if random.random() < 0.5:
            voice = emotional(voice, str(random.choice(EMOTIONS)), random)
        scene = random_scene(random, noisy=0.6, snr=(3, 25), reverberant=0.4, channel=2.0)
        recordings.append(Recording(path, seed, (Line(voice, next(source)),), scene))

    def index(_root: Path, _final: Path, _takes: Mapping[str, Take]) -> None:
        """Nothing is labelled, so there is nothing to write."""

    return Plan("speech", recordings, index, {"train": [recording.path for recording in recordings]})


def _invented(random: np.random.Generator) -> str:
    """A word of one or two syllables that English spelling allows."""
    return "".join(
        str(random.choice(_ONSETS)) + str(random.choice(_NUCLEI)) + str(random.choice(_CODAS))
        for _ in range(int(random.integers(1, 3)))
    )
