"""Scoring a joint model: every task on its splits, prediction files, and one results.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.files import write_whole
from s3prl_plugins.heads.contract import Prediction, Scores
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.streams import evaluation_batches
from s3prl_plugins.multitask.tasks import TaskData
from s3prl_plugins.superb.cards import card

__all__ = ["Evaluator", "parse_splits", "update_results"]


def parse_splits(text: str, tasks: Sequence[str]) -> list[tuple[str, str]]:
    """s3prl's `-t`: `test` is every task's test split; `asr:test-clean,ks:dev` names task and split.

    :returns: (task, the task's own name of the split) pairs.
    """
    if ":" not in text:
        return [(task, card(task).split(text)) for task in tasks]
    pairs = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        task, _, split = item.partition(":")
        if task not in tasks:
            raise ConfigError(f"-t names task {task!r}, which this run does not have; {nearest(task, tasks)}")
        pairs.append((task, card(task).split(split)))
    return pairs


@dataclass
class Evaluator:
    """Runs a joint model over splits; dev calibrations are found when first needed and kept until `forget`."""

    model: JointModel
    tasks: Mapping[str, TaskData]
    workers: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        self._calibrations: dict[str, dict[str, float]] = {}

    def forget(self) -> None:
        """Drop calibrations: the model has changed."""
        self._calibrations.clear()

    def answers(self, task: str, split: str) -> tuple[list[Prediction], float | None]:
        """Predictions for a whole split, sorted by utterance name, and the mean loss (None for open-set tasks)."""
        data = self.tasks[task]
        shelf = self.model.shelves.get(task)
        count, batches = evaluation_batches(
            data.reader, data.examples(split), data.config.eval_batch, self.workers, shelf.store if shelf else None
        )
        closed = split == card(task).train or not card(task).open_set
        predictions: list[Prediction] = []
        total, items = 0.0, 0.0
        training = self.model.training
        self.model.eval()
        for batch in tqdm(batches, total=count, desc=f"{task} {split}", leave=False, disable=not self.progress):
            answers, loss = self.model.answer(task, batch, with_loss=closed)
            predictions += answers
            if loss is not None:
                total, items = total + float(loss.total), items + loss.count
        self.model.train(training)
        return sorted(predictions, key=lambda prediction: prediction.name), total / items if items else None

    def evaluate(self, task: str, split: str, folder: Path | None = None) -> Scores:
        """Every metric of a task on a split, and `loss`; prediction files go to `folder`/<task>/ if one is given."""
        head, dev = self.model.head(task), card(task).dev
        predictions, loss = self.answers(task, split)
        if card(task).calibrated and (split == dev or task not in self._calibrations):
            self._calibrations[task] = head.calibrate(predictions if split == dev else self.answers(task, dev)[0])
        scores = head.score(predictions, self._calibrations.get(task, {}))
        if folder is not None:
            (folder / task).mkdir(parents=True, exist_ok=True)
            head.write(predictions, split, folder / task)
        return scores if loss is None else {**scores, "loss": loss}


def update_results(
    folder: Path, step: int, results: Mapping[tuple[str, str], Mapping[str, Any]], about: Mapping[str, Any]
) -> Path:
    """Lay new scores over `results.json`; scores of another step are dropped. Written whole or not at all.

    :param results: (task, split) -> metric -> value.
    :param about: what the numbers come from (upstream, seed, versions ...).
    """
    path = folder / "results.json"
    content: dict[str, Any] = {"step": step, "about": dict(about), "scores": {}}
    if path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        if old.get("step") == step:
            content["scores"] = old["scores"]
    for (task, split), scores in results.items():
        content["scores"].setdefault(task, {})[split] = dict(scores)
    write_whole(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
    return path
