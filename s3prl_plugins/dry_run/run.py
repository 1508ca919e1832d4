"""`--dry-run`: build a joint run, count what it costs, try two steps of it, and say so; nothing is written."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl_plugins.corpora.check import Report, check
from s3prl_plugins.dry_run.costs import Cost
from s3prl_plugins.dry_run.fake_tasks import INVENTORIES, MEAN_SECONDS, FakeReader, fake_speech, fake_stream
from s3prl_plugins.dry_run.gpus import known_gpus
from s3prl_plugins.dry_run.run_costs import RunCosts
from s3prl_plugins.dry_run.text import Facts, Load, as_text
from s3prl_plugins.errors import CheckpointError
from s3prl_plugins.heads.task import TaskConfig, build_reader
from s3prl_plugins.logs import task_metric
from s3prl_plugins.multitask.balancers import build_balancer
from s3prl_plugins.multitask.config import RunConfig, run_config
from s3prl_plugins.multitask.experiment import Experiment
from s3prl_plugins.multitask.optim import Optimizers
from s3prl_plugins.multitask.ssl_config import SSL
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.multitask.tasks import TaskData
from s3prl_plugins.multitask.trainer import Trainer
from s3prl_plugins.problems import Problems
from s3prl_plugins.upstream.hubert.checkpoint import random_checkpoint, write_checkpoint

__all__ = ["dry_run"]

_BASE = ("hubert", "hubert_base", "hubert_local")
"""Upstreams for which HuBERT Base with random weights can stand in."""


def dry_run(args: argparse.Namespace, config: Mapping[str, Any], gpu: str | None = None) -> str:
    """What a joint run would be and cost, as text.

    Corpora that are missing or faulty are named, and label inventories of SUPERB's sizes and mean lengths of its
    utterances take their place; so does HuBERT Base with random weights if its checkpoint cannot be had.

    :param args: s3prl's `run_downstream` arguments, as `Experiment` takes them.
    :param config: a mapping as in `configs/multitask/*.yaml`.
    :param gpu: a key of `gpus.PEAKS`; None estimates for all.
    :raises UserError: whatever else is wrong with arguments or configuration.
    """
    gpus, run = known_gpus(gpu), run_config(config)
    report = check(run.task_configs, run.corpus_root, audio=False)
    tasks = {name: _stand_in(task, report, run.corpus_root, args.seed) for name, task in run.task_configs.items()}
    experiment, replaced = _experiment(args, config, tasks)
    loads = {name: _load(run, name, report, args.seed) for name in run.tasks}
    costs = RunCosts.of(experiment, args.seed)
    for name, load in loads.items():
        each = [costs.batch(name, batch) for batch in load.batches]
        heaviest = max(each, key=lambda cost: cost.saved)
        load.cost, load.graph, load.largest = sum(each, Cost()) * (1 / len(each)), heaviest.saved, each.index(heaviest)
        load.recurrent = sum(costs.recurrent(name, batch) for batch in load.batches) / len(each)
    optimizers = Optimizers(
        experiment.model.parts(), run.optimizer, run.runner.warmup_steps, run.runner.total_steps, run.runner.schedule
    )
    losses, seconds, row_bytes = _two_steps(experiment, optimizers)
    states = sum(
        value.numel() * value.element_size() for value in _tensors(optimizers.state_dict()) if value.is_floating_point()
    )
    return as_text(
        Facts(args, run, report, experiment.model, replaced, loads, states, row_bytes, losses, seconds, gpus)
    )


def _stand_in(config: TaskConfig, report: Report, root: Path, seed: int) -> TaskData:
    """A task with fake audio; its labels are the corpus's if there is nothing wrong with it."""
    task = config.task
    absent = bool(report.tasks[task].problems) and task in INVENTORIES
    inventory = INVENTORIES[task] if absent else build_reader(config, root).labels(Problems(gather=True))
    return TaskData(config, FakeReader(config.card, inventory, seed))


def _experiment(
    args: argparse.Namespace, config: Mapping[str, Any], tasks: Mapping[str, TaskData]
) -> tuple[Experiment, str]:
    """The run, and why its encoder is another one than asked for (empty if it is not)."""
    try:
        return Experiment(args, config, tasks), ""
    except CheckpointError as error:
        if args.upstream not in _BASE or args.past_exp or args.init_ckpt:
            raise
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "base.pt"
            write_checkpoint(path, random_checkpoint("base", args.seed))
            other = {**vars(args), "upstream": "hubert_local", "upstream_ckpt": str(path)}
            reason = type(error.__cause__).__name__ if error.__cause__ else "no checkpoint there"
            return Experiment(argparse.Namespace(**other), config, tasks), reason


def _load(run: RunConfig, task: str, report: Report, seed: int) -> Load:
    """The batches of a task's first epoch, or one of mean length where the corpus is missing or faulty."""
    config, found = run.task_configs[task], report.tasks[task]
    batch = config.train_batch
    left_out = report.leaked.get(task, set()) if run.exclude_other_tests else set()
    examples = [example for example in found.examples[config.card.train] if example.name not in left_out]
    if found.problems or not examples:
        mean = MEAN_SECONDS[task]
        size = min(batch.size, max(1, int(batch.seconds // mean))) if batch.seconds else batch.size
        return Load([[mean] * size], measured=False, left_out=len(left_out))
    stream = TaskStream(FakeReader(config.card, None, seed), examples, batch, seed, config.balanced)
    batches = [[examples[index].seconds for index in indices] for indices in stream.plan(0)]
    return Load(batches, measured=True, left_out=len(left_out))


def _two_steps(experiment: Experiment, optimizers: Optimizers) -> tuple[list[dict[str, float]], float, int]:
    """Two optimizer steps on fake audio: every task's loss in each, the seconds of the second, and the bytes of gradients
    that were kept per task."""
    run, seed = experiment.config, experiment.args.seed
    streams = {name: fake_stream(data, seed) for name, data in experiment.tasks.items()}
    if run.masked_prediction is not None:
        streams[SSL] = fake_speech(run.masked_prediction, seed)
    runner = replace(
        run.runner, total_steps=2, warmup_steps=0, gradient_accumulate_steps=1, log_step=1, eval_step=0, save_step=2
    )
    log = _Log()
    balancer = build_balancer(run.balancer, run.streams)
    trainer = Trainer(experiment.model, streams, optimizers, balancer, runner, seed, log, log.ignore, log.ignore)
    trainer.run(1)
    losses = [{task: entry[task_metric("train", task, "loss")] for task in run.streams} for entry in log.entries]
    return losses, log.times[1] - log.times[0], trainer.gradients.row_bytes


class _Log:
    """Keeps what a trainer logs, and when."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, float]] = []
        self.times: list[float] = []

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.entries.append(values)
        self.times.append(time.perf_counter())

    def ignore(self, step: int) -> None:
        """Takes the place of saving and evaluating."""

    def close(self) -> None:
        pass


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for item in inner for tensor in _tensors(item)]
