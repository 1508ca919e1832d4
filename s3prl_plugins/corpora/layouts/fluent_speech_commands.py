"""Fluent Speech Commands (IC): csv tables of commands with action, object and location. The commands are a closed set."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from s3prl_plugins.corpora.layouts.plan import Plan
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.voices import random_voice

__all__ = ["INTENTS", "plan"]

INTENTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("activate", "lights", "none", ("turn on the lights", "lights on")),
    ("activate", "lights", "kitchen", ("turn on the kitchen lights", "kitchen lights on")),
    ("activate", "lights", "bedroom", ("turn on the bedroom lights", "bedroom lights on")),
    ("activate", "music", "none", ("turn on the music", "play the music")),
    ("deactivate", "lights", "none", ("turn off the lights", "lights off")),
    ("deactivate", "lights", "kitchen", ("turn off the kitchen lights", "kitchen lights off")),
    ("deactivate", "lights", "bedroom", ("turn off the bedroom lights", "bedroom lights off")),
    ("deactivate", "music", "none", ("turn off the music", "stop the music")),
    ("increase", "volume", "none", ("turn up the volume", "louder please")),
    ("increase", "heat", "none", ("turn up the heat", "warmer please")),
    ("increase", "heat", "kitchen", ("turn up the kitchen heat", "kitchen heat up")),
    ("decrease", "volume", "none", ("turn down the volume", "quieter please")),
    ("decrease", "heat", "none", ("turn down the heat", "colder please")),
    ("decrease", "heat", "kitchen", ("turn down the kitchen heat", "kitchen heat down")),
    ("bring", "juice", "none", ("bring me some juice", "fetch the juice")),
    ("bring", "newspaper", "none", ("bring me the newspaper", "fetch the newspaper")),
    ("change language", "German", "none", ("set the language to german", "use german")),
    ("change language", "Chinese", "none", ("set the language to chinese", "use chinese")),
)
"""Action, object, location, and the ways to say it."""

_FILES = {"train": "train_data.csv", "valid": "valid_data.csv", "test": "test_data.csv"}
_COLUMNS = ("", "path", "speakerId", "transcription", "action", "object", "location")


def plan(size: Size, seed: int) -> Plan:
    """Every intent equally often; speakers disjoint between splits; noise at 5 to 20 dB in 60 %, a room in 30 %."""
    recordings: list[Recording] = []
    rows: dict[str, list[tuple[str, ...]]] = {split: [] for split in _FILES}
    splits: dict[str, list[str]] = {split: [] for split in _FILES}
    for split, speakers, repeats in zip(_FILES, size.fsc_speakers, size.fsc_repeats):
        for repeat in range(repeats):
            for number, (action, thing, location, phrasings) in enumerate(INTENTS):
                order = repeat * len(INTENTS) + number
                speaker = f"{split}{order % speakers:03d}"
                random = generator(seed, "fluent_speech_commands", split, order)
                text = phrasings[int(random.integers(len(phrasings)))]
                name = f"{int(random.integers(16**8)):08x}-{order:05d}"
                path = f"fluent_speech_commands/wavs/speakers/{speaker}/{name}.wav"
                voice = random_voice(generator(seed, "fluent_speech_commands", "voice", speaker))
                scene = random_scene(random, noisy=0.6, snr=(5, 20), reverberant=0.3, channel=2.0)
                recordings.append(Recording(path, seed, (Line(voice, text),), scene, margin=(0.03, 0.1)))
                splits[split].append(path)
                inside = path.removeprefix("fluent_speech_commands/")
                rows[split].append((str(order), inside, speaker, text, action, thing, location))

    def index(root: Path, _final: Path, _takes: Mapping[str, Take]) -> None:
        for split, file in _FILES.items():
            table = io.StringIO()
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(rows[split])
            target = root / "fluent_speech_commands" / "data" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(table.getvalue(), encoding="utf-8", newline="\n")

    return Plan("fluent_speech_commands", recordings, index, splits)
