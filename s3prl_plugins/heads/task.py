"""One task of a run, built from its YAML: where its corpus lies, which reader finds it, which head learns it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3prl_plugins.config import above_0, build
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.contract import Head, Reader
from s3prl_plugins.superb.cards import TaskCard, card

__all__ = ["BatchConfig", "Recipe", "TaskConfig", "build_head", "build_reader", "task_config"]

_READERS = {
    "asr": "librispeech:AsrReader",
    "pr": "librispeech:PrReader",
    "sf": "snips:SfReader",
    "sd": "kaldi:SdReader",
    "er": "iemocap:ErReader",
    "ic": "fluent_speech_commands:IcReader",
    "ks": "speech_commands:KsReader",
    "asv": "voxceleb1:AsvReader",
    "sid": "voxceleb1:SidReader",
}
"""Task -> module below `heads/corpora` and class. A reader class has a `Config` dataclass and takes (config, root)."""

_HEADS = {
    "asr": "asr:AsrHead",
    "pr": "pr:PrHead",
    "sf": "sf:SfHead",
    "sd": "diarization:DiarizationHead",
    "er": "classification:ErHead",
    "ic": "classification:IcHead",
    "ks": "classification:KsHead",
    "asv": "verification:VerificationHead",
    "sid": "classification:SidHead",
}
"""Task -> module below `heads` and class. A head class has a `Config` dataclass and takes
(config, labels, upstream_dim, upstream_rate), labels being what the reader's `labels` gave."""


@dataclass(frozen=True)
class BatchConfig:
    """How utterances are put together."""

    size: int
    """Utterances at most."""
    seconds: float | None = None
    """Seconds of audio at most, summed over the batch; None sets no limit. One longer utterance goes alone."""
    bucket: int = 32
    """Of training: so many batches' utterances, drawn at random, are sorted by length before they are cut into batches, whose
    order is random again. 1 mixes lengths as they come; more pads less and mixes utterances of different length less."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size must be at least 1 utterance, found {self.size}")
        if self.bucket < 1:
            raise ConfigError(f"bucket must be at least 1 batch, found {self.bucket}; 1 does not sort by length")
        if self.seconds is not None and self.seconds <= 0:
            raise ConfigError(f"seconds must be above 0, found {self.seconds}; use null for no limit")


@dataclass(frozen=True)
class Recipe:
    """How the head is trained alone on a frozen upstream (SUPERB: arXiv 2105.01051; values of s3prl's YAML)."""

    lr: float
    """Adam's learning rate; the only thing SUPERB's rules allow to tune."""
    steps: int
    """Optimizer steps."""
    accumulate: int = 1
    """Batches per optimizer step."""
    optimizer: str = "Adam"
    """Name of a `torch.optim` class."""
    clip: float = 1.0
    """Largest gradient norm."""

    def __post_init__(self) -> None:
        above_0(self, "lr", "steps", "accumulate", "clip")


@dataclass(frozen=True)
class TaskConfig:
    """One `configs/superb/<task>_<size>.yaml`."""

    task: str
    corpus: Any
    """The reader's own configuration; `path` in it is relative to the run's corpus root."""
    head: Any
    """The head's own configuration."""
    train_batch: BatchConfig
    eval_batch: BatchConfig
    recipe: Recipe
    specaug: dict[str, Any] | None = None
    """Arguments of s3prl.nn.specaug.SpecAug when the head is trained alone; None leaves it out."""
    balanced: bool = False
    """Draw training utterances so that every class is equally likely (KS)."""
    superb_quirks: bool = field(default=False)
    """Reproduce the quirks of s3prl's legacy experts that published SUPERB numbers depend on."""

    @property
    def card(self) -> TaskCard:
        return card(self.task)


def task_config(mapping: Mapping[str, Any], where: str = "config") -> TaskConfig:
    """Check and convert one task's mapping; `corpus` and `head` are read as the task's own classes want them."""
    name = mapping.get("task")
    if not isinstance(name, str):
        raise ConfigError(f"{where}.task is missing; it names the SUPERB task, e.g. task: asr")
    if not card(name).head:
        raise ConfigError(f"{where}.task is {name!r}, which has no head to train")
    for part in ("corpus", "head"):
        if part not in mapping:
            raise ConfigError(f"{where}.{part} is missing; see configs/superb/{name}_paper.yaml")
    reader, head = _find("corpora.", _READERS[name]), _find("", _HEADS[name])
    parts = {
        "corpus": build(reader.Config, mapping["corpus"], f"{where}.corpus"),
        "head": build(head.Config, mapping["head"], f"{where}.head"),
    }
    return build(TaskConfig, {**mapping, **parts}, where)


def build_reader(config: TaskConfig, root: Path) -> Reader:
    """The reader of a task's corpus; `root` is the folder that relative corpus paths start from."""
    reader: Reader = _find("corpora.", _READERS[config.task])(config, root)
    return reader


def build_head(config: TaskConfig, labels: Any, upstream_dim: int, upstream_rate: int) -> Head:
    """A freshly initialised head.

    :param labels: what the reader's `labels` gave.
    :param upstream_dim: width of the features.
    :param upstream_rate: samples per frame (320 for HuBERT).
    """
    head: Head = _find("", _HEADS[config.task])(config, labels, upstream_dim, upstream_rate)
    return head


def _find(prefix: str, path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(f"s3prl_plugins.heads.{prefix}{module}"), name)
