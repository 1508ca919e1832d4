"""The training loop: every step sees every task, one task's graph at a time."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm

from s3prl_plugins.logs import MetricLogger, task_metric
from s3prl_plugins.multitask.balancers import Balancer
from s3prl_plugins.multitask.config import RunnerConfig
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.optim import Optimizers, clip_gradients
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.seeding import seeded

__all__ = ["Trainer"]


@dataclass
class Trainer:
    """Joint training of a model from a step to the end.

    In a step each task in turn draws its batch, goes forward and backward, and frees its graph; gradients add up.
    Activation memory is that of one task. Dropout and SpecAugment depend on (seed, step, task) only.
    """

    model: JointModel
    streams: Mapping[str, TaskStream]
    optimizers: Optimizers
    balancer: Balancer
    config: RunnerConfig
    seed: int
    logger: MetricLogger
    save: Callable[[int], None]
    evaluate: Callable[[int], None]

    def run(self, first: int) -> None:
        """Train from step `first` (1 for a new run) to `total_steps`, logging, evaluating and saving on the way."""
        config = self.config
        self.model.train()
        parts, meter = self.model.parts(), _Meter()
        with tqdm(total=config.total_steps, initial=first - 1, desc="joint", unit="step", dynamic_ncols=True) as bar:
            for step in range(first, config.total_steps + 1):
                self._step(step, parts, meter)
                bar.update()
                if step % config.log_step == 0 or step == config.total_steps:
                    entry = meter.flush()
                    rates = {f"train/lr/{part}": rate for part, rate in self.optimizers.rates(step).items()}
                    self.logger.log(step, entry | rates)
                    bar.set_postfix({task: f"{entry[task_metric('train', task, 'loss')]:.2f}" for task in self.streams})
                last = step == config.total_steps
                if config.eval_step and step % config.eval_step == 0 and not last:
                    self.evaluate(step)
                if step % config.save_step == 0 or last:
                    self.save(step)

    def _step(self, step: int, parts: Mapping[str, list[nn.Parameter]], meter: _Meter) -> None:
        weights = self.balancer.weights(step)
        self.optimizers.zero_grad()
        accumulate = self.config.gradient_accumulate_steps
        for micro in range(accumulate):
            for task, stream in self.streams.items():
                batch = stream.next()
                with seeded(self.seed, "step", step, micro, task):
                    loss = self.model.loss(task, batch).mean
                torch.autograd.backward(loss * (weights[task] / accumulate))
                meter.add(task_metric("train", task, "loss"), float(loss.detach()))
                meter.seconds += batch.seconds
        norms = clip_gradients(parts, self.config.gradient_clipping)
        for part, norm in norms.items():
            meter.add(f"train/grad_norm/{part}", norm)
        if all(math.isfinite(norm) for norm in norms.values()):
            self.optimizers.step(step)
        else:
            broken = ", ".join(part for part, norm in norms.items() if not math.isfinite(norm))
            tqdm.write(f"[multitask] step {step}: gradient of {broken} is not finite; the step is left out")
            meter.skipped += 1


class _Meter:
    """Means since the last log entry, and audio throughput."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        self.seconds, self.skipped, self._start = 0.0, 0, time.perf_counter()

    def add(self, name: str, value: float) -> None:
        self._values[name].append(value)

    def flush(self) -> dict[str, float]:
        entry = {name: sum(values) / len(values) for name, values in self._values.items()}
        entry["train/audio_seconds_per_second"] = self.seconds / (time.perf_counter() - self._start)
        entry["train/skipped_steps"] = float(self.skipped)
        self._reset()
        return entry
