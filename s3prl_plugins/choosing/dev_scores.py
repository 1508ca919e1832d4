"""The dev scores that checkpoints are chosen by: as they were recorded, else measured. No test split is read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s3prl_plugins.config import merge
from s3prl_plugins.errors import CheckpointError, ConfigError, UserError
from s3prl_plugins.logs import logged_scores
from s3prl_plugins.multitask.checkpoint import Checkpoint, examined, find, newest_whole
from s3prl_plugins.multitask.er_folds import er_fold
from s3prl_plugins.multitask.evaluation import saved_results
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.superb.cards import card

__all__ = ["Measuring", "baseline_scores", "dev_scores", "sweep_of", "whole_checkpoints"]


@dataclass(frozen=True)
class Measuring:
    """Where models are run."""

    corpus_root: Path | None = None
    """None: as the run's configuration says."""
    device: str | None = None
    """None: as the run's arguments say."""

    def experiment(self, found: Checkpoint) -> Experiment:
        """A run at one of its checkpoints; nothing is written."""
        root = {"corpus_root": str(self.corpus_root)} if self.corpus_root else {}
        device = {"device": self.device} if self.device else {}
        args = argparse.Namespace(**{**found.args, "past_exp": str(found.path), **device})
        return Experiment(args, merge(found.config, root))


def whole_checkpoints(folder: Path) -> tuple[list[Checkpoint], list[str]]:
    """The undamaged checkpoints of a run, oldest first, and what was passed over.

    :raises CheckpointError: there is none.
    """
    whole, passed = [], []
    for path in find(folder):
        found, damage = examined(path)
        if found is None:
            passed.append(f"{path.name} is passed over, it is damaged ({damage})")
        else:
            whole.append(found)
    if not whole:
        raise CheckpointError(
            f"{folder} holds no whole states-*.ckpt to choose from{': ' if passed else ''}{'; '.join(passed)}; "
            "pass the folder of a joint run"
        )
    return whole, passed


def dev_scores(found: Checkpoint, tasks: Sequence[str], measuring: Measuring | None) -> dict[str, float]:
    """Task -> its first metric on dev: from the run's `metrics.jsonl` or `results.json` of that step, else measured.

    :param measuring: None leaves out what was not recorded.
    """
    folder = found.path.parent
    recorded = logged_scores(folder, found.step)
    results = saved_results(folder)
    if results.get("step") == found.step:
        recorded |= {(task, split): one for task, own in results["scores"].items() for split, one in own.items()}
    metrics = {task: card(task).best_metric.name for task in tasks}
    scores = {task: recorded.get((task, card(task).dev), {}).get(name) for task, name in metrics.items()}
    missing = [task for task, value in scores.items() if value is None]
    if missing and measuring is not None:
        evaluator = measuring.experiment(found).evaluator
        scores |= {task: evaluator.evaluate(task, card(task).dev)[metrics[task]] for task in missing}
    return {task: float(value) for task, value in scores.items() if value is not None}


def sweep_of(run: Path) -> Path | None:
    """The folder of `s3prl-plugins finetune` that a run lies in, if single heads (`ssl`) lie there too."""
    parents = run.resolve().parents
    return next((parent for parent in parents[:2] if (parent / "ssl").is_dir()), None)


def baseline_scores(
    sweep: Path, of_run: Checkpoint, tasks: Sequence[str], measuring: Measuring | None
) -> dict[str, float]:
    """Task -> the dev score of the head that was trained alone on the untouched encoder (`finetune ssl`), at its end.

    :param sweep: the folder that holds `ssl/<task>`.
    :param of_run: of the run that is compared with it.
    :param measuring: None leaves out what cannot be compared or was not recorded.
    :raises ConfigError: a task's run is missing, not finished, or of another corpus or fold.
    """
    scores: dict[str, float] = {}
    for task in tasks:
        try:
            newest = _baseline(sweep, of_run, task)
        except UserError:
            if measuring is not None:
                raise
            continue
        scores |= dev_scores(newest, [task], measuring)
    return scores


def _baseline(sweep: Path, of_run: Checkpoint, task: str) -> Checkpoint:
    fold = er_fold(of_run.config)
    place = sweep / "ssl" / task if task != "er" or fold == "fold1" else sweep / f"ssl_er_{fold}"
    if not find(place):
        raise ConfigError(
            f"no baseline for {task}: {place} holds no run; make it with `s3prl-plugins finetune ssl`, or name with "
            "--baseline the folder that has it"
        )
    newest, _ = newest_whole(place)
    _check_baseline(newest, of_run, task)
    return newest


def _check_baseline(baseline: Checkpoint, of_run: Checkpoint, task: str) -> None:
    place, last = baseline.path.parent, baseline.config["runner"]["total_steps"]
    if baseline.step < last:
        raise ConfigError(f"the baseline {place} is at step {baseline.step} of {last}; let it finish first")
    for key in ("size", "fold"):
        found, wanted = (
            one.config["size"] if key == "size" else er_fold(one.config) if task == "er" else None
            for one in (baseline, of_run)
        )
        if found != wanted:
            raise ConfigError(
                f"the baseline {place} has {key} {found}, the run {of_run.path.parent} {wanted}; "
                "name with --baseline a sweep on the same corpus"
            )
