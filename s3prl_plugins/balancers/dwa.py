"""Weights from how fast each loss falls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from s3prl_plugins.balancers.contract import Options, fixed_weights
from s3prl_plugins.errors import ConfigError

__all__ = ["DynamicWeightAverage", "DynamicWeightAverageOptions"]


@dataclass(frozen=True)
class DynamicWeightAverageOptions(Options):
    """Options of `dwa`."""

    temperature: float = 2.0
    """T: the larger, the more equal the weights."""
    window: int = 100
    """Steps whose mean loss is compared with that of the steps before."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature must be above 0, found {self.temperature}")
        if self.window < 1:
            raise ConfigError(f"window must be at least 1 step, found {self.window}")


class DynamicWeightAverage:
    """Dynamic weight average (Liu, Johns and Davison, arXiv 1803.10704, eq. 7):

        w_i = K softmax_i(r_i / T),   r_i = L_i(t-1) / L_i(t-2)

    The paper's t counts epochs; tasks of a joint run have epochs of different lengths, so here it counts windows of
    steps. Weights are 1 in the first two windows. A loss without a mean in both windows counts as not falling (r = 1).
    """

    def __init__(self, names: Sequence[str], options: DynamicWeightAverageOptions, seed: int) -> None:
        self._fixed = fixed_weights(names, options.weights)
        self._temperature, self._window = options.temperature, options.window
        self._sums = dict.fromkeys(names, 0.0)
        self._counts = dict.fromkeys(names, 0)
        self._means: list[dict[str, float]] = []
        """Of the last two full windows, oldest first."""

    def weights(self, step: int) -> Mapping[str, float]:
        if len(self._means) < 2:
            return self._fixed
        older, newer = self._means
        ratios = [newer[name] / older[name] if name in newer and older.get(name) else 1.0 for name in self._fixed]
        shares = (torch.tensor(ratios, dtype=torch.float64) / self._temperature).softmax(dim=0) * len(ratios)
        return {name: weight * share for (name, weight), share in zip(self._fixed.items(), shares.tolist())}

    def observe(self, step: int, losses: Mapping[str, float]) -> None:
        for name, loss in losses.items():
            self._sums[name] += loss
            self._counts[name] += 1
        if step % self._window == 0:
            means = {name: self._sums[name] / count for name, count in self._counts.items() if count}
            self._means = [*self._means[-1:], means]
            self._sums, self._counts = dict.fromkeys(self._sums, 0.0), dict.fromkeys(self._counts, 0)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts), "means": [dict(mean) for mean in self._means]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
        self._means = [dict(mean) for mean in state["means"]]
