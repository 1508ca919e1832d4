"""How one checkpoint is chosen for several tasks. Pure arithmetic on dev scores."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.superb.cards import card

__all__ = ["RULES", "Gains", "Rule", "best_by_task", "best_together", "gain", "parse_rule"]

RULES: dict[str, str] = {
    "last": "the newest",
    "mean": "the highest mean gain over the tasks",
    "worst": "the highest gain of the task that gains least",
    "per-task": "each task's best: several models with different encoders, so an upper bound for what one model can reach",
    "soup:K": "the mean of encoder, layer weights and heads of the newest K",
}
"""Rule as it is written -> what it takes."""

Gains = Mapping[int, Mapping[str, float]]
"""Step -> task -> number, every step with the same tasks."""

_FLOOR = 1.0


@dataclass(frozen=True)
class Rule:
    """A rule as a user names it."""

    name: str
    count: int = 1
    """Checkpoints of a soup."""

    def __str__(self) -> str:
        return f"soup:{self.count}" if self.name == "soup" else self.name

    @property
    def needs_scores(self) -> bool:
        return self.name in ("mean", "worst", "per-task")

    @property
    def needs_baseline(self) -> bool:
        return self.name in ("mean", "worst")


def parse_rule(text: str) -> Rule:
    """:raises ConfigError: no such rule."""
    if text in RULES and text != "soup:K":
        return Rule(text)
    if found := re.fullmatch(r"soup:([1-9]\d{0,5})", text):
        return Rule("soup", int(found[1]))
    raise ConfigError(f"--rule must be one of {', '.join(RULES)} (such as soup:3), found {text!r}")


def gain(task: str, score: float, baseline: float) -> float:
    """Which part of the baseline's errors is gone, by the task's first metric: (errors_b - errors) / max(errors_b, 1).

    0 is the baseline, 1 a score without errors, -1 twice the baseline's errors. Errors are the score itself where lower is
    better (WER, PER, DER, EER), 100 less the score where higher is (accuracy, slot F1), in percent. A baseline with less
    than 1 % of errors counts as if it had 1 %, so that a handful of utterances does not outweigh the other tasks. A
    score that is no number is minus infinity.
    """
    if not math.isfinite(score):
        return -math.inf
    return (_errors(task, baseline) - _errors(task, score)) / max(_errors(task, baseline), _FLOOR)


def _errors(task: str, score: float) -> float:
    return 100.0 - score if card(task).best_metric.higher_is_better else score


def best_together(gains: Gains, by_worst: bool) -> int:
    """The step with the highest mean over tasks, or the highest minimum; of equal ones that with the better mean, then the
    newest."""

    def value(step: int) -> tuple[float, float, int]:
        own = gains[step].values()
        mean = sum(own) / len(own)
        return min(own) if by_worst else mean, mean, step

    return max(gains, key=value)


def best_by_task(scores: Gains) -> dict[str, int]:
    """Task -> the step of its best score; of equal ones the newest.

    :param scores: the tasks' first metrics.
    """
    return {task: max(scores, key=_order(scores, task)) for task in next(iter(scores.values()))}


def _order(scores: Gains, task: str) -> Callable[[int], tuple[float, int]]:
    return lambda step: (gain(task, scores[step][task], 0.0), step)
