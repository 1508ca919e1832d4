"""How much a step for one task lowers the losses of the others (arXiv 2109.04617)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from s3prl_plugins.logs import task_metric
from s3prl_plugins.multitask.joint import JointModel
from s3prl_plugins.multitask.streams import Batch

__all__ = ["LENGTH", "affinities"]

LENGTH = 1e-5
"""How far a step goes, in the length of the shared parameters taken as one vector. Ten times as far a step of the tiny HuBERT
still lowers its own task's loss, a hundred times as far it no longer does for a third of the tasks."""


def affinities(model: JointModel, batches: Mapping[str, Batch], length: float = LENGTH) -> dict[str, float]:
    """For each pair of tasks i, j: 1 - loss of j after a step against i's gradient / loss of j before it.

    As Fifty et al. (equation 1), with three differences: all steps have one length, so that a task with large gradients
    is not taken for one with large influence (theirs is the optimizer's own step); losses and gradients are computed
    without dropout and SpecAugment; every measurement starts from one point of training instead of an average over steps,
    which is left to who reads the log. Only shared parameters move; the model is left as it was, without gradients.

    :param batches: task -> a batch; the loss of j is always taken on j's.
    :param length: relative length of the steps.
    :returns: `affinity/<i>/<j>`, positive where i's step helps j; none for a task whose loss or gradient is not finite
        or 0, and none at all if no parameter is shared.
    """
    shared = list(model.shared().values())
    if not shared:
        return {}
    found: dict[str, float] = {}
    with _evaluating(model):
        before = _losses(model, batches)
        start = [parameter.detach().clone() for parameter in shared]
        reach = length * float(nn.utils.get_total_norm(start))
        for source, batch in batches.items():
            model.zero_grad(set_to_none=True)
            torch.autograd.backward(model.loss(source, batch).mean)
            gradients = [p.grad for p in shared if p.grad is not None]
            norm = float(nn.utils.get_total_norm(gradients))
            if not 0 < norm < math.inf:
                continue
            _move(shared, -reach / norm)
            after = _losses(model, batches)
            found |= {
                task_metric("affinity", source, task): 1 - after[task] / before[task]
                for task in after.keys() & before.keys()
            }
            with torch.no_grad():
                for parameter, value in zip(shared, start):
                    parameter.copy_(value)
        model.zero_grad(set_to_none=True)
    order = list(batches)
    return {key: found[key] for i in order for j in order if (key := task_metric("affinity", i, j)) in found}


@contextmanager
def _evaluating(model: JointModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _losses(model: JointModel, batches: Mapping[str, Batch]) -> dict[str, float]:
    with torch.no_grad():
        losses = {task: float(model.loss(task, batch).mean) for task, batch in batches.items()}
    return {task: loss for task, loss in losses.items() if math.isfinite(loss) and loss != 0}


def _move(parameters: list[nn.Parameter], factor: float) -> None:
    """Add `factor` times their gradients to parameters."""
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=factor)
