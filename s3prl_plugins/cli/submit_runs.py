"""What an experiment's folder tells about itself: a joint run of ours, or an experiment of stock s3prl."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from s3prl_plugins.config import merge, parse_yaml
from s3prl_plugins.errors import ConfigError, UserError
from s3prl_plugins.files import parse_checked
from s3prl_plugins.heads.task import TaskConfig
from s3prl_plugins.multitask import checkpoint
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.er_folds import er_fold
from s3prl_plugins.results import checked_results
from s3prl_plugins.superb.submission import ER_FOLDS, SLOTS, Slot, slot

__all__ = ["Run", "joint_runs", "named_runs"]


@dataclass(frozen=True)
class Run:
    """One experiment's folder."""

    folder: Path

    def place(self, slot: Slot) -> Path:
        """Where its prediction files of a part lie: in a folder of the task (ours), or at once (stock s3prl)."""
        return self.folder / slot.task if self.is_ours(slot) else self.folder

    def files(self, slot: Slot) -> dict[str, Path]:
        """A part's files, as `Slot.files`; empty where its predictions are missing."""
        found = slot.files(self.place(slot))
        return found if any(path.name != "frame_shift" for path in found.values()) else {}

    def is_ours(self, slot: Slot) -> bool:
        return (self.folder / slot.task).is_dir()

    @cached_property
    def _checkpoint(self) -> checkpoint.Checkpoint | None:
        """Of stock s3prl's checkpoints, which hold whole models, none is opened."""
        if not (self.folder / "checkpoints").is_dir():
            return None
        for path in reversed(checkpoint.find(self.folder)):
            try:
                return checkpoint.read(path)
            except UserError:
                continue
        return None

    @cached_property
    def results(self) -> dict[str, Any]:
        """The content of results.json; empty where there is none."""
        try:
            return checked_results(parse_checked((self.folder / "results.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    @property
    def config(self) -> dict[str, Any]:
        """The configuration by the newest checkpoint; empty where there is none."""
        return self._checkpoint.config if self._checkpoint else {}

    @property
    def about(self) -> dict[str, Any]:
        """What results.json says of the run."""
        return dict(self.results.get("about", {}))

    @property
    def corpus_root(self) -> Path | None:
        """The corpora it was made with, if they are still there."""
        root = self.config.get("corpus_root")
        return Path(root) if root and Path(root).is_dir() else None

    @property
    def trained_fold(self) -> str:
        """The fold of emotion recognition that the run kept out of training; empty where nothing tells."""
        return (er_fold(self.config) if self.config else self.about.get("er_fold")) or ""

    @property
    def finetuned(self) -> bool | None:
        """Whether the encoder was trained too; None where nothing tells."""
        if "finetuned" in self.about:
            return bool(self.about["finetuned"])
        args: Mapping[str, Any] = self._checkpoint.args if self._checkpoint else self._stock_args()
        return bool(args["upstream_trainable"]) if "upstream_trainable" in args else None

    @property
    def leaks(self) -> bool:
        """Whether utterances that one task is tested on may have trained another."""
        several = len(self.config.get("tasks", ())) > 1
        return several and self.finetuned is True and self.config.get("exclude_other_tests") is False

    def score(self, slot: Slot) -> str:
        """The part's score on test by results.json; empty where there is none."""
        scores = self.results.get("scores", {}).get(slot.task, {}).get(slot.card.test, {})
        metric = slot.card.best_metric
        name = f"{metric.name}_lm" if slot.language_model else metric.name
        if name not in scores or not self.is_ours(slot):
            return ""
        return f"{name} {scores[name]:.2f}{metric.unit}" if metric.unit else f"{name} {scores[name]:.4f}"

    def task_configs(self, slot: Slot) -> list[TaskConfig | None]:
        """How a part's corpus may be read: as the run read it, else as the paper or mini configuration does."""
        if slot.task == "qbe":
            return [None]
        given = self.config
        superb: dict[str, Any] = {slot.task: given.get("superb", {}).get(slot.task) or {}}
        if slot.fold:
            superb = merge(superb, {"er": {"corpus": {"fold": slot.fold}}})
        sizes = [given["size"]] if "size" in given else ["paper", "mini"]
        return [task_configs({"size": size, "tasks": [slot.task], "superb": superb})[slot.task] for size in sizes]

    def _stock_args(self) -> Mapping[str, Any]:
        for path in sorted(self.folder.glob("args_*.yaml"), key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                content = parse_yaml(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError):
                continue
            if isinstance(content, dict):
                return content
        return {}


def joint_runs(folder: Path) -> dict[str, Run]:
    """Part -> run, of a joint run's folder or a sweep's; only parts that have prediction files of test.

    :raises ConfigError: there is none.
    """
    base = Run(folder / "all_task" if (folder / "all_task").is_dir() else folder)
    runs = dict.fromkeys(SLOTS, base)
    for name in ER_FOLDS:
        if (folder / f"all_task_{name}").is_dir():
            runs[name] = Run(folder / f"all_task_{name}")
    found = {name: run for name, run in runs.items() if run.is_ours(SLOTS[name]) and run.files(SLOTS[name])}
    if not found:
        raise ConfigError(
            f"--all-task {folder} holds no prediction file of a test split; name a joint run's folder that was evaluated"
        )
    return found


def named_runs(pairs: Iterable[str]) -> dict[str, Run]:
    """Part -> run, of `NAME=DIR` strings."""
    runs: dict[str, Run] = {}
    for pair in pairs:
        name, equals, folder = pair.partition("=")
        if not equals or not folder:
            raise ConfigError(f"--task takes NAME=DIR, found {pair!r}; for example ks=result/ks")
        part, place = slot(name), Path(folder)
        if part.name in runs:
            raise ConfigError(f"--task names {part.name!r} twice; give one folder for it")
        if not place.is_dir():
            raise ConfigError(f"--task {pair}: there is no such folder; name the experiment's")
        # A task's folder inside a joint run stands for the run, which tells more.
        inside = place.absolute().name == part.task and (place.absolute().parent / "checkpoints").is_dir()
        runs[part.name] = Run(place.absolute().parent if inside else place)
    return runs
