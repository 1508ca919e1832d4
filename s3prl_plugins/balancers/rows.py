"""One row a task: the gradients of shared parameters, kept apart until they are weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from s3prl_plugins.balancers.contract import GradientOptions
from s3prl_plugins.balancers.scope import layer_of

__all__ = ["GradientRows"]


class GradientRows:
    """Gradients of K tasks with respect to the same parameters: for each parameter a (K, numel) tensor, allocated when a
    task first uses it and kept.

    :param parameters: dotted name -> parameter.
    :param tasks: K, the largest number of rows.
    :param options: `rows` is the type they are stored in, `per` what has weights of its own.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], tasks: int, options: GradientOptions) -> None:
        self._parameters, self._tasks = list(parameters.values()), tasks
        self._kind: torch.dtype = getattr(torch, options.rows)
        self._rows: list[Tensor | None] = [None] * len(self._parameters)
        self._used = [False] * len(self._parameters)
        """Whether a task has used the parameter since row 0 was filled."""
        self._groups = torch.tensor(_groups(list(parameters), options.per))

    @property
    def nbytes(self) -> int:
        """Memory taken by now."""
        return sum(rows.nbytes for rows in self._rows if rows is not None)

    def take(self, place: int, keep: bool = False) -> None:
        """Move the gradients that the parameters hold to row `place` (filled from 0 on); without one it is zeros.

        :param keep: copy them, so that the parameters keep theirs.
        """
        for number, parameter in enumerate(self._parameters):
            gradient, rows = parameter.grad, self._rows[number]
            self._used[number] = gradient is not None or (place > 0 and self._used[number])
            if gradient is not None and rows is None:
                rows = self._rows[number] = gradient.new_zeros((self._tasks, gradient.numel()), dtype=self._kind)
            if gradient is not None and rows is not None:
                rows[place].copy_(gradient.flatten())
                parameter.grad = gradient if keep else None
            elif rows is not None:
                rows[place].zero_()

    def gram(self, tasks: int) -> Tensor:
        """Inner products of the first rows: (tensors, tasks, tasks) float64 on the CPU, each one summed in float32."""
        device = self._parameters[0].device
        none = torch.zeros(tasks, tasks, device=device)
        products = [none if rows is None else _products(rows[:tasks].float()) for rows in self._rows]
        return torch.stack(products).double().cpu()

    def grouped(self, gram: Tensor) -> Tensor:
        """The Gram matrices of tensors, added up to what has weights of its own: (groups, tasks, tasks)."""
        sums = gram.new_zeros(int(self._groups.max()) + 1, *gram.shape[1:])
        return sums.index_add_(0, self._groups, gram)

    def combine(self, weights: Tensor) -> None:
        """Give the parameters the weighted sums of the first rows as gradients; none to those no task has used.

        :param weights: (groups, tasks).
        """
        each = weights[self._groups].float().to(self._parameters[0].device)
        for parameter, rows, weight, used in zip(self._parameters, self._rows, each, self._used):
            if used and rows is not None:
                parameter.grad = (weight @ rows[: len(weight)].float()).view_as(parameter).to(parameter.dtype)


def _products(rows: Tensor) -> Tensor:
    return rows @ rows.T


def _groups(names: Sequence[str], per: str) -> list[int]:
    """For every parameter the number of its group."""
    keys = {"whole": [""] * len(names), "layer": [layer_of(name) for name in names], "tensor": list(names)}[per]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]
