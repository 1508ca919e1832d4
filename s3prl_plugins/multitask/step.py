"""The gradients of one step: every task's batch, one graph at a time."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from s3prl_plugins.balancers import Balancer, GradientBalancer, GradientOptions
from s3prl_plugins.balancers.conflicts import conflicts, cosines
from s3prl_plugins.balancers.rows import GradientRows
from s3prl_plugins.balancers.scope import last_layers
from s3prl_plugins.logs import task_metric
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.ranks import ALONE, Ranks
from s3prl_plugins.multitask.streams import Batch, TaskStream
from s3prl_plugins.seeding import seeded

__all__ = ["JointStep", "StepGradients"]

_NOT_FINITE = "loss or gradient is not finite"
_NO_MEMORY = "out of memory, with half a batch too"


@dataclass(frozen=True)
class StepGradients:
    """What a step has left in the parameters' `.grad`."""

    losses: dict[str, float]
    """Mean loss of each task that took part."""
    batches: Mapping[str, Sequence[Batch]]
    """What each task learned from."""
    left_out: dict[str, str]
    """Tasks that took no part, and why."""
    halved: list[str] = field(default_factory=list)
    """Tasks whose batches did not fit into memory whole."""
    shown: dict[str, float] = field(default_factory=dict)
    """For the log."""
    again: Callable[[], StepGradients] | None = None
    """Where gradients were added up unseen: the same batches once more, each task's gradient checked first."""

    @property
    def seconds(self) -> float:
        """Audio of all tasks."""
        return sum(batch.seconds for own in self.batches.values() for batch in own)


