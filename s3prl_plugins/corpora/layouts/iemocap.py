"""IEMOCAP (ER): five sessions of two speakers, four emotions, five folds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from s3prl_plugins.corpora.layouts.plan import Plan, write_lines
from s3prl_plugins.corpora.recordings import Line, Recording, Take
from s3prl_plugins.corpora.scenes import random_scene
from s3prl_plugins.corpora.seeding import generator
from s3prl_plugins.corpora.sizes import Size
from s3prl_plugins.corpora.voices import EMOTIONS, emotional, random_voice

__all__ = ["plan"]

_SESSIONS = range(1, 6)
_TEXTS = (
    "i told you so", "what is it now", "you know me", "come back here", "that is all", "let me see it",
    "we have to go", "i can not say", "it is over now", "who would do that", "nobody knows why", "give it to me",
)  # fmt: skip
"""Said in every emotion, so that the words tell nothing."""


def plan(size: Size, seed: int) -> Plan:
    """Short sentences; noise at 8 to 25 dB in 50 %, a room in 30 %. The emotions are those of `voices.emotional`."""
    recordings: list[Recording] = []
    splits: dict[str, list[str]] = {f"Session{session}": [] for session in _SESSIONS}
    entries: dict[str, list[dict[str, str]]] = {split: [] for split in splits}
    for session in _SESSIONS:
        repeats = size.emotion_repeats[0] if session == 1 else size.emotion_repeats[1]
        for gender in "FM":
            for number in range(repeats * len(EMOTIONS)):
                emotion = EMOTIONS[number % len(EMOTIONS)]
                recording = _utterance(session, gender, number, emotion, seed)
                recordings.append(recording)
                splits[f"Session{session}"].append(recording.path)
                path = recording.path.removeprefix("IEMOCAP/")
                entry = {"path": path, "label": emotion, "speaker": f"Ses{session:02d}{gender}"}
                entries[f"Session{session}"].append(entry)

    def index(root: Path, _final: Path, _takes: Mapping[str, Take]) -> None:
        labels = {emotion: number for number, emotion in enumerate(EMOTIONS)}
        for test in splits:
            train = [entry for session in splits if session != test for entry in entries[session]]
            for name, chosen in (("train", train), ("test", entries[test])):
                text = json.dumps({"labels": labels, "meta_data": chosen})
                write_lines(root / "IEMOCAP" / "meta_data" / test / f"{name}_meta_data.json", [text])
            _evaluations(root / "IEMOCAP" / test / "dialog" / "EmoEvaluation", entries[test])

    return Plan("IEMOCAP", recordings, index, splits)


def _utterance(session: int, gender: str, number: int, emotion: str, seed: int) -> Recording:
    speaker = f"Ses{session:02d}{gender}"
    dialog = f"{speaker}_impro{number // 40 + 1:02d}"
    path = f"IEMOCAP/Session{session}/sentences/wav/{dialog}/{dialog}_{gender}{number % 40:03d}.wav"
    random = generator(seed, "IEMOCAP", path)
    person = random_voice(generator(seed, "IEMOCAP", "voice", speaker), accents=("en-us",), female=gender == "F")
    voice = emotional(person, emotion, random)
    scene = random_scene(random, noisy=0.5, snr=(8, 25), reverberant=0.3, channel=2.0)
    line = Line(voice, str(random.choice(_TEXTS)), level=float(random.uniform(-30, -22)))
    return Recording(path, seed, (line,), scene, margin=(0.03, 0.1))


def _evaluations(folder: Path, entries: list[dict[str, str]]) -> None:
    """The annotators' files s3prl's preprocessing reads: time, name, emotion, and three ratings we do not have."""
    dialogs: dict[str, list[str]] = {}
    for entry in entries:
        name = Path(entry["path"]).stem
        line = f"[0.0000 - 0.0000]\t{name}\t{entry['label']}\t[0.0000, 0.0000, 0.0000]"
        dialogs.setdefault(name.rsplit("_", 1)[0], []).append(line)
    for dialog, lines in dialogs.items():
        write_lines(folder / f"{dialog}.txt", lines)
