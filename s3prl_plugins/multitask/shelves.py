"""What a run on a frozen encoder stores: each task's kind, how much of the budget it is worth, and one shelf a task."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from s3prl_plugins.features.budget import Wanted, parse_size, plan, used
from s3prl_plugins.features.filling import OVERHEAD
from s3prl_plugins.features.identity import Utterance, describe, identity
from s3prl_plugins.features.store import FeatureStore
from s3prl_plugins.features.utterances import training_draw, utterance
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.multitask.config import EncoderConfig, RunConfig, RunnerConfig
from s3prl_plugins.multitask.frozen import Shelf
from s3prl_plugins.multitask.tasks import TaskData
from s3prl_plugins.multitask.trunk import Trunk

__all__ = ["Storage", "task_kind", "why_nothing_is_stored"]


def task_kind(task: str, config: RunConfig) -> str:
    """The kind of a task's states: means over time where its head sees no more, else frames.

    SpecAugment masks and warps frames, so a run with it needs them.
    """
    pooled = config.task_configs[task].card.pooled and config.specaug is None
    return "pooled" if pooled else config.encoder.store_kind


def why_nothing_is_stored(encoder: EncoderConfig, processes: int = 1) -> str:
    """What keeps a run on a frozen encoder from storing states; empty if nothing does."""
    if processes > 1:
        return "several processes train this run; one alone, with a store, is faster"
    if encoder.store == "none":
        return "config.encoder.store is 'none'"
    if encoder.padding != "none":
        return f"config.encoder.padding is {encoder.padding!r}, so states depend on an utterance's neighbours"
    return ""


@dataclass
class Storage:
    """Opens the feature store of a run.

    :param folder: of the store; nothing is written before states are.
    :param trunk: frozen, with its final weights.
    :param tasks: whose splits have been read as far as they will be used.
    :param normalize: whether states are layer-normalised before they are summed.
    :param shared: whether other runs use the folder, so that what this one hears once is worth storing too.
    """

    folder: Path
    trunk: Trunk
    tasks: Mapping[str, TaskData]
    config: RunConfig
    seed: int
    normalize: bool
    shared: bool

    def shelves(self) -> dict[str, Shelf]:
        """A shelf for every task. One line says what is stored and what the budget leaves out.

        Tasks of one kind on one corpus share a store: ASR and PR hear the same utterances.
        """
        groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for task, data in self.tasks.items():
            groups[task_kind(task, self.config), data.config.card.layout].append(task)
        trunk, about = self.trunk, describe(self.trunk.upstream, self.trunk.selection, self.trunk.layer)
        digests = {
            flag: identity(trunk.upstream, trunk.selection, trunk.layer, flag)
            for flag in {self.normalize and kind == "pooled" for kind, _ in groups}
        }
        shape = trunk.describe()
        wanted, members = [], {}
        for (kind, _), tasks in groups.items():
            normalized = self.normalize and kind == "pooled"
            store = FeatureStore(self.folder, digests[normalized], kind, about=about)
            wanted.append(self._wanted("+".join(tasks), tasks, store, shape))
            members["+".join(tasks)] = (tasks, store, normalized)
        budget = max(0, parse_size(self.config.encoder.store_budget) - used(self.folder))
        shares = plan(wanted, budget)
        tqdm.write(f"[multitask] {shares.note}")
        spare = (budget - sum(shares.rooms.values())) // len(wanted)
        found: dict[str, Shelf] = {}
        for group in wanted:
            tasks, store, normalized = members[group.task]
            store.room = shares.rooms[group.task]
            if store.room == group.bytes:
                store.room += spare  # for what is there but damaged
            found |= dict.fromkeys(tasks, Shelf(store, normalized, keep=store.room > 0))
        return found

    def _wanted(self, name: str, tasks: list[str], store: FeatureStore, shape: tuple[int, int]) -> Wanted:
        """What is not there yet of a group's utterances."""
        seconds: dict[Utterance, float] = {}
        visits = 0.0
        for task in tasks:
            for split, examples in self.tasks[task].read.items():
                found = self._storable(task, split)
                visits += len(found) / len(examples) * self._visits(task, split)
                seconds |= found
        if store.folder.is_dir():
            seconds = {entry: length for entry, length in seconds.items() if not store.has(entry)}
        layers, dim = shape
        frames = [math.ceil(length * SAMPLE_RATE / self.trunk.rate) for length in seconds.values()]
        size = sum(OVERHEAD + store.kind.size(layers, count, dim) for count in frames)
        passes = visits / max(1, len(seconds)) + self.shared
        return Wanted(name, store.kind.name, sum(seconds.values()), size, passes)

    def _storable(self, task: str, split: str) -> dict[Utterance, float]:
        """Utterances of a split whose states can be stored -> seconds of audio."""
        data = self.tasks[task]
        draw = training_draw(self.config.encoder.crops, self.seed) if split == data.config.card.train else None
        keys = ((utterance(data.reader, example, draw), example.seconds) for example in data.read[split])
        return {key: length for key, length in keys if key is not None}

    def _visits(self, task: str, split: str) -> float:
        """How many utterances of a split the run hears, those it hears again included."""
        data, runner = self.tasks[task], self.config.runner
        if split == data.config.card.train:
            return runner.total_steps * runner.gradient_accumulate_steps * data.config.train_batch.size
        return len(data.read[split]) * _evaluations(runner)


def _evaluations(runner: RunnerConfig) -> int:
    """How often a split is evaluated at most: the last time is after training."""
    during = math.ceil(runner.total_steps / runner.eval_step) if runner.eval_step else 0
    return 1 + during + runner.eval_at_start
