"""Readers and heads of KS, SID, IC and ER against s3prl's legacy experts, whole: audio, labels, loss, score, files."""

from __future__ import annotations

import importlib
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from classification_cases import config, write_fluent, write_iemocap, write_speech_commands, write_voxceleb
from torch import Tensor, nn

from s3prl_plugins.heads.task import build_head, build_reader
from s3prl_plugins.problems import Problems

DIM = 20
MODEL = {"projector_dim": 256, "select": "UtteranceLevel", "UtteranceLevel": {"pooling": "MeanPooling"}}
BATCHES = {"train_batch_size": 4, "eval_batch_size": 4, "num_workers": 0}


class Case(NamedTuple):
    write: Any
    folder: str
    """s3prl's name of the task."""
    data: dict[str, Any]
    """Its `datarc`; paths below the corpus root begin with @."""


CASES = {
    "ks": Case(
        write_speech_commands,
        "speech_commands",
        {"speech_commands_root": "@speech_commands", "speech_commands_test_root": "@speech_commands_test"},
    ),
    "sid": Case(
        write_voxceleb,
        "voxceleb1",
        {"file_path": "@VoxCeleb1", "meta_data": "@VoxCeleb1/veri_test_class.txt", "max_timestep": 16000},
    ),
    "ic": Case(write_fluent, "fluent_commands", {"file_path": "@fluent_speech_commands"}),
    "er": Case(
        write_iemocap,
        "emotion",
        {
            "root": "@IEMOCAP",
            "meta_data": "@IEMOCAP/meta_data",
            "test_fold": "fold2",
            "pre_load": False,
            "valid_ratio": 0.2,
        },
    ),
}


class Logger:
    def __init__(self) -> None:
        self.scalars: dict[str, float] = {}

    def add_scalar(self, name: str, value: float, global_step: int) -> None:
        self.scalars[name.rsplit("-", 1)[1]] = value


def expert(task: str, root: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """s3prl's expert on the corpus at `root`, without its cache in the installed package or a changed global seed."""
    case = CASES[task]
    if task == "sid":
        dataset = importlib.import_module("s3prl.downstream.voxceleb1.dataset")
        monkeypatch.setattr(dataset, "CACHE_PATH", str(out / "cache"))
    data = {k: str(root / v[1:]) if isinstance(v, str) and v[:1] == "@" else v for k, v in case.data.items()}
    module = importlib.import_module(f"s3prl.downstream.{case.folder}.expert")
    with torch.random.fork_rng():
        built: nn.Module = module.DownstreamExpert(
            upstream_dim=DIM, downstream_expert={"datarc": {**data, **BATCHES}, "modelrc": MODEL}, expdir=str(out)
        )
    return built


def features(wave: Tensor) -> Tensor:
    """Frames of 10 ms through a fixed random matrix: as good as any upstream here."""
    frames = wave[: len(wave) // 160 * 160].view(-1, 160)
    return frames @ torch.randn(160, DIM, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("task", CASES)
def test_same_utterances_answers_score_and_files(
    task: str, split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES[task].write(tmp_path)
    (tmp_path / "theirs").mkdir()
    legacy = expert(task, tmp_path, tmp_path / "theirs", monkeypatch)
    setting = config(task, "paper", {"fold": "fold2"} if task == "er" else {}, superb_quirks=False)
    reader = build_reader(setting, tmp_path)
    labels = {"speaker": [f"id{10001 + i}" for i in range(1251)]} if task == "sid" else reader.labels(Problems())
    head = build_head(setting, labels, DIM, 160)
    for mine, theirs in zip(head.parameters(), legacy.parameters(), strict=True):
        mine.data.copy_(theirs.data)

    items = [getattr(legacy, f"{split}_dataset")[i] for i in range(len(getattr(legacy, f"{split}_dataset")))]
    items = [item for item in items if "_background_noise_" not in item[2]]  # s3prl crops these at random in dev too
    waves, labels, names = zip(*items)
    records: dict[str, Any] = defaultdict(list)
    theirs_loss = legacy(split, [features(torch.as_tensor(w)) for w in waves], labels, names, records=records)
    logger = Logger()
    legacy.log_records(split, records=records, logger=logger, global_step=1)

    examples = [e for e in reader.examples(split, Problems()) if "_background_noise_" not in e.name]
    order = {name: number for number, name in enumerate(names)}
    assert sorted(order) == sorted(example.name for example in examples)
    examples.sort(key=lambda example: order[example.name])
    batch = [features(reader.waveform(example, None)) for example in examples]
    torch.testing.assert_close(head.loss(batch, [e.label for e in examples]).mean, theirs_loss, atol=1e-5, rtol=1e-4)
    predictions = head.predict(batch, examples)
    assert head.score(predictions, {})["acc"] == pytest.approx(100 * logger.scalars["acc"])
    for path in head.write(predictions, split, tmp_path / "ours"):
        assert path.read_text() == (tmp_path / "theirs" / path.name).read_text()
