"""The one file that knows torchjd (the `mtl` extra): methods that find weights from the Gram matrix of gradients."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from s3prl_plugins.balancers.contract import GradientOptions
from s3prl_plugins.balancers.fixed import FixedWeights
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.seeding import seeded

__all__ = [
    "AlignedMtlOptions", "CAGradOptions", "FairGradOptions", "GradVac", "GradVacOptions", "GramWeighting", "NashMtl",
    "NashMtlOptions",
]  # fmt: skip


@dataclass(frozen=True)
class AlignedMtlOptions(GradientOptions):
    """Options of `aligned_mtl`."""

    scale_mode: Literal["min", "median", "rmse"] = "min"
    """Singular value that all are brought to; the authors' code has `rmse`."""


@dataclass(frozen=True)
class CAGradOptions(GradientOptions):
    """Options of `cagrad`."""

    c: float = 0.5
    """Radius, as a share of the mean gradient's norm, in which the direction is sought; 0 is the mean gradient."""


@dataclass(frozen=True)
class FairGradOptions(GradientOptions):
    """Options of `fairgrad`."""

    alpha: float = 1.0
    """Kind of fairness: 0 the mean gradient, 1 proportional, the larger the more for tasks that gain least."""


@dataclass(frozen=True)
class GradVacOptions(GradientOptions):
    """Options of `gradvac`."""

    beta: float = 0.5
    """Decay of the running cosines."""


@dataclass(frozen=True)
class NashMtlOptions(GradientOptions):
    """Options of `nash_mtl`."""

    max_norm: float = 1.0
    """Largest norm of the combined gradient; 0 does not limit it."""
    optim_niter: int = 20
    """Rounds of the solver."""


class GramWeighting(FixedWeights):
    """A Gram-based method of torchjd, on the Gram matrix that the runner has anyway.

    - `upgrad`: every gradient projected onto the cone of directions that harm no task, then the mean (UPGrad, Quinton and
      Rey, arXiv 2406.16232). `dualproj`: the mean gradient projected so (arXiv 1706.08840, eq. 11).
    - `mgda`: the shortest vector of the gradients' convex hull (Sener and Koltun, arXiv 1810.04650, algorithm 2).
    - `imtl_g`: equal projections onto every gradient's direction (Liu et al., ICLR 2021; extended to dependent rows as in
      arXiv 2406.16232).
    - `aligned_mtl`: the Jacobian's singular values made equal (Senushkin et al., arXiv 2305.19000).
    - `cagrad`: the best worst task near the mean gradient (Liu et al., arXiv 2110.14048).
    - `fairgrad`: alpha-fair gains (Ban and Ji, arXiv 2402.15638).

    Solved in float64 on the CPU. Tasks whose gradient is 0 are left out (to the letter, MGDA, IMTL-G and CAGrad would stop
    there: no direction helps every task). Lengths differ by method (sums, means, convex combinations: up to 100-fold), so each
    wants a learning rate of its own; weights here are torchjd's, not rescaled.

    :raises ConfigError: torchjd, or a solver it needs, is not installed; or an option it refuses.
    """

    def __init__(self, names: Sequence[str], options: GradientOptions, seed: int, method: str) -> None:
        super().__init__(names, options.weights)
        self.options, self._method, self._seed = options, method, seed
        self._weighting = self._build(len(names))

    def combine(self, step: int, gram: Tensor, losses: Mapping[str, float]) -> Tensor:
        names, weights = list(losses), torch.zeros(gram.shape[:2], dtype=torch.float64)
        with seeded(self._seed, self._method, step):
            for group, found in zip(gram, weights):
                alive = group.diagonal().nonzero().flatten()
                if len(alive):
                    found[alive] = self._solve(group[alive][:, alive], [names[place] for place in alive])
        return weights

    def _solve(self, gram: Tensor, names: Sequence[str]) -> Tensor:
        """Weights of the named tasks, none of whose gradients is 0."""
        weights: Tensor = self._weighting(gram)
        return weights.double()

    def _build(self, tasks: int) -> Any:
        common = GradientOptions.__dataclass_fields__
        given = {name: value for name, value in vars(self.options).items() if name not in common}
        return _make(self._method, given)


