"""What a rule chose as a run folder, which evaluation, `load`, `export` and `report` take like any other."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s3prl_plugins.choosing.choice import Choice
from s3prl_plugins.choosing.dev_scores import Measuring
from s3prl_plugins.choosing.soup import average
from s3prl_plugins.errors import ConfigError, UserError
from s3prl_plugins.heads.contract import Scores
from s3prl_plugins.multitask.checkpoint import load_tensors, newest_whole, save
from s3prl_plugins.multitask.evaluation import saved_results, update_results

__all__ = ["write_choice"]


def write_choice(choice: Choice, target: Path, measuring: Measuring) -> dict[tuple[str, str], Scores]:
    """Write the chosen weights to `target` and score them on dev; returns those scores.

    The folder holds one checkpoint, without what training would need to go on, and `results.json`, whose `about.chosen`
    names rule, run, steps and every candidate's numbers; SD's and ASV's thresholds come with it. A rule that takes
    several checkpoints (`per-task`) writes one such folder for each, `target`/step-<N>, with the heads of the tasks it
    is best for, and `target`/results.json with the dev scores of all.

    :raises UserError: `target` exists, or dev cannot be scored; nothing is left behind then.
    """
    if target.exists():
        raise ConfigError(f"{target} exists; choose another name with -o or remove it")
    try:
        if not choice.by_task:
            return _one_model(choice, choice.steps, None, target, measuring)
        results: dict[tuple[str, str], Scores] = {}
        steps = sorted(set(choice.by_task.values()))
        for step in steps:
            tasks = [task for task, its in choice.by_task.items() if its == step]
            results |= _one_model(choice, (step,), tasks, target / f"step-{step}", measuring)
        about = saved_results(target / f"step-{steps[-1]}")["about"]
        update_results(target, steps[-1], results, {**about, "tasks": list(choice.by_task)})
        return results
    except UserError:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _one_model(
    choice: Choice, steps: Sequence[int], tasks: Sequence[str] | None, folder: Path, measuring: Measuring
) -> dict[tuple[str, str], Scores]:
    source = choice.candidates[steps[-1]]
    states = (load_tensors(choice.candidates[step], "model") for step in steps)
    model, config = average(states) if len(steps) > 1 else next(states), source.config
    if tasks is not None:
        model, config = _less(model, tasks), {**config, "tasks": list(tasks)}
        config["superb"] = {task: config["superb"][task] for task in tasks}
    args = {**source.args, "expdir": str(folder), "chosen": choice.about()}
    save(folder, source.step, args, config, {"model": model}, keep=1)
    return measuring.experiment(newest_whole(folder)[0]).evaluate("dev")


def _less(model: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, Any]:
    """The state of a joint model with these tasks only."""
    kept: dict[str, Any] = {
        part: {name: value for name, value in model[part].items() if name.partition(".")[0] in tasks}
        for part in ("featurizers", "heads")
    }
    return {**model, **kept, "labels": {task: model["labels"][task] for task in tasks}}
