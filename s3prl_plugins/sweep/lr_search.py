"""Choosing the learning rate of a single-task run by short runs, scored on the dev split alone."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3prl_plugins.config import merge
from s3prl_plugins.errors import CheckpointError, ConfigError, CorpusError
from s3prl_plugins.files import parse_checked, write_checked
from s3prl_plugins.multitask.evaluation import saved_results
from s3prl_plugins.multitask.scenario_config import LrSearchConfig
from s3prl_plugins.superb.cards import TaskCard, card
from s3prl_plugins.sweep.job import train_and_score

__all__ = ["TIE", "Try", "best_rate", "choose_rate", "recorded_rate", "with_rate"]

TIE = 1.0
"""Scores this close (percentage points) count as equal."""

_RECORD, _TRIES = "lr_search.json", "lr_search"


@dataclass(frozen=True)
class Try:
    """One learning rate after its short run."""

    lr: float
    score: float | None
    """The task's best metric on dev; None where the run diverged."""
    loss: float | None = None
    """Mean loss on dev; None where it has none (ASV)."""


def best_rate(tried: Sequence[Try], task: TaskCard) -> float:
    """The rate with the best score on dev. Among scores within `TIE` of it, which includes the case that no short run
    has moved the metric yet (word error rates of 100 %), the lowest dev loss decides; without losses the better score,
    then the lower rate.

    :raises ConfigError: every run diverged.
    """
    sign = -1.0 if task.best_metric.higher_is_better else 1.0
    costs = {entry: sign * entry.score for entry in tried if entry.score is not None and math.isfinite(entry.score)}
    if not costs:
        rates = ", ".join(f"{entry.lr:g}" for entry in tried)
        raise ConfigError(
            f"no learning rate of config.ssl.lr_search.grid ({rates}) can train {task.name!r}; lower them"
        )
    close = [entry for entry, cost in costs.items() if cost <= min(costs.values()) + TIE]

    def rank(entry: Try) -> tuple[float, float, float]:
        loss = math.inf if entry.loss is None or not math.isfinite(entry.loss) else entry.loss
        return loss, costs[entry], entry.lr

    return min(close, key=rank).lr


def recorded_rate(folder: Path) -> float | None:
    """The learning rate that a finished search recorded in a run's folder; None where there was no search."""
    path = folder / _RECORD
    if not path.is_file():
        return None
    try:
        return float(parse_checked(path.read_text(encoding="utf-8"))["chosen"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} cannot be read; remove it and search again") from None


def with_rate(config: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """A single-task configuration with another learning rate of head and layer weights."""
    return merge(config, {"optimizer": {"upstream": {"lr": rate}, "heads": {"lr": rate}}})


def choose_rate(args: Mapping[str, Any], config: Mapping[str, Any], search: LrSearchConfig) -> float:
    """Try every rate of the grid from equal weights, record the choice in `lr_search.json`, and return it.

    A search that was cut off goes on where it was; one that is through is not repeated.

    :param args: arguments of the run that is to be trained with the chosen rate.
    :param config: its configuration, of one task.
    """
    folder, task = Path(args["expdir"]), card(config["tasks"][0])
    known = recorded_rate(folder)
    if known is not None:
        return known
    runner = {"total_steps": search.steps, "save_step": search.steps, "eval_step": 0, "max_keep": 1}
    tried, failure = [], None
    for rate in search.grid:
        place = folder / _TRIES / f"{rate:g}"
        try:
            scores = _dev_scores(
                {**args, "expdir": str(place)}, merge(with_rate(config, rate), {"runner": runner}), task
            )
            tried.append(Try(rate, scores[task.best_metric.name], scores.get("loss")))
        except CorpusError as error:  # a diverged model has no equal error rate; faults of the corpus end every try
            tried.append(Try(rate, None))
            failure = error
    if failure is not None and all(entry.score is None for entry in tried):
        raise failure
    _record(folder, task, search.steps, tried, chosen := best_rate(tried, task))
    shutil.rmtree(folder / _TRIES)
    return chosen


def _dev_scores(args: Mapping[str, Any], config: Mapping[str, Any], task: TaskCard) -> dict[str, float]:
    folder = Path(args["expdir"])

    def found() -> dict[str, float]:
        results = saved_results(folder)
        done = results.get("step") == config["runner"]["total_steps"]
        return dict(results["scores"].get(task.name, {}).get(task.dev, {})) if done else {}

    if not found():
        train_and_score(args, config, "dev")
    return found()


def _record(folder: Path, task: TaskCard, steps: int, tried: Sequence[Try], chosen: float) -> None:
    content = {
        "metric": task.best_metric.name,
        "split": task.dev,
        "steps": steps,
        "tried": [{"lr": entry.lr, "score": entry.score, "loss": entry.loss} for entry in tried],
        "chosen": chosen,
    }
    write_checked(folder / _RECORD, content)
