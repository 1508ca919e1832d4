"""Weights that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from s3prl_plugins.balancers.contract import fixed_weights

__all__ = ["FixedWeights"]


class FixedWeights:
    """The plain weighted sum of losses (arXiv 2110.09930 sums them with weight 1).

    :param names: the losses of the run.
    :param weights: loss -> weight, at least 0; 1 where none is given. Losses that are not trained may be among them.
    """

    def __init__(self, names: Sequence[str], weights: Mapping[str, float]) -> None:
        self._weights = fixed_weights(names, weights)

    def weights(self, step: int) -> Mapping[str, float]:
        return self._weights

    def observe(self, step: int, losses: Mapping[str, float]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
