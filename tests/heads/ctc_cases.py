"""The three CTC heads at toy sizes, with labels and features to feed them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.heads.contract import Example
from s3prl_plugins.heads.ctc import CtcHead
from s3prl_plugins.heads.task import build_head, task_config
from s3prl_plugins.superb.units import CHARACTERS, LETTERS, PHONES

TASKS = ("asr", "pr", "sf")
DIM = 12
PROJECT = 16
HIDDEN = (16, 12)
SLOTS = ("artist", "object", "object_name")
UNITS: dict[str, Any] = {
    "asr": list(LETTERS),
    "pr": list(PHONES),
    "sf": {"characters": list(CHARACTERS), "slots": list(SLOTS)},
}
LABELS = {
    "asr": ("HELLO WORLD", "IT'S", "A", "QUIZ ALL OVER"),
    "pr": ("HH AH0 L OW1", "W ER1 L D", "AH0", "S IH1 L IY0 K AA1 L"),
    "sf": (
        "PLAY B-artist THE B B E-artist NOW",
        "GO",
        "B-object_name IT'S E-object_name B-object SO E-object",
        "B-artist A E-artist AND B-artist B E-artist",
    ),
}
LENGTHS = (61, 30, 47, 80)


def config(task: str) -> dict[str, Any]:
    corpus: dict[str, Any] = {"path": "."} | ({"lexicon": ["lexicon.txt"]} if task == "pr" else {})
    lstm = {"project_dim": PROJECT, "hidden_dims": list(HIDDEN), "dropout": 0.2}
    return {
        "task": task,
        "corpus": corpus,
        "head": {"project_dim": PROJECT} if task == "pr" else lstm,
        "train_batch": {"size": 2},
        "eval_batch": {"size": 2},
        "recipe": {"lr": 1e-3, "steps": 1},
    }


def make_head(task: str, units: Any = None, dim: int = DIM, scale: float = 3.0) -> CtcHead:
    """A head in evaluation mode; scaled up, its weights give long answers."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        head = build_head(task_config(config(task)), units or UNITS[task], dim, 320)
    assert isinstance(head, CtcHead)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(scale)
    return head.eval()


def make_features(lengths: Sequence[int] = LENGTHS, dim: int = DIM, seed: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, dim, generator=generator) for length in lengths]


def make_examples(labels: Sequence[str]) -> list[Example]:
    return [Example(f"utt-{i}", Path("x.wav"), 1.0, label) for i, label in enumerate(labels)]
