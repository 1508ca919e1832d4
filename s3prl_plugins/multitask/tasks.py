"""The corpora of a joint run: one reader a task, splits read when first needed, leaks between tasks left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s3prl_plugins.errors import CorpusError
from s3prl_plugins.heads.contract import Example, Reader
from s3prl_plugins.heads.leaks import find_leaks, leaked_names
from s3prl_plugins.heads.task import TaskConfig, build_reader
from s3prl_plugins.problems import Problems

__all__ = ["TaskData", "read_tasks", "training_examples", "without_leaks"]


@dataclass
class TaskData:
    """One task's reader and the splits it has read."""

    config: TaskConfig
    reader: Reader
    _splits: dict[str, list[Example]] = field(default_factory=dict)

    def examples(self, split: str) -> list[Example]:
        """The utterances of a split; an empty split is an error."""
        if split not in self._splits:
            self._splits[split] = self.reader.examples(split, Problems())
        if not self._splits[split]:
            raise CorpusError(f"split {split!r} of task {self.config.task!r} is empty; check its corpus settings")
        return self._splits[split]

    @property
    def read(self) -> Mapping[str, list[Example]]:
        """The splits read so far."""
        return self._splits

    def labels(self) -> Any:
        """The label inventory, from the training split."""
        return self.reader.labels(Problems())


def read_tasks(configs: Mapping[str, TaskConfig], root: Path) -> dict[str, TaskData]:
    """A reader for every task; nothing but the index files is read yet."""
    return {name: TaskData(config, build_reader(config, root)) for name, config in configs.items()}


def training_examples(tasks: Mapping[str, TaskData], exclude_other_tests: bool) -> dict[str, list[Example]]:
    """Every task's training utterances; what is left out is said."""
    training = {name: data.examples(data.config.card.train) for name, data in tasks.items()}
    if not exclude_other_tests:
        return training
    kept = without_leaks(tasks)
    for name, examples in kept.items():
        if dropped := len(training[name]) - len(examples):
            tqdm.write(f"[multitask] {name}: {dropped} training utterances that other tasks evaluate on are left out")
    return kept


def without_leaks(tasks: Mapping[str, TaskData]) -> dict[str, list[Example]]:
    """Every task's training utterances, less those that another task evaluates on (dev or test)."""
    training = {name: data.examples(data.config.card.train) for name, data in tasks.items()}
    held_out = {
        name: {split: data.examples(split) for split in (data.config.card.dev, data.config.card.test)}
        for name, data in tasks.items()
    }
    leaked = leaked_names(find_leaks(training, held_out))
    kept = {name: [e for e in examples if e.name not in leaked.get(name, ())] for name, examples in training.items()}
    for name, examples in kept.items():
        if not examples:
            raise CorpusError(
                f"every training utterance of task {name!r} is in another task's dev or test; "
                "set config.exclude_other_tests to false or choose other tasks"
            )
    return kept
