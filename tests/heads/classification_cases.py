"""Corpora of noise in the real layouts, for the tests of the classification, verification and diarization readers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from s3prl_plugins.config import load_yaml
from s3prl_plugins.heads.corpora.speech_commands import CLASSES, WORDS
from s3prl_plugins.heads.task import TaskConfig, task_config

CONFIGS = Path(__file__).parents[2] / "configs" / "superb"


def config(task: str, size: str = "mini", corpus: dict[str, Any] | None = None, **changes: Any) -> TaskConfig:
    """A shipped configuration with some values changed."""
    loaded = task_config(load_yaml(CONFIGS / f"{task}_{size}.yaml"))
    return dataclasses.replace(loaded, corpus=dataclasses.replace(loaded.corpus, **(corpus or {})), **changes)


def write_noise(path: Path, seconds: float = 0.3, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(int(16000 * seconds)), 16000)


def write_speech_commands(root: Path) -> None:
    words = (*WORDS, "bed", "marvin")
    for number in range(60):
        speaker = f"{number * 7919:08x}"
        write_noise(root / "speech_commands" / words[number % 12] / f"{speaker}_nohash_{number % 3}.wav", seed=number)
    for number, length in enumerate((2.5, 4.0, 1.0)):
        write_noise(root / "speech_commands" / "_background_noise_" / f"noise{number}.wav", length, 100 + number)
    for number, name in enumerate(CLASSES):
        write_noise(root / "speech_commands_test" / name / f"{number:08x}_nohash_0.wav", 1.0, 200 + number)


def write_voxceleb(root: Path) -> None:
    """Speakers id10001 ... id10006 in dev/wav, id10007 and id10008 in test/wav, two videos of two utterances each."""
    split_list, by_part = [], {"dev": [], "test": []}
    for number in range(8):
        part = "dev" if number < 6 else "test"
        for video in ("aaa", "b-b"):
            for take in (1, 2):
                name = f"id{10001 + number}/{video}/{take:05d}.wav"
                write_noise(root / "VoxCeleb1" / part / "wav" / name, 1.0 + 0.2 * take, seed=number * 10 + take)
                split_list.append(f"{1 if video == 'aaa' else take + 1} {name}")
                by_part[part].append(name)
    (root / "VoxCeleb1" / "veri_test_class.txt").write_text("\n".join(split_list) + "\n")
    held = [name for name in by_part["dev"] if name[:7] in ("id10002", "id10005")]
    for file, names in (("dev_meta_data.txt", held), ("voxceleb1_test_v2.txt", by_part["test"])):
        trials = [f"{int(a[:7] == b[:7])} {a} {b}" for a in names for b in reversed(names) if a != b]
        (root / "VoxCeleb1" / file).write_text("\n".join(trials) + "\n")


def write_fluent(root: Path) -> None:
    folder = root / "fluent_speech_commands"
    (folder / "data").mkdir(parents=True)
    actions, objects, places = ("deactivate", "change language", "activate"), ("none", "lamp"), ("kitchen", "none")
    for split, count in (("train", 12), ("valid", 5), ("test", 5)):
        lines = [",path,speakerId,transcription,action,object,location"]
        for i in range(count):
            path = f"wavs/speakers/{split}spk{i % 2}/{split}-{i}.wav"
            write_noise(folder / path, 0.2 + 0.05 * i, seed=i)
            lines.append(
                f'{i},{path},{split}spk{i % 2},"Well, {i}",{actions[i % 3]},{objects[i % 2]},{places[i // 6 % 2]}'
            )
        (folder / "data" / f"{split}_data.csv").write_text("\n".join(lines) + "\n")


def write_iemocap(root: Path) -> None:
    emotions = {"neu": 0, "hap": 1, "ang": 2, "sad": 3}
    rows: dict[int, list[dict[str, str]]] = {session: [] for session in range(1, 6)}
    for session, entries in rows.items():
        for i in range(9):
            name = f"Ses0{session}F_impro01_F{i:03d}"
            path = f"Session{session}/sentences/wav/Ses0{session}F_impro01/{name}.wav"
            write_noise(root / "IEMOCAP" / path, 0.2 + 0.02 * i, seed=session * 10 + i)
            entries.append({"path": path, "label": list(emotions)[i % 4], "speaker": f"Ses0{session}F"})
    for test in rows:
        folder = root / "IEMOCAP" / "meta_data" / f"Session{test}"
        folder.mkdir(parents=True)
        train = [row for session in rows if session != test for row in rows[session]]
        for part, chosen in (("train", train), ("test", rows[test])):
            content = {"labels": emotions, "meta_data": chosen}
            (folder / f"{part}_meta_data.json").write_text(json.dumps(content))


def write_libri_mix(root: Path, seconds: float = 2.5, recordings: int = 3, step: float = 0.01) -> None:
    """Two speakers in each recording, segments that begin and end at multiples of `step` seconds, some overlapping."""
    rng = np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        folder = root / "LibriMix" / split
        folder.mkdir(parents=True)
        files: dict[str, list[str]] = {name: [] for name in ("wav.scp", "segments", "utt2spk", "reco2dur")}
        for number in range(recordings):
            recording = f"{split}-{number}"
            path = root / "LibriMix" / "wav" / split / f"{recording}.wav"
            write_noise(path, seconds, number)
            files["wav.scp"].append(f"{recording} {path}")
            files["reco2dur"].append(f"{recording} {seconds}")
            for speaker in ("s1", "s2"):
                start, end = (round(n * step, 2) for n in sorted(rng.choice(int(seconds / step), 2, replace=False)))
                utterance = f"{recording}_{speaker}"
                files["segments"].append(f"{utterance} {recording} {start} {end}")
                files["utt2spk"].append(f"{utterance} {recording}-{speaker}")
        for name, lines in files.items():
            (folder / name).write_text("\n".join(lines) + "\n")
