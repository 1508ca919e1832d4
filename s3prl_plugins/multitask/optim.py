"""Optimizers of encoder, layer weights and each head on one schedule, and clipping by part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.multitask.config import ClipConfig, OptimizerConfig, OptimizersConfig
from s3prl_plugins.schedules import linear_schedule

__all__ = ["Optimizers", "clip_gradients"]


_CLIP_MARGIN = 1e-6
"""What torch adds to a norm before it divides by it: below the limit by that much it multiplies by one."""


class Optimizers:
    """Steps, zeroes, saves and restores the optimizers of all parts together.

    :param schedule: `linear`: 0 -> lr linearly during warm-up, then linearly to 0 (arXiv 2110.09930); `constant`
        stays at lr after warm-up.
    """

    def __init__(
        self,
        parts: Mapping[str, list[nn.Parameter]],
        config: OptimizersConfig,
        warmup: int,
        total: int,
        schedule: Literal["linear", "constant"] = "linear",
    ) -> None:
        self._optimizers = {
            name: _optimizer(*_settings(name, config), parameters) for name, parameters in parts.items() if parameters
        }
        self._warmup, self._total, self._schedule = warmup, total, schedule

    def rates(self, step: int) -> dict[str, float]:
        """Learning rate of each part in step number `step` (from 1)."""
        factor = linear_schedule(step - 1, self._warmup, self._total)
        if self._schedule == "constant" and step > self._warmup:
            factor = 1.0
        return {name: float(optimizer.defaults["lr"]) * factor for name, optimizer in self._optimizers.items()}

    def step(self, step: int) -> None:
        """Update the parameters of all parts in step number `step` (from 1)."""
        for name, rate in self.rates(step).items():
            for group in self._optimizers[name].param_groups:
                group["lr"] = rate
            self._optimizers[name].step()

    def zero_grad(self) -> None:
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[name])


def clip_gradients(parts: Mapping[str, list[nn.Parameter]], config: ClipConfig) -> dict[str, float]:
    """Clip encoder with layer weights, and each head by itself, or with `config.total` everything together; returns
    the norms before clipping.

    A norm that is not finite is returned as it is and nothing of that part is scaled.
    """
    norms = {}
    shared = parts["upstream"] + parts["featurizer"]
    groups = {"upstream": (shared, config.upstream)}
    groups |= {name: (own, config.heads) for name, own in parts.items() if name.startswith("head/")}
    if config.total is not None:
        groups = {"total": ([p for own in parts.values() for p in own], config.total)}
    for name, (parameters, limit) in groups.items():
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        norms[name] = float(norm)
        if limit is not None and limit < norms[name] + _CLIP_MARGIN < math.inf:
            nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norms


def _settings(part: str, config: OptimizersConfig) -> tuple[str, OptimizerConfig]:
    """The key of the configuration that a part follows, and its settings."""
    kind, _, task = part.partition("/")
    if kind == "head":
        return "heads", replace(config.heads, lr=config.head_lr.get(task, config.heads.lr))
    if kind == "featurizer" and config.featurizer is not None:
        return "featurizer", config.featurizer
    return "upstream", config.upstream


def _optimizer(key: str, config: OptimizerConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    kind: Any = getattr(torch.optim, config.name, None)
    if not isinstance(kind, type) or not issubclass(kind, torch.optim.Optimizer):
        raise ConfigError(f"config.optimizer.{key}.name is {config.name!r}; it must name a torch.optim class")
    try:
        arguments: dict[str, Any] = {"lr": config.lr, **config.options}
        return kind(parameters, **arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.optimizer.{key}.options do not fit {config.name}: {error}") from error
