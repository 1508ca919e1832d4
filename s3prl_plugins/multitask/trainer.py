"""The training loop: every step sees every task, one task's graph at a time."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from tqdm import tqdm

from s3prl_plugins.balancers import Balancer
from s3prl_plugins.errors import Interrupted
from s3prl_plugins.logs import MetricLogger, task_metric
from s3prl_plugins.multitask.affinity import affinities
from s3prl_plugins.multitask.config import RunnerConfig
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.optim import Optimizers, clip_gradients
from s3prl_plugins.multitask.ranks import ALONE, Ranks
from s3prl_plugins.multitask.step import JointStep, StepGradients
from s3prl_plugins.multitask.streams import TaskStream
from s3prl_plugins.stopping import Stop

__all__ = ["Trainer"]


@dataclass
class Trainer:
    """Joint training of a model from a step to the end.

    In a step each task in turn draws its batch, goes forward and backward, and frees its graph: activation memory is
    that of one task. A task whose loss or gradient is not finite, or that runs out of memory even with half a batch, is
    left out of the step, the others go on; what is left out is counted in the log.
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
    ranks: Ranks = ALONE
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        self.meter = _Meter(self.streams)
        accumulate = self.config.gradient_accumulate_steps
        self.gradients = JointStep(self.model, self.streams, self.balancer, accumulate, self.seed, self.ranks)

    def run(self, first: int) -> None:
        """Train from step `first` (1 for a new run) to `total_steps`, logging, evaluating and saving on the way.

        :raises Interrupted: asked to stop; the state is saved.
        """
        config = self.config
        self.model.train()
        parts, meter = self.model.parts(), self.meter
        shown = {"desc": "joint", "unit": "step", "dynamic_ncols": True, "disable": not self.ranks.leads}
        with tqdm(total=config.total_steps, initial=first - 1, **shown) as bar:
            for step in range(first, config.total_steps + 1):
                logged = step % config.log_step == 0 or step == config.total_steps
                self._step(step, parts, meter, logged)
                bar.update()
                if logged:
                    entry = meter.flush(*self.ranks.sum(meter.seconds))
                    rates = {f"train/lr/{part}": rate for part, rate in self.optimizers.rates(step).items()}
                    self.logger.log(step, entry | rates)
                    bar.set_postfix({task: f"{entry[task_metric('train', task, 'loss')]:.2f}" for task in self.streams})
                last = step == config.total_steps
                if config.eval_step and step % config.eval_step == 0 and not last and not self.stop.asked:
                    self._evaluate(step)
                if step % config.save_step == 0 or last or self.stop.asked:
                    self.save(step)
                if self.stop.asked:
                    raise self.stop.interrupted(step)

    def _evaluate(self, step: int) -> None:
        """An interruption saves the state; whoever continues the run completes the evaluation."""
        try:
            with self.stop.at_once():
                self.evaluate(step)
        except Interrupted:
            self.save(step)
            raise self.stop.interrupted(step) from None

    def _step(self, step: int, parts: Mapping[str, list[nn.Parameter]], meter: _Meter, logged: bool) -> None:
        self.optimizers.zero_grad()
        every = self.config.conflict_step
        found = self.gradients(step, look=logged if every is None else every > 0 and step % every == 0)
        norms = clip_gradients(parts, self.config.gradient_clipping)
        if found.again is not None and not all(map(math.isfinite, norms.values())):
            found = found.again()
            norms = clip_gradients(parts, self.config.gradient_clipping)
        meter.take(found)
        for part, norm in norms.items():
            meter.add(f"train/grad_norm/{part}", norm)
        for task, why in found.left_out.items():
            tqdm.write(f"[multitask] step {step}: {task} is left out: {why}")
        if found.halved:
            tqdm.write(f"[multitask] step {step}: out of memory; halved the batch of {', '.join(found.halved)}")
        if found.losses and all(map(math.isfinite, norms.values())):
            self.balancer.observe(step, found.losses)
            self.optimizers.step(step)
            if self.config.affinity_step and step % self.config.affinity_step == 0:
                self.optimizers.zero_grad()
                first = {task: own[0] for task in found.losses if (own := found.batches[task])[0].examples}
                self.logger.log(step, affinities(self.model, first))
        else:
            tqdm.write(f"[multitask] step {step}: no finite gradient; the step is left out")
            meter.skipped += 1


class _Meter:
    """Means since the last log entry, and audio throughput."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self._tasks = tuple(tasks)
        self._reset()

    def _reset(self) -> None:
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        self._left_out: Counter[str] = Counter()
        self._halved: Counter[str] = Counter()
        self.seconds, self.skipped, self._start = 0.0, 0, time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """All but the clock."""
        counts = {"left_out": dict(self._left_out), "halved": dict(self._halved), "skipped": self.skipped}
        return {
            "values": {name: list(values) for name, values in self._values.items()},
            **counts,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._values.update({name: list(values) for name, values in state["values"].items()})
        self._left_out, self._halved = Counter(state["left_out"]), Counter(state["halved"])
        self.skipped, self.seconds = state["skipped"], state["seconds"]

    def add(self, name: str, value: float) -> None:
        self._values[name].append(value)

    def take(self, found: StepGradients) -> None:
        for task, loss in found.losses.items():
            self.add(task_metric("train", task, "loss"), loss)
        for name, value in found.shown.items():
            self.add(name, value)
        self._left_out.update(found.left_out.keys())
        self._halved.update(found.halved)
        self.seconds += found.seconds

    def flush(self, seconds: float) -> dict[str, float]:
        """Of a task, means over the steps that it took part in (a loss that is not a number if there was none).

        :param seconds: audio of all processes.
        """
        entry = {task_metric("train", task, "loss"): math.nan for task in self._tasks}
        entry |= {name: sum(values) / len(values) for name, values in self._values.items()}
        entry |= {task_metric("train", task, "left_out"): float(self._left_out[task]) for task in self._tasks}
        entry |= {task_metric("train", task, "halved"): float(count) for task, count in self._halved.items()}
        entry["train/audio_seconds_per_second"] = seconds / (time.perf_counter() - self._start)
        entry["train/skipped_steps"] = float(self.skipped)
        self._reset()
        return entry