class GradVac(GramWeighting):
    """Gradient vaccine (Wang et al., arXiv 2010.05874): as PCGrad, but cosines are raised to their running mean, which is
    kept by pair of tasks. torchjd's own state cannot be loaded again, and is lost when a task is left out; ours is not.
    """

    def __init__(self, names: Sequence[str], options: GradVacOptions, seed: int) -> None:
        super().__init__(names, options, seed, "gradvac")
        _only_whole("gradvac", options)
        self._places = {name: place for place, name in enumerate(names)}
        self._cosines = torch.zeros(len(names), len(names), dtype=torch.float64)

    def _solve(self, gram: Tensor, names: Sequence[str]) -> Tensor:
        places = torch.tensor([self._places[name] for name in names])
        grid = (places[:, None], places[None, :])
        self._weighting._phi_t = self._cosines[grid].clone()
        self._weighting._state_key = (len(places), torch.float64)
        weights = super()._solve(gram, names)
        self._cosines[grid] = self._weighting._phi_t
        return weights

    def state_dict(self) -> dict[str, Any]:
        return {"names": list(self._places), "cosines": self._cosines.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        order = torch.tensor([state["names"].index(name) for name in self._places])
        self._cosines = state["cosines"][order[:, None], order[None, :]].clone()


class NashMtl(GramWeighting):
    """Nash bargaining (Navon et al., arXiv 2202.01017, algorithm 1): G a = 1 / a, solved from the last step's a, which is
    kept by task. torchjd wants the gradients themselves; a root of the Gram matrix has the same inner products.
    """

    def __init__(self, names: Sequence[str], options: NashMtlOptions, seed: int) -> None:
        super().__init__(names, options, seed, "nash_mtl")
        _only_whole("nash_mtl", options)
        self._last = dict.fromkeys(names, 1.0)

    def _solve(self, gram: Tensor, names: Sequence[str]) -> Tensor:
        if len(names) == 1:
            return self._alone(float(gram) ** 0.5)
        solver = self._build(len(names)).weighting
        solver.prvs_alpha = torch.tensor([self._last[name] for name in names], dtype=torch.float64).numpy()
        values, vectors = torch.linalg.eigh(gram)
        weights: Tensor = solver(vectors * values.clamp(min=0).sqrt()).double()
        self._last |= dict(zip(names, (float(value) for value in solver.prvs_alpha)))
        return weights

    def _alone(self, norm: float) -> Tensor:
        """Of one task, which torchjd's solver cannot take: the solution of its equations, for which G is scaled to 1."""
        assert isinstance(self.options, NashMtlOptions)
        limit = self.options.max_norm
        return torch.full((1,), limit / norm if 0 < limit < norm else 1.0, dtype=torch.float64)

    def _build(self, tasks: int) -> Any:
        options = self.options
        assert isinstance(options, NashMtlOptions)
        given = {"max_norm": options.max_norm, "optim_niter": options.optim_niter, "update_weights_every": 1}
        return _make(self._method, {"n_tasks": tasks, **given})

    def state_dict(self) -> dict[str, Any]:
        return {"last": dict(self._last)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._last = dict(state["last"])


_CLASSES = {
    "upgrad": "UPGradWeighting",
    "dualproj": "DualProjWeighting",
    "mgda": "MGDAWeighting",
    "imtl_g": "IMTLGWeighting",
    "aligned_mtl": "AlignedMTLWeighting",
    "cagrad": "CAGradWeighting",
    "fairgrad": "FairGradWeighting",
    "gradvac": "GradVacWeighting",
    "nash_mtl": "NashMTL",
}


def _make(method: str, options: Mapping[str, Any]) -> Any:
    """Imported here, not above: torchjd is optional."""
    try:
        return getattr(importlib.import_module("torchjd.aggregation"), _CLASSES[method])(**options)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"config.balancer.name is {method!r}, which needs packages that are not here ({reason}); "
            "pip install 's3prl-plugins[mtl]'"
        ) from error
    except ValueError as error:
        raise ConfigError(f"config.balancer: {' '.join(str(error).split())}; change that option") from error


def _only_whole(method: str, options: GradientOptions) -> None:
    if options.per != "whole":
        raise ConfigError(f"config.balancer.per must be whole: {method} keeps one state, found {options.per!r}")
