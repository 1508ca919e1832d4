"""The four scenarios of arXiv 2110.09930 as data: each is a list of runs, with what every run needs first.

(a) `ssl`: encoder untouched, one head alone. (b-1) `all_task`: encoder and all heads jointly. (b-2) `leave_one_out`: the
same without one task. (c) `transfer`: the encoder of (b-2), frozen, with the head of the task it never saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from s3prl_plugins.config import load_yaml, merge, plain
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.heads.task import task_config
from s3prl_plugins.multitask.config import RunConfig, resolve, run_config, shipped_configs
from s3prl_plugins.multitask.scenario_config import LrSearchConfig, SingleTaskConfig
from s3prl_plugins.superb.cards import task_names

__all__ = ["Run", "all_task", "chosen_tasks", "leave_one_out", "ssl", "transfer"]

_OF_SWEEPS = ("ssl", "transfer", "heads")
"""Keys of a configuration that say how runs are made and are no part of any."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    name: str
    """Its folder below the sweep's, `leave_one_out/asr`; unique in a sweep."""
    config: dict[str, Any]
    """A configuration that stands alone."""
    trainable: bool = False
    """Whether the encoder is finetuned."""
    needs: tuple[str, ...] = ()
    """Runs that must be finished first."""
    encoder: str = ""
    """The run whose encoder it starts from; empty: what `-u` names."""
    heads: dict[str, str] = field(default_factory=dict)
    """Task -> the single-task run that its head and layer weights may start from."""
    rate: str = ""
    """The run whose learning-rate search it follows, if that was made."""
    search: LrSearchConfig | None = None
    """The learning-rate search to make first."""


def chosen_tasks(mapping: Mapping[str, Any], tasks: Sequence[str] | None) -> tuple[str, ...]:
    """`tasks`, or without them all tasks of a configuration.

    :raises ConfigError: one of `tasks` is not among those of the configuration.
    """
    known = run_config(mapping).tasks
    for name in task_names(tasks or known):
        if name not in known:
            raise ConfigError(f"--tasks names {name!r}, which config.tasks does not have; {nearest(name, known)}")
    return tuple(tasks or known)


def ssl(
    mapping: Mapping[str, Any], tasks: Sequence[str] | None = None, folds: Iterable[int] = (), search: bool = False
) -> list[Run]:
    """(a), one run a task; ER also for each of `folds` but the first.

    :param mapping: a configuration as in `configs/multitask/*.yaml`.
    :param search: choose each learning rate on dev first.
    """
    config = run_config(mapping)
    tries = config.ssl.lr_search if search else None
    runs = [
        Run(f"ssl/{task}", _alone(mapping, task, config.ssl, None), rate=f"ssl/{task}", search=tries)
        for task in chosen_tasks(mapping, tasks)
    ]
    for fold in _other_folds(config, folds):
        name = f"ssl_er_fold{fold}"
        runs.append(Run(name, _alone(_with_fold(mapping, fold), "er", config.ssl, None), rate=name, search=tries))
    return runs


def all_task(mapping: Mapping[str, Any], folds: Iterable[int] = (), with_leaks: bool = False) -> list[Run]:
    """(b-1); also for each of `folds` of ER but the first, and trained on what other tasks are tested on."""
    config = run_config(mapping)
    runs = [_joint(mapping, "all_task")]
    for fold in _other_folds(config, folds):
        run = _joint(_with_fold(mapping, fold), f"all_task_er_fold{fold}")
        # A head that was trained with the first fold has heard this fold's test session.
        runs.append(replace(run, heads={**run.heads, "er": f"ssl_er_fold{fold}"}))
    if with_leaks:
        runs.append(_joint({**mapping, "exclude_other_tests": False}, "all_task_with_leaks"))
    return runs


def leave_one_out(mapping: Mapping[str, Any], tasks: Sequence[str] | None = None) -> list[Run]:
    """(b-2), a run for each of `tasks` with all tasks of the configuration but that one."""
    pool = run_config(mapping).tasks
    if len(pool) < 2:
        raise ConfigError(f"leaving a task out needs at least two in config.tasks, found {', '.join(pool)}")
    return [
        _joint({**mapping, "tasks": [task for task in pool if task != left_out]}, f"leave_one_out/{left_out}")
        for left_out in chosen_tasks(mapping, tasks)
    ]


def transfer(mapping: Mapping[str, Any], tasks: Sequence[str] | None = None) -> list[Run]:
    """(c) for each of `tasks`, after the (b-2) run that never saw it. SpecAugment is that of the joint runs."""
    config = run_config(mapping)
    sources = leave_one_out(mapping, tasks)
    runs = []
    for task, source in zip(chosen_tasks(mapping, tasks), sources):
        alone = _alone(mapping, task, config.transfer, config.specaug)
        runs.append(Run(f"transfer/{task}", alone, needs=(source.name,), encoder=source.name, rate=f"ssl/{task}"))
    return sources + runs


def _joint(mapping: Mapping[str, Any], name: str) -> Run:
    config = _standing_alone(mapping)
    return Run(name, config, True, heads={task: f"ssl/{task}" for task in config["tasks"]})


def _alone(
    mapping: Mapping[str, Any], task: str, changes: SingleTaskConfig, specaug: dict[str, Any] | None
) -> dict[str, Any]:
    """One head on a frozen encoder by its task's own recipe.

    :param specaug: None takes the recipe's, which only ASR and SF have.
    """
    base = run_config(mapping)
    given = {**((mapping.get("superb") or {}).get(task) or {})}
    given.pop("train_batch", None)
    file = load_yaml(shipped_configs() / "superb" / f"{task}_{base.size}.yaml")
    superb = merge(merge(file, given), changes.superb.get(task, {}))
    recipe = (own := task_config(superb, f"config.superb.{task}")).recipe
    runner = {
        "total_steps": changes.steps or recipe.steps, "warmup_steps": 0, "schedule": "constant",
        "gradient_accumulate_steps": recipe.accumulate, "gradient_clipping": {"total": recipe.clip},
        "eval_at_start": False,
    }  # fmt: skip
    optimizer = {"name": recipe.optimizer, "lr": recipe.lr}
    alone = {
        **mapping,
        "tasks": [task],
        "superb": {task: superb},
        "specaug": specaug if specaug is not None else own.specaug,
        "encoder": {**plain(base.encoder), "conv_grad_mult": None, "crops": changes.crops or base.encoder.crops},
        "featurizer": "per_task",
        "exclude_other_tests": False,
        "masked_prediction": None,
        "balancer": {"name": "fixed"},
        "optimizer": {"upstream": optimizer, "heads": optimizer},
        "runner": {**plain(base.runner), **runner},
    }
    return _standing_alone(alone)


def _standing_alone(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved and checked, without what only sweeps know."""
    config: dict[str, Any] = plain(resolve({key: value for key, value in mapping.items() if key not in _OF_SWEEPS}))
    run_config(config)
    return config


def _with_fold(mapping: Mapping[str, Any], fold: int) -> dict[str, Any]:
    return merge(mapping, {"superb": {"er": {"corpus": {"fold": f"fold{fold}"}}}})


def _other_folds(config: RunConfig, folds: Iterable[int]) -> list[int]:
    others = [fold for fold in folds if fold != 1]
    if others and "er" not in config.tasks:
        raise ConfigError("--er-folds needs task 'er' among config.tasks; add it, or leave --er-folds out")
    return others
