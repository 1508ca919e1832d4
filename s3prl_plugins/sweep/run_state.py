"""What a run's folder says: finished, begun, or made with other settings than those asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from s3prl_plugins.config import plain
from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import run_config
from s3prl_plugins.multitask.evaluation import saved_results
from s3prl_plugins.multitask.stock import stock_args

__all__ = ["check_same", "is_finished", "newest"]

_HARMLESS = {
    "corpus_root", "ssl", "transfer", "heads", "encoder.store_budget",
    *(f"runner.{name}" for name in ("log_step", "eval_step", "eval_splits", "eval_at_start", "save_step", "max_keep",
                                    "num_workers")),
}  # fmt: skip
"""Settings that change no score; a run may go on with others."""

_ARGUMENTS = (
    "upstream", "upstream_ckpt", "upstream_model_config", "upstream_trainable", "upstream_feature_selection",
    "upstream_layer_selection", "upstream_feature_normalize", "seed", "init_upstream",
)  # fmt: skip
_PATHS = ("upstream_ckpt", "upstream_model_config", "init_upstream")
"""Compared by the name alone, since folders move."""


def newest(folder: Path) -> checkpoint.Checkpoint | None:
    """The newest `states-<step>.ckpt` that can be read, its tensors unchecked; None where there is none."""
    for path in reversed(checkpoint.find(folder)):
        with contextlib.suppress(CheckpointError):
            return checkpoint.read(path)
    return None


def is_finished(folder: Path, config: Mapping[str, Any], splits: list[tuple[str, str]]) -> bool:
    """Whether `results.json` holds the scores of all (task, split) pairs at the run's last step."""
    results = saved_results(folder)
    scores = results.get("scores", {})
    at_end = results.get("step") == config["runner"]["total_steps"]
    return at_end and all(split in scores.get(task, {}) for task, split in splits)


def check_same(folder: Path, args: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse a folder that was made with another configuration, seed or upstream than those asked for.

    :param args: s3prl's arguments of the run.
    :param config: its configuration.
    :raises ConfigError: names the first setting that differs.
    """
    args, saved = vars(stock_args(**args)), newest(folder)
    if saved is None:
        about = saved_results(folder).get("about", {})
        found = {key: about[key] for key in ("upstream", "upstream_ckpt", "seed") if key in about}
        _compare(folder, _comparable({**args, **found}), _comparable(args))
        return
    _compare(folder, _comparable(saved.args), _comparable(args))
    _compare(folder, _settings(saved.config), _settings(config))


def _compare(folder: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for key in sorted(found.keys() | asked.keys(), key=lambda key: (key not in ("config.size", "config.tasks"), key)):
        if found.get(key) != asked.get(key):
            raise ConfigError(
                f"{folder} was made with {key} = {found.get(key)!r}, now asked for is {asked.get(key)!r}; "
                "choose another folder with -p, or remove this one"
            )


def _comparable(args: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {key: args.get(key) for key in _ARGUMENTS}
    values["init_heads"] = sorted(args.get("init_heads") or ())
    return values | {key: Path(values[key]).name for key in _PATHS if values[key]}


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_flat(plain(run_config(config)), ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if key in _HARMLESS:
        return
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield f"config.{key}", ("none" if value == "none" else "a folder") if key == "encoder.store" else value
