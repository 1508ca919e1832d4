"""Weights learned as the noise of each task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from s3prl_plugins.balancers.contract import Options, fixed_weights
from s3prl_plugins.errors import ConfigError

__all__ = ["Uncertainty", "UncertaintyOptions"]


@dataclass(frozen=True)
class UncertaintyOptions(Options):
    """Options of `uncertainty`."""

    lr: float = 1e-3
    """Learning rate of log sigma (Adam without weight decay, constant)."""

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"lr must be above 0, found {self.lr}")


class Uncertainty:
    """Homoscedastic uncertainty (Kendall, Gal and Cipolla, arXiv 1705.07115, eq. 10): minimises

        sum_i L_i / sigma_i^2 + log sigma_i

    over sigma together with the model, from sigma = 1. For a loss that stays L the weight 1 / sigma^2 goes to 1 / (2 L).

    The released code of arXiv 2110.09930 has the same formula inside every head, but on a GPU its sigmas are never
    trained. Here log sigma is trained in float64 by an Adam of its own, whose rate does not follow the encoder's.
    """

    def __init__(self, names: Sequence[str], options: UncertaintyOptions, seed: int) -> None:
        self._fixed = fixed_weights(names, options.weights)
        self._log_sigma = {name: torch.zeros((), dtype=torch.float64) for name in names}
        self._optimizer = torch.optim.Adam(list(self._log_sigma.values()), lr=options.lr)

    def weights(self, step: int) -> Mapping[str, float]:
        return {name: weight * math.exp(-2 * float(self._log_sigma[name])) for name, weight in self._fixed.items()}

    def observe(self, step: int, losses: Mapping[str, float]) -> None:
        weights = self.weights(step)
        for name, value in self._log_sigma.items():
            value.grad = torch.full_like(value, 1 - 2 * weights[name] * losses[name]) if name in losses else None
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        log_sigma = {name: float(value) for name, value in self._log_sigma.items()}
        return {"log_sigma": log_sigma, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in self._log_sigma.items():
            value.fill_(state["log_sigma"][name])
        self._optimizer.load_state_dict(state["optimizer"])
