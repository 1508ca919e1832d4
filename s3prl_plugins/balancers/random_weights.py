"""Random loss weighting: the baseline that a balancer has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from s3prl_plugins.balancers.contract import Options
from s3prl_plugins.balancers.fixed import FixedWeights
from s3prl_plugins.seeding import generator

__all__ = ["RandomWeights"]


class RandomWeights(FixedWeights):
    """Weights drawn anew at every step: w = K softmax(z), z ~ N(0, 1) (RLW, Lin et al., arXiv 2111.10603, eq. 3).

    The paper's weights sum to 1; these sum to K, so that a learning rate means what it means with weights of 1.
    Drawn from (seed, step, name) only: nothing has to be saved, and leaving a loss out changes no other draw.
    """

    def __init__(self, names: Sequence[str], options: Options, seed: int) -> None:
        super().__init__(names, options.weights)
        self._seed = seed

    def weights(self, step: int) -> Mapping[str, float]:
        draws = [torch.randn((), generator=generator(self._seed, "random", step, name)) for name in self._weights]
        shares = torch.stack(draws).double().softmax(dim=0) * len(draws)
        return {name: weight * share for (name, weight), share in zip(self._weights.items(), shares.tolist())}
