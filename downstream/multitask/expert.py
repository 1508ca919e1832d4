"""The joint heads as an s3prl `DownstreamExpert`, for programs that build one themselves.

`python -m s3prl.run_downstream -d multitask` does not come here: it gets the joint runner, which sees every task in every
step. Under s3prl's own runner one batch is one task's, tasks take turns at random, and all share one featurizer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from s3prl_plugins.heads.contract import Example, Head
from s3prl_plugins.heads.task import build_head
from s3prl_plugins.logs import task_metric
from s3prl_plugins.multitask.config import task_configs
from s3prl_plugins.multitask.streams import Batch, TaskStream, evaluation_batches
from s3prl_plugins.multitask.tasks import read_tasks, without_leaks
from s3prl_plugins.seeding import derive, seeded

__all__ = ["DownstreamExpert"]


class DownstreamExpert(nn.Module):
    """Heads, data and scores of the tasks that the configuration names.

    :param upstream_dim: width of the features.
    :param upstream_rate: samples per frame.
    :param expdir: where prediction files go, one folder a task.
    :param corpus_root: as in `configs/multitask/*.yaml`, like the four that follow; of that file's other keys
        `optimizer`, `runner` and `specaug` are for s3prl's runner and written its way.
    """

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        expdir: str,
        corpus_root: str,
        size: str,
        tasks: Sequence[str],
        superb: Mapping[str, Any],
        exclude_other_tests: bool = True,
        seed: int = 1337,
        **_: Any,
    ) -> None:
        super().__init__()
        self.expdir, self.seed, self.exclude_other_tests = Path(expdir), seed, exclude_other_tests
        self.data = read_tasks(task_configs({"size": size, "tasks": tasks, "superb": superb}), Path(corpus_root))
        self.heads = nn.ModuleDict()
        for name, data in self.data.items():
            with seeded(self.seed, name, "head"):
                head = build_head(data.config, data.labels(), upstream_dim, upstream_rate)
            self.heads[name] = cast(nn.Module, head)
        self._training: dict[str, list[Example]] | None = None
        self._calibrations: dict[str, dict[str, float]] = {}

    def get_dataloader(self, split: str, epoch: int = 0) -> _Turns:
        """Batches (waves, task, examples) of all tasks, each task's utterances once; in training in random turns."""
        if split != "train":
            return _Turns([self._evaluation(name, split) for name in self.data], None)
        if self._training is None:
            whole = {name: data.examples(data.config.card.train) for name, data in self.data.items()}
            self._training = without_leaks(self.data) if self.exclude_other_tests else whole
        parts = []
        for name, data in self.data.items():
            stream = TaskStream(
                data.reader, self._training[name], data.config.train_batch, self.seed, data.config.balanced
            )
            stream.load_state_dict({"epoch": epoch, "batch": 0, "examples": len(self._training[name])})
            count = len(stream.plan(epoch))
            parts.append((name, count, _take(stream, count)))
        return _Turns(parts, random.Random(derive(self.seed, "turns", epoch)))

    def _evaluation(self, name: str, split: str) -> tuple[str, int, Iterator[Batch]]:
        data = self.data[name]
        count, batches = evaluation_batches(
            data.reader, data.examples(data.config.card.split(split)), data.config.eval_batch
        )
        return name, count, batches

    def forward(
        self, split: str, features: list[Tensor], task: str, examples: list[Example], records: dict[str, Any], **_: Any
    ) -> Tensor:
        """The mean loss of one task's batch; in evaluation predictions go to `records`."""
        head, card = cast(Head, self.heads[task]), self.data[task].config.card
        loss = torch.zeros((), device=features[0].device)
        if split == "train" or not card.open_set:
            loss = head.loss(features, [example.label for example in examples]).mean
            records[task_metric(split, task, "loss")].append(float(loss.detach()))
        if split != "train":
            records[f"{task}/predictions"] += head.predict(features, examples)
        return loss

    def log_records(self, split: str, records: dict[str, Any], logger: Any, global_step: int, **_: Any) -> list[str]:
        """Log mean losses and, in evaluation, scores; write prediction files. No checkpoint is asked for."""
        entries = {name: sum(values) / len(values) for name, values in records.items() if name.endswith("/loss")}
        for task in self.data if split != "train" else ():
            head, card = cast(Head, self.heads[task]), self.data[task].config.card
            predictions = sorted(records[f"{task}/predictions"], key=lambda prediction: prediction.name)
            if split == "dev" and card.calibrated:
                self._calibrations[task] = head.calibrate(predictions)
            scores = head.score(predictions, self._calibrations.get(task, {}))
            entries |= {task_metric(split, task, metric): value for metric, value in scores.items()}
            (self.expdir / task).mkdir(parents=True, exist_ok=True)
            head.write(predictions, card.split(split), self.expdir / task)
        for name, value in entries.items():
            logger.add_scalar(name, value, global_step=global_step)
        return []


class _Turns:
    """Batches of several tasks one after the other, or in random turns; sized and iterated once, as s3prl does."""

    def __init__(self, parts: list[tuple[str, int, Iterator[Batch]]], draw: random.Random | None) -> None:
        self._batches = {name: batches for name, _, batches in parts}
        self._turns = [name for name, count, _ in parts for _ in range(count)]
        if draw is not None:
            draw.shuffle(self._turns)

    def __len__(self) -> int:
        return len(self._turns)

    def __iter__(self) -> Iterator[tuple[list[Any], str, list[Example]]]:
        for name in self._turns:
            batch = next(self._batches[name])
            yield [wave.numpy() for wave in batch.waves if wave is not None], name, batch.examples


def _take(stream: TaskStream, count: int) -> Iterator[Batch]:
    for _ in range(count):
        yield stream.next()