class JointStep:
    """Fills `.grad` of all parameters from the tasks' next batches.

    With a balancer that needs losses only, gradients add up, one backward a task. With one that needs gradients, each
    task's gradient of shared parameters is moved to a row, and the balancer's weights combine the rows. Heads, and
    featurizers of their own, keep their task's gradient times `balancer.weights(step)`, whatever weight the row gets:
    no other task has a claim on them, and a head whose task is weighed 0 for a while should not stop learning.

    A task that runs out of memory is tried once more with its batches in halves, one after the other: the same gradient,
    but for what dropout and SpecAugment draw, which depends on (seed, step, micro-batch, task) and the half.

    Several processes share each batch: a task's loss is its sum over all of them by their counts, and a task's row the sum
    of their gradients, so that every process holds the gradients of the joined batch. None of them then tries halves.
    """

    def __init__(
        self,
        model: JointModel,
        streams: Mapping[str, TaskStream],
        balancer: Balancer,
        accumulate: int,
        seed: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self._model, self._streams, self._balancer = model, streams, balancer
        self._accumulate, self._seed, self._ranks = accumulate, seed, ranks
        shared = model.shared()
        self._encoder = {name: parameter for name, parameter in shared.items() if name.startswith("upstream.")}
        self._rows: GradientRows | None = None
        self._added = list(shared.values())
        scope = _scope(list(shared), balancer.options) if isinstance(balancer, GradientBalancer) else []
        if isinstance(balancer, GradientBalancer) and scope:
            self._rows = GradientRows({name: shared[name] for name in scope}, len(streams), balancer.options)
            self._added = [parameter for name, parameter in shared.items() if name not in scope]

    @property
    def row_bytes(self) -> int:
        """Memory of the tasks' rows, known after a step."""
        return self._rows.nbytes if self._rows is not None else 0

    def __call__(self, step: int, look: bool = False) -> StepGradients:
        """Gradients of step number `step` (from 1); the parameters hold none before.

        :param look: measure norms and cosines of the tasks' gradients of the encoder even if the balancer needs none; they
            are kept apart in bfloat16 for this step. The sum of several micro-batches may then differ in its rounding.
        """
        if self._rows is None and not (look and self._encoder):
            return self._summed(step)
        batches = {task: [stream.next() for _ in range(self._accumulate)] for task, stream in self._streams.items()}
        return self._apart(step, batches, look)

    def _summed(self, step: int) -> StepGradients:
        weights = self._balancer.weights(step)
        batches: dict[str, list[Batch]] = {task: [] for task in self._streams}
        values: dict[str, list[float]] = {task: [] for task in self._streams}
        fits = True
        for micro in range(self._accumulate):
            for task, stream in self._streams.items():
                batches[task].append(stream.next())
                if fits:
                    with _memory(self._ranks) as memory:
                        values[task].append(self._backward(step, micro, task, batches[task][-1], weights[task]))
                    fits = memory.enough
        if not fits:
            return self._apart(step, batches)
        self._ranks.add_gradients([p for p in self._model.parameters() if p.requires_grad])
        losses = {task: sum(each) / len(each) for task, each in values.items()}
        left_out = {task: _NOT_FINITE for task, loss in losses.items() if not math.isfinite(loss)}
        if left_out and self._accumulate > 1:
            return self._apart(step, batches)
        losses = {task: loss for task, loss in losses.items() if task not in left_out}
        shown = {task_metric("train", task, "weight"): weights[task] for task in losses}
        return StepGradients(losses, batches, left_out, [], shown, lambda: self._apart(step, batches))

    def _apart(self, step: int, batches: Mapping[str, Sequence[Batch]], look: bool = False) -> StepGradients:
        self._model.zero_grad(set_to_none=True)
        seen = self._rows
        if seen is None and look:
            seen = GradientRows(self._encoder, len(batches), GradientOptions(rows="bfloat16"))
        weights, losses = self._balancer.weights(step), dict[str, float]()
        left_out, halved = dict[str, str](), list[str]()
        sums: list[Tensor | None] = [None] * len(self._added)
        shared = list(self._model.shared().values())
        for task, own in batches.items():
            loss = self._alone(step, task, own, weights[task], halved)
            if loss is not None and math.isfinite(loss) and _finite([*shared, *self._model.own(task)]):
                if seen is not None:
                    seen.take(len(losses), keep=self._rows is None)
                sums = [_add(total, parameter.grad) for total, parameter in zip(sums, self._added)]
                losses[task] = loss
            else:
                left_out[task] = _NO_MEMORY if loss is None else _NOT_FINITE
                _clear(self._model.own(task))
            _clear(shared)
        for parameter, total in zip(self._added, sums):
            parameter.grad = total
        halved = [task for task in halved if task in losses]
        return StepGradients(losses, batches, left_out, halved, self._combine(step, losses, weights, seen))

    def _alone(self, step: int, task: str, batches: Sequence[Batch], weight: float, halved: list[str]) -> float | None:
        """Gradient of one task alone, where none is yet; returns its loss, or None if memory does not suffice."""
        with _memory(self._ranks) as memory:
            losses = [self._backward(step, micro, task, batch, weight) for micro, batch in enumerate(batches)]
        if not memory.enough:
            _clear([*self._model.shared().values(), *self._model.own(task)])
            halved.append(task)
            with _memory(self._ranks) as memory:
                losses = [self._halves(step, micro, task, batch, weight) for micro, batch in enumerate(batches)]
        self._ranks.add_gradients([*self._model.shared().values(), *self._model.own(task)])
        return sum(losses) / len(losses) if memory.enough else None

    def _backward(self, step: int, micro: int, task: str, batch: Batch, weight: float) -> float:
        """Add a batch's gradient to what parameters hold, unless the loss is not finite; returns the loss."""
        with seeded(self._seed, "step", step, micro, task, *self._ranks.names):
            loss = self._model.loss(task, batch) if batch.examples else None
        total, count = self._ranks.sum(*(float(loss.total.detach()), loss.count) if loss else (0.0, 0.0))
        value = total / count
        if math.isfinite(value) and loss is not None:
            torch.autograd.backward(loss.total / count * (weight / self._accumulate))
        return value

    def _halves(self, step: int, micro: int, task: str, batch: Batch, weight: float) -> float:
        """`_backward` over one half of the batch after the other."""
        halves, value = batch.halves(), 0.0
        with torch.no_grad(), seeded(self._seed, "step", step, micro, task, "counts"):
            count = sum(self._model.loss(task, half).count for half in halves)
        for place, half in enumerate(halves):
            with seeded(self._seed, "step", step, micro, task, place):
                loss = self._model.loss(task, half).total / count
            value += float(loss.detach())
            if math.isfinite(value):
                torch.autograd.backward(loss * (weight / self._accumulate))
        return value

    def _combine(
        self, step: int, losses: Mapping[str, float], weights: Mapping[str, float], seen: GradientRows | None
    ) -> dict[str, float]:
        """Combine the rows, if there are any; returns what is to be logged."""
        factors = [1.0] * len(losses)
        shown: dict[str, float] = {}
        if seen is not None and losses:
            gram = seen.gram(len(losses))
            shown |= _conflicts(list(losses), gram.sum(dim=0))
            if self._rows is not None:
                assert isinstance(self._balancer, GradientBalancer)
                combined = self._balancer.combine(step, self._rows.grouped(gram), losses)
                self._rows.combine(combined)
                factors = combined.mean(dim=0).tolist()
        for task, factor in zip(losses, factors):
            shown[task_metric("train", task, "weight")] = weights[task] * factor
        return shown


def _conflicts(tasks: Sequence[str], gram: Tensor) -> dict[str, float]:
    norms, means, ratio = conflicts(gram)
    shown = {"train/conflict_ratio": ratio}
    for task, norm, mean in zip(tasks, norms, means):
        shown[task_metric("train", task, "grad_norm")] = norm
        shown[task_metric("train", task, "cosine")] = mean
    pairs = itertools.combinations(enumerate(tasks), 2)
    found = cosines(gram).tolist()
    return shown | {task_metric("cosine", one, other): found[i][j] for (i, one), (j, other) in pairs}


@dataclass
class _Memory:
    enough: bool = True


@contextlib.contextmanager
def _memory(ranks: Ranks) -> Iterator[_Memory]:
    """Ends early where memory runs out, and says so; other errors pass, and of several processes every one."""
    memory = _Memory()
    try:
        yield memory
    except RuntimeError as error:
        # On the CPU torch says it in words only.
        short = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not short or ranks.world > 1:
            raise
        memory.enough = False
    if not memory.enough and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _scope(names: Sequence[str], options: GradientOptions) -> list[str]:
    """The shared parameters that the balancer combines; none of a frozen encoder."""
    encoder = [name for name in names if name.startswith("upstream.")]
    if options.scope == "last_layers" and encoder:
        return last_layers(encoder, options.last_layers)
    return list(names) if options.scope == "all" else encoder


def _finite(parameters: Sequence[nn.Parameter]) -> bool:
    return math.isfinite(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))


def _add(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total.add_(gradient)


def _clear(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
