"""An upper bound of mutual information to train against: vCLUB (arXiv 2006.12013)."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["UNDERFIT_WARNING", "Club", "other_rows"]

UNDERFIT_WARNING = (
    "mutual information: q(y|x) is no better than a Gaussian that does not see x, so the estimate says nothing unless "
    "x and y share nothing; raise inner_steps before beta, and give every dimension of y unit variance"
)

_PATIENCE = 200
"""Fits before q is judged."""
_MEMORY = 0.02
"""Weight of the newest batch in running means, once 50 are in."""


class Club(nn.Module):
    """Estimates I(x; y) by a Gaussian q(y|x) = N(mu(x), diag exp(s(x))) that is trained beside the encoders.

    Per training step: `estimate`, whose gradient goes to x and y, then `fit`; the gradient may be taken after both. The
    other way round (VQMIVC) q judges a batch it has just learned and finds what is not there: 1 to 2 nats where 26 rows
    of 256 dims share nothing. q has its own Adam, whose state is part of the state dict; outside `fit` its parameters
    need no gradient, so no other optimizer takes them.

    y is (batch, outputs), or (batch, frames, outputs): frames of one utterance against one x, their squared errors
    averaged over frames (as in VQMIVC, arXiv 2106.10132); the estimate is then of x and one frame.

    s lies in (-1, 1): y must have about unit variance in each dimension (batch normalisation, not layer
    normalisation), and a dimension of y that x tells exactly counts e nats. Everything is float32.

    :param inputs: dim of x.
    :param outputs: dim of y.
    :param hidden: width of mu's and s's networks, which share nothing.
    :param layers: linear layers of each, at least 1.
    :param inner_steps: Adam steps of each `fit`.
    :param lr: of q's Adam.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: int = 512, layers: int = 2, inner_steps: int = 5, lr: float = 3e-4
    ) -> None:
        super().__init__()
        self.mean = _network(inputs, outputs, hidden, layers)
        self.log_variance = _network(inputs, outputs, hidden, layers).append(nn.Tanh())
        self.requires_grad_(False)
        self.inner_steps = inner_steps
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr)
        self.register_buffer("baseline_mean", torch.zeros(outputs))
        self.register_buffer("baseline_variance", torch.ones(outputs))
        self.fits, self._margin = 0, 0.0
        self.health: dict[str, float] = {}
        """`mi` (nats) of the last estimate; of the last fit, in nats per dimension without constants, `q_likelihood`
        before its inner steps and `q_baseline`, of the Gaussian with y's running moments."""

    @property
    def underfit(self) -> bool:
        """After 200 fits, q's likelihood has lately not been above the baseline's: see `UNDERFIT_WARNING`."""
        return self.fits >= _PATIENCE and self._margin <= 0

    def fit(self, x: Tensor, y: Tensor) -> float:
        """Train q on a batch; x and y get no gradient. A batch that is not finite is left out.

        :param x: (batch, inputs).
        :param y: (batch, outputs) or (batch, frames, outputs).
        :return: mean log-likelihood per dimension, without constants, before the inner steps.
        """
        with torch.autocast(x.device.type, enabled=False), torch.enable_grad(), self._trainable():
            x = x.detach().float()
            first, second = _moments(y.detach())
            likelihood = self._likelihood(x, first, second)
            found = float(likelihood.detach())
            if not math.isfinite(found):
                return found
            for step in range(self.inner_steps):
                self.optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(-(self._likelihood(x, first, second) if step else likelihood))
                self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        baseline = self._take(first, second)
        self._margin += self._rate * (found - baseline - self._margin)
        self.fits += 1
        self.health |= {"q_likelihood": found, "q_baseline": baseline}
        return found

    def estimate(self, x: Tensor, y: Tensor, order: Tensor | None = None) -> Tensor:
        """vCLUB: how much likelier q finds y's own rows than others.

        The released code counts the pair (i, i) among the negatives, which scales the estimate by 1 - 1/batch; ours
        takes negatives from other rows only. All pairs cost no more than sampled ones: squared errors need only the
        first two moments of y. It can be negative; train against it as it is.

        :param x: (batch, inputs).
        :param y: (batch, outputs) or (batch, frames, outputs).
        :param order: (batch,), the row of y that is the negative of each x (the sampled form, see `other_rows`);
            None for all pairs, which need two rows.
        :return: scalar, in nats.
        """
        with torch.autocast(x.device.type, enabled=False):
            mean, log_variance = _kept(self.mean, x.float()), _kept(self.log_variance, x.float())
            first, second = _moments(y)
            if order is None:
                rows = len(first)
                if rows < 2:
                    raise ValueError(f"mutual information needs two rows at least, found {rows}; take larger batches")
                apart, apart_square = ((row.mean(0) - row) * (rows / (rows - 1)) for row in (first, second))
            else:
                apart, apart_square = first[order] - first, second[order] - second
            # The square of the mean is in both squared errors.
            gaps = (apart_square / 2 - mean * apart) * torch.exp(-log_variance)
            value = gaps.sum(-1).mean()
        self.health["mi"] = float(value.detach())
        return value

    def get_extra_state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "fits": self.fits, "margin": self._margin}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        # Optimizers keep the tensors they are given.
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.fits, self._margin = int(state["fits"]), float(state["margin"])

    @property
    def _rate(self) -> float:
        return max(_MEMORY, 1 / (self.fits + 1))

    @contextmanager
    def _trainable(self) -> Iterator[None]:
        self.requires_grad_(True)
        try:
            yield
        finally:
            self.requires_grad_(False)

    def _likelihood(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        mean, log_variance = self.mean(x), self.log_variance(x)
        errors = second - 2 * mean * first + mean.square()
        likelihood: Tensor = -(errors * torch.exp(-log_variance) + log_variance).mean() / 2
        return likelihood

    def _take(self, first: Tensor, second: Tensor) -> float:
        """Update y's running moments; the batch's log-likelihood under them, as `fit` counts it."""
        mean, variance = self.get_buffer("baseline_mean"), self.get_buffer("baseline_variance")
        centre, square = first.mean(0), second.mean(0)
        rate, gap = self._rate, centre - mean
        spread = square - centre.square()
        variance.copy_((1 - rate) * variance + rate * spread + rate * (1 - rate) * gap.square()).clamp_(min=1e-4)
        mean.add_(rate * gap)
        errors = square - 2 * mean * centre + mean.square()
        return float(-(errors / variance + variance.log()).mean() / 2)


def other_rows(rows: int, random: torch.Generator) -> Tensor:
    """An order for the sampled estimate: every row gets another one, each equally likely.

    :param rows: at least 2.
    :return: (rows,) long, on the CPU; a rotation.
    """
    shift = int(torch.randint(1, rows, (), generator=random))
    return torch.arange(rows).roll(shift)


def _kept(network: nn.Module, x: Tensor) -> Tensor:
    """What a copy of the network says: `fit` may change the network before the gradient is taken."""
    copies = {name: tensor.clone() for name, tensor in network.named_parameters()}
    said: Tensor = torch.func.functional_call(network, copies, (x,))
    return said


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, outputs) each: the mean over frames of y and of its square."""
    y = y.float()
    if y.dim() == 2:
        return y, y.square()
    return y.mean(1), y.square().mean(1)


def _network(inputs: int, outputs: int, hidden: int, layers: int) -> nn.Sequential:
    widths = [inputs] + [hidden] * (layers - 1) + [outputs]
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        parts += [nn.Linear(before, after), nn.ReLU()]
    # q starts as N(0, 1) whatever x is, so the estimate starts at 0 and not at an accident.
    last = parts[-2]
    nn.init.zeros_(last.get_parameter("weight"))
    nn.init.zeros_(last.get_parameter("bias"))
    return nn.Sequential(*parts[:-1])
