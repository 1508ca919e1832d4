"""What a balancer is: losses, or the inner products of their gradients, in; weights out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from s3prl_plugins.errors import ConfigError

__all__ = ["Balancer", "GradientBalancer", "GradientOptions", "Options"]


@dataclass(frozen=True)
class Options:
    """What every balancer takes."""

    weights: dict[str, float] = field(default_factory=dict)
    """Loss -> factor it is multiplied with before anything else, at least 0; 1 where none is given."""


@dataclass(frozen=True)
class GradientOptions(Options):
    """What every balancer that looks at gradients takes."""

    scope: Literal["all", "encoder", "last_layers"] = "all"
    """Shared parameters whose gradients are kept per task and combined by the balancer: `all` those that tasks share,
    `encoder` those of the encoder (without a shared featurizer), `last_layers` its last ones. The gradients of all
    other shared parameters add up."""
    last_layers: int = 1
    """How many, with `scope: last_layers`: counted on the encoder's deepest stack of numbered layers; what stands behind
    the stack belongs to it."""
    per: Literal["whole", "layer", "tensor"] = "whole"
    """Weights for the whole scope, for every layer, or for every parameter tensor."""
    rows: Literal["float32", "bfloat16"] = "float32"
    """What kept gradients are stored in; memory is tasks x parameters x 4 or 2 bytes."""

    def __post_init__(self) -> None:
        if self.last_layers < 1:
            raise ConfigError(f"last_layers must be at least 1, found {self.last_layers}")


class Balancer(Protocol):
    """Turns what is known of the losses so far into one weight per loss.

    A step is: `weights`, gradients, `observe`. Its state is plain (tensors, numbers, containers), keyed by loss.
    """

    def weights(self, step: int) -> Mapping[str, float]:
        """Factors of the mean losses at a step (from 1), before these losses are known."""

    def observe(self, step: int, losses: Mapping[str, float]) -> None:
        """The mean losses of a step, not multiplied with anything; losses that were left out are absent."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class GradientBalancer(Balancer, Protocol):
    """Weighs the gradients of shared parameters, too."""

    options: GradientOptions

    def combine(self, step: int, gram: Tensor, losses: Mapping[str, float]) -> Tensor:
        """Weights of the tasks' gradients in their sum.

        :param gram: (groups, tasks, tasks) float64 on the CPU: inner products of the gradients of `weights(step)` times
            the losses; one group, or one for every layer or tensor. All are finite.
        :param losses: the mean losses in the order of the tasks. Of a task that was left out there is neither.
        :returns: (groups, tasks) float64.
        """


def fixed_weights(names: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Loss -> weight, 1 where none is given."""
    return {name: float(weights.get(name, 1.0)) for name in names}
