# ruff: noqa: E501 (one line for each entry of a table)
"""The datasets of the package, and what stands where in their miniatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from s3prl_plugins.heads.audio import load
from s3prl_plugins.heads.corpora.quesst14 import QbeReader
from s3prl_plugins.heads.task import build_reader
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.pretrain.speech import Frames, find_speech
from s3prl_plugins.problems import Problems

__all__ = ["DATASETS", "Dataset", "heard"]


@dataclass(frozen=True)
class Dataset:
    """One table of files to damage."""

    task: str
    folder: str
    """Of the corpus."""
    audio: str
    """One file, as a glob below `folder`, of the split that is read."""
    split: str
    indexes: tuple[str, ...] = ()
    """Text files below `folder` that reading the split needs."""
    owed: Mapping[str, str] = field(default_factory=dict)
    """Damage -> what is owed where that is not what the tables say."""
    folders: tuple[str, ...] = ("",)
    """Folders that reading the split needs."""


def _unlisted(folder: str) -> dict[str, str]:
    """Nothing names this folder, so that it may be missing."""
    kinds = ("missing", "empty", "a file in its place", "a link to nothing", "a link to itself")
    return {f"{folder}, {kind}": "either" for kind in kinds}


_ANY_RATE = dict.fromkeys(("8 kHz", "44.1 kHz", "48 kHz", "stereo", "six channels"), "either")

DATASETS: dict[str, Dataset] = {
    "asr": Dataset("asr", "LibriSpeech", "dev-clean/198/77575/*0.flac", "dev-clean", ("dev-clean/198/77575/198-77575.trans.txt",), _unlisted("dev-clean/198/77575"), ("", "dev-clean", "dev-clean/198/77575")),
    "pr": Dataset("pr", "LibriSpeech", "dev-clean/198/77575/*0.flac", "dev", ("dev-clean/198/77575/198-77575.trans.txt", "lexicon.txt"), {}, ("dev-clean",)),
    "sf": Dataset("sf", "SNIPS", "valid/*.wav", "dev", ("all.iob.snips.txt", "slots.txt"), {}, ("", "valid")),
    "sd": Dataset("sd", "LibriMix", "wav/dev/*.wav", "dev", ("dev/wav.scp", "dev/segments", "dev/utt2spk", "dev/reco2dur"), {}, ("dev", "wav/dev")),
    "er": Dataset("er", "IEMOCAP", "Session1/sentences/wav/*/*.wav", "test", ("meta_data/Session1/test_meta_data.json",), {}, ("", "meta_data", "Session1")),
    "ic": Dataset("ic", "fluent_speech_commands", "wavs/speakers/valid*/*.wav", "dev", ("data/valid_data.csv", "data/train_data.csv"), {}, ("", "data", "wavs")),
    "ks": Dataset("ks", "speech_commands_test", "yes/*.wav", "test", (), {"audio, missing": "either", "corpus, a link within it to itself": "refused"}, ("", "yes")),
    "ks noise": Dataset("ks", "speech_commands", "_background_noise_/*.wav", "train", (), {"audio, missing": "either", **dict.fromkeys(("NaN", "infinite", "minus infinite"), "either")}, ("", "_background_noise_", "yes")),
    "asv": Dataset("asv", "VoxCeleb1", "test/wav/*/*/*.wav", "test", ("voxceleb1_test_v2.txt",), {}, ("", "test/wav")),
    "asv training": Dataset("asv", "VoxCeleb1", "dev/wav/id10002/*/*.wav", "train", ("dev_meta_data.txt",), {"audio, missing": "either", "dev/wav, a link within it to itself": "refused", **_unlisted("dev/wav/id10002"), "dev/wav/id10002, empty": "refused"}, ("dev/wav", "dev/wav/id10002")),
    "sid": Dataset("sid", "VoxCeleb1", "dev/wav/id10001/*/*.wav", "train", ("veri_test_class.txt",), {}, ("", "dev/wav", "dev/wav/id10001")),
    "qbe": Dataset("qbe", "quesst14/quesst14Database", "dev_queries/*1.wav", "dev", ("scoring/language_key_dev.lst", "scoring/language_key_utterances.lst", "scoring/groundtruth_quesst14_dev/quesst14.ecf.xml", "scoring/groundtruth_quesst14_dev/quesst14_dev.tlist.xml", "scoring/groundtruth_quesst14_dev/quesst14_dev.rttm"), _ANY_RATE, ("", "scoring", "scoring/groundtruth_quesst14_dev", "dev_queries")),
    "speech": Dataset("speech", "LibriSpeech", "dev-clean/198/77575/*0.flac", "", (), {"audio, missing": "either"}, ("dev-clean",)),
}  # fmt: skip


def heard(dataset: Dataset, root: Path) -> list[Any]:
    """Everything that reading a split and its audio gives: labels, descriptions, sums of samples.

    :raises UserError: the first fault.
    """
    problems = Problems()
    if dataset.task == "speech":
        found = find_speech([root / dataset.folder / part for part in dataset.folders], Frames(), 2)
        return [(item.path, item.samples, float(load(item.path).double().abs().sum())) for item in found]
    if dataset.task == "qbe":
        qbe = QbeReader(QbeReader.Config(), root)
        qbe.labels(problems)
        reader: Any = qbe
        also: list[Any] = [qbe.truth(dataset.split, problems), qbe.examples("train", problems)]
    else:
        reader = build_reader(task_configs({"size": "mini", "tasks": [dataset.task]})[dataset.task], root)
        also = [reader.labels(problems)]
    examples = reader.examples(dataset.split, problems)
    sums = [float(np.abs(reader.waveform(example, None).double().numpy()).sum()) for example in examples]
    return [*also, examples, sums]
