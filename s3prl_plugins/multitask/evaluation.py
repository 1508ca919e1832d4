"""Scoring a joint model: every task on its splits, prediction files, and one results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.files import parse_checked, write_checked
from s3prl_plugins.heads.contract import Prediction, Scores
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.ranks import ALONE, Ranks
from s3prl_plugins.multitask.reading import Reading
from s3prl_plugins.multitask.streams import evaluation_batches
from s3prl_plugins.multitask.tasks import TaskData
from s3prl_plugins.results import checked_results
from s3prl_plugins.superb.cards import card

__all__ = ["CALIBRATED", "Evaluator", "parse_splits", "saved_results", "update_results"]


CALIBRATED = ("sd", "asv")
"""Tasks whose heads choose settings on dev: SD's threshold and filter, which scores need, and ASV's threshold."""


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
    ranks: Ranks = ALONE
    """Several processes share the batches of a split; each has all answers and scores in the end, one writes files."""
    reading: Reading | None = None

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
            data.reader, data.examples(split), data.config.eval_batch, self.workers, shelf.store if shelf else None,
            self.ranks, self.reading,
        )  # fmt: skip
        closed = split == card(task).train or not card(task).open_set
        own: list[tuple[int, list[Prediction], float, float]] = []
        training = self.model.training
        self.model.eval()
        bar = {"desc": f"{task} {split}", "leave": False, "disable": not self.progress or not self.ranks.leads}
        for batch in tqdm(batches, total=count, **bar):
            answers, loss = self.model.answer(task, batch, with_loss=closed)
            own.append((batch.index, answers, *((float(loss.total), loss.count) if loss else (0.0, 0.0))))
        self.model.train(training)
        # Sums in the order of a single process, so that they round as its do.
        found = sorted((one for share in self.ranks.gather(own) for one in share), key=lambda one: one[0])
        total, items = sum(one[2] for one in found), sum(one[3] for one in found)
        predictions = sorted((each for one in found for each in one[1]), key=lambda prediction: prediction.name)
        return predictions, total / items if items else None

    def settings(self, task: str) -> dict[str, float]:
        """What the task's head chooses on dev; empty for most tasks."""
        if task not in self._calibrations:
            self._calibrations[task] = self.model.head(task).calibrate(self.answers(task, card(task).dev)[0])
        return self._calibrations[task]

    def evaluate(self, task: str, split: str, folder: Path | None = None) -> Scores:
        """Every metric of a task on a split, and `loss`; prediction files go to `folder`/<task>/ if one is given."""
        head, dev = self.model.head(task), card(task).dev
        predictions, loss = self.answers(task, split)
        if split == dev:
            self._calibrations[task] = head.calibrate(predictions)
        scores = head.score(predictions, self.settings(task) if card(task).calibrated else {})
        if folder is not None and self.ranks.leads:
            (folder / task).mkdir(parents=True, exist_ok=True)
            head.write(predictions, split, folder / task)
        return scores if loss is None else {**scores, "loss": loss}


def saved_results(folder: Path) -> dict[str, Any]:
    """The content of a run's `results.json`; empty where there is none."""
    path = folder / "results.json"
    if not path.is_file():
        return {}
    try:
        return checked_results(parse_checked(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}); remove it, and the run is scored again") from None


def update_results(
    folder: Path,
    step: int,
    results: Mapping[tuple[str, str], Mapping[str, Any]],
    about: Mapping[str, Any],
    calibration: Mapping[str, Mapping[str, float]] | None = None,
) -> Path:
    """Lay new scores over `results.json`; scores of another step are dropped. Written whole or not at all.

    :param results: (task, split) -> metric -> value.
    :param about: what the numbers come from (upstream, seed, versions ...).
    :param calibration: task -> settings chosen on dev, which `s3prl_plugins.load` takes from there.
    """
    path, old = folder / "results.json", saved_results(folder)
    kept = old if old.get("step") == step else {}
    content: dict[str, Any] = {"step": step, "about": dict(about), "scores": kept.get("scores", {})}
    for (task, split), scores in results.items():
        content["scores"].setdefault(task, {})[split] = dict(scores)
    if chosen := {**kept.get("calibration", {}), **(calibration or {})}:
        content["calibration"] = chosen
    write_checked(path, content, sort_keys=True)
    return path
