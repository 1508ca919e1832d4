"""Weights that let every task train at the same rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from s3prl_plugins.balancers.contract import GradientOptions, fixed_weights
from s3prl_plugins.errors import ConfigError

__all__ = ["GradNorm", "GradNormOptions"]


@dataclass(frozen=True)
class GradNormOptions(GradientOptions):
    """Options of `gradnorm`; the paper measures gradients at the last shared layer."""

    scope: Literal["all", "encoder", "last_layers"] = "last_layers"
    alpha: float = 1.5
    """How strongly tasks that fall slowly are favoured; 0 only makes gradients equally long."""
    lr: float = 0.025
    """Learning rate of the weights (Adam, constant)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"lr must be above 0, found {self.lr}")
        if self.per != "whole":
            raise ConfigError(f"per must be whole: gradnorm has one weight a task, found {self.per!r}")


class GradNorm:
    """GradNorm (Chen et al., arXiv 1711.02257, eq. 2 and algorithm 1): after each step the weights w descend

        sum_i | n_i - mean_j(n_j) r_i^alpha |,   r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0))

    with n_i = w_i |gradient of L_i| in the scope and the second term held constant; then they are scaled to sum K.

    L_i(0) is the first loss seen, as in the paper. Unlike it, weights are kept above 1e-3: at the paper's rate Adam can
    push one below 0. All shared parameters and the head get w_i times the task's gradient; only n_i needs a scope.
    """

    _LEAST = 1e-3

    def __init__(self, names: Sequence[str], options: GradNormOptions, seed: int) -> None:
        self.options = options
        self._fixed = fixed_weights(names, options.weights)
        self._w = {name: torch.ones((), dtype=torch.float64) for name in names}
        self._optimizer = torch.optim.Adam(list(self._w.values()), lr=options.lr)
        self._first: dict[str, float] = {}

    def weights(self, step: int) -> Mapping[str, float]:
        return {name: weight * float(self._w[name]) for name, weight in self._fixed.items()}

    def observe(self, step: int, losses: Mapping[str, float]) -> None:
        pass

    def combine(self, step: int, gram: Tensor, losses: Mapping[str, float]) -> Tensor:
        for name, loss in losses.items():
            self._first.setdefault(name, loss)
        kept = [loss / self._first[name] if self._first[name] else 1.0 for name, loss in losses.items()]
        ratios = torch.tensor(kept, dtype=torch.float64)
        rates = (ratios / ratios.mean() if ratios.any() else torch.ones_like(ratios)) ** self.options.alpha
        norms = gram[0].diagonal().clamp(min=0).sqrt()
        signs = torch.sign(norms - norms.mean() * rates)
        slopes = dict(zip(losses, (signs * norms).tolist()))
        for name, value in self._w.items():
            value.grad = torch.full_like(value, slopes[name] / float(value)) if name in slopes else None
        self._optimizer.step()
        for value in self._w.values():
            value.clamp_(min=self._LEAST)
        scale = len(self._w) / sum(float(value) for value in self._w.values())
        for value in self._w.values():
            value.mul_(scale)
        return torch.ones(gram.shape[:2], dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        w = {name: float(value) for name, value in self._w.items()}
        return {"w": w, "first": dict(self._first), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in self._w.items():
            value.fill_(state["w"][name])
        self._first = dict(state["first"])
        self._optimizer.load_state_dict(state["optimizer"])
