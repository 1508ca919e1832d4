"""How several tasks' losses become one update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from s3prl_plugins.config import build
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.superb.cards import FINETUNED_TASKS

__all__ = ["Balancer", "FixedWeights", "build_balancer"]


class Balancer(Protocol):
    """Turns the losses of a step into one weight per task."""

    def weights(self, step: int) -> Mapping[str, float]:
        """Weights of the tasks' mean losses at a step (from 1)."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class _FixedConfig:
    weights: dict[str, float] = field(default_factory=dict)


class FixedWeights:
    """The plain weighted sum of losses (arXiv 2110.09930 sums them with weight 1).

    :param tasks: the tasks of the run.
    :param weights: task -> weight, at least 0; 1 where none is given. Tasks that are not trained may be among them.
    """

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float]) -> None:
        for name, weight in weights.items():
            if name not in FINETUNED_TASKS:
                raise ConfigError(f"unknown task config.balancer.weights.{name}; {nearest(name, FINETUNED_TASKS)}")
            if weight < 0:
                raise ConfigError(f"config.balancer.weights.{name} must not be negative, found {weight}")
        self._weights = {name: float(weights.get(name, 1.0)) for name in tasks}

    def weights(self, step: int) -> Mapping[str, float]:
        return self._weights

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def build_balancer(config: Mapping[str, Any], tasks: Sequence[str]) -> Balancer:
    """The balancer a configuration names.

    :param config: `{"name": "fixed", "weights": {...}}`.
    """
    options = dict(config)
    name = options.pop("name", "fixed")
    if name != "fixed":
        raise ConfigError(f"unknown config.balancer.name {name!r}; {nearest(str(name), ['fixed'])}")
    return FixedWeights(tasks, build(_FixedConfig, options, "config.balancer").weights)
