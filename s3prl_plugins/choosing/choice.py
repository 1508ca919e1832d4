"""A rule applied to the checkpoints of a run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3prl_plugins.choosing.dev_scores import Measuring, baseline_scores, dev_scores, sweep_of, whole_checkpoints
from s3prl_plugins.choosing.rules import Rule, best_by_task, best_together, gain
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.multitask.checkpoint import Checkpoint

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """What a rule chose, and from what."""

    rule: Rule
    run: Path
    tasks: tuple[str, ...]
    candidates: Mapping[int, Checkpoint]
    """Step -> checkpoint, oldest first."""
    scores: Mapping[int, Mapping[str, float]]
    """Step -> task -> first metric on dev; without what neither was recorded nor is needed."""
    gains: Mapping[int, Mapping[str, float]]
    """Step -> task -> gain over the baseline (`rules.gain`), where both are known."""
    steps: tuple[int, ...] = ()
    """The step chosen, or those of a soup; empty for `per-task`."""
    by_task: Mapping[str, int] = field(default_factory=dict)
    """Of `per-task`: task -> step."""

    def about(self) -> dict[str, Any]:
        """For `results.json`."""
        return {
            "rule": str(self.rule),
            "run": "/".join(self.run.resolve().parts[-2:]),
            "steps": dict(self.by_task) or list(self.steps),
            "candidates": {str(step): self._numbers(step) for step in self.candidates},
        }

    def together(self, step: int) -> tuple[float, float] | None:
        """Mean and lowest gain of a checkpoint; None where a task has none."""
        own = self.gains[step]
        return (statistics.fmean(own.values()), min(own.values())) if own.keys() == set(self.tasks) else None

    def _numbers(self, step: int) -> dict[str, Any]:
        numbers: dict[str, Any] = {"dev": dict(self.scores[step]), "gain": dict(self.gains[step])}
        if whole := self.together(step):
            numbers |= {"mean_gain": whole[0], "worst_gain": whole[1]}
        return numbers


def choose(
    run: Path, rule: Rule, baseline: Path | None, measuring: Measuring, tell: Callable[[str], None] = print
) -> Choice:
    """Apply a rule to the whole checkpoints that a run has kept. Test splits are never looked at; nothing is written.

    Scores come from the run's records, and are measured on dev only where the rule needs them.

    :param run: folder of a joint run.
    :param baseline: folder of `s3prl-plugins finetune ssl`; None takes the one that the run lies in.
    :raises UserError: too few checkpoints, no baseline for a rule that needs one, faulty corpora.
    """
    found, passed = whole_checkpoints(run)
    for message in passed:
        tell(message)
    newest = found[-1]
    tasks = list(newest.config["tasks"])
    if rule.count > len(found):
        raise ConfigError(
            f"--rule {rule} needs {rule.count} checkpoints, {run} has kept {len(found)}; train with a larger "
            "config.runner.max_keep, or choose fewer"
        )
    folder = baseline or sweep_of(run)
    if rule.needs_baseline and folder is None:
        raise ConfigError(
            f"--rule {rule} compares with heads trained alone, and none lie beside {run}; name the folder of "
            "`s3prl-plugins finetune ssl` with --baseline"
        )
    needed = measuring if rule.needs_scores else None
    compared = measuring if rule.needs_baseline else None
    known = baseline_scores(folder, newest, tasks, compared) if folder else {}
    candidates = {one.step: one for one in found}
    scores = {step: dev_scores(one, tasks, needed) for step, one in candidates.items()}
    gains = {
        step: {task: gain(task, score, known[task]) for task, score in own.items() if task in known}
        for step, own in scores.items()
    }
    by_task = best_by_task(scores) if rule.name == "per-task" else {}
    steps = tuple(candidates)[-rule.count :]
    if rule.needs_baseline:
        steps = (best_together(gains, rule.name == "worst"),)
    return Choice(rule, run, tuple(tasks), candidates, scores, gains, () if by_task else steps, by_task)
