"""Balancers by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from s3prl_plugins.balancers.contract import Balancer, GradientOptions, Options
from s3prl_plugins.balancers.dwa import DynamicWeightAverage, DynamicWeightAverageOptions
from s3prl_plugins.balancers.fixed import FixedWeights
from s3prl_plugins.balancers.gradnorm import GradNorm, GradNormOptions
from s3prl_plugins.balancers.jacobian_descent import (
    AlignedMtlOptions,
    CAGradOptions,
    FairGradOptions,
    GradVac,
    GradVacOptions,
    GramWeighting,
    NashMtl,
    NashMtlOptions,
)
from s3prl_plugins.balancers.pcgrad import PCGrad, PCGradOptions
from s3prl_plugins.balancers.random_weights import RandomWeights
from s3prl_plugins.balancers.uncertainty import Uncertainty, UncertaintyOptions
from s3prl_plugins.config import build
from s3prl_plugins.errors import ConfigError, nearest

__all__ = ["BALANCERS", "LOSS_BALANCERS", "build_balancer"]


def _torchjd(method: str) -> Callable[..., Balancer]:
    return partial(GramWeighting, method=method)


BALANCERS: Mapping[str, tuple[type[Options], Callable[..., Balancer]]] = {
    "fixed": (Options, lambda names, options, _: FixedWeights(names, options.weights)),
    "random": (Options, RandomWeights),
    "uncertainty": (UncertaintyOptions, Uncertainty),
    "dwa": (DynamicWeightAverageOptions, DynamicWeightAverage),
    "gradnorm": (GradNormOptions, GradNorm),
    "pcgrad": (PCGradOptions, PCGrad),
    "upgrad": (GradientOptions, _torchjd("upgrad")),
    "dualproj": (GradientOptions, _torchjd("dualproj")),
    "mgda": (GradientOptions, _torchjd("mgda")),
    "imtl_g": (GradientOptions, _torchjd("imtl_g")),
    "aligned_mtl": (AlignedMtlOptions, _torchjd("aligned_mtl")),
    "cagrad": (CAGradOptions, _torchjd("cagrad")),
    "fairgrad": (FairGradOptions, _torchjd("fairgrad")),
    "gradvac": (GradVacOptions, GradVac),
    "nash_mtl": (NashMtlOptions, NashMtl),
}
"""Name -> class of its options, and what makes it from (names, options, seed)."""
LOSS_BALANCERS = tuple(name for name, (kind, _) in BALANCERS.items() if not issubclass(kind, GradientOptions))
"""Those that do without gradients."""


def build_balancer(
    config: Mapping[str, Any],
    names: Sequence[str],
    known: Collection[str],
    noun: str,
    seed: int = 0,
    offered: Collection[str] = ("fixed",),
) -> Balancer:
    """The balancer a configuration names.

    :param config: `{"name": "fixed", "weights": {...}}`; other options by balancer.
    :param names: the losses of the run.
    :param known: every loss that may have a weight.
    :param noun: what they are, for error messages: `task`.
    :param seed: of what it draws.
    :param offered: names that the caller can work with.
    :raises ConfigError: an unknown balancer, option or loss, a weight that is negative or not finite, or a package that is
        not installed.
    """
    given = dict(config)
    name = given.pop("name", "fixed")
    if name not in offered:
        raise ConfigError(f"unknown config.balancer.name {name!r}; {nearest(str(name), offered)}")
    kind, make = BALANCERS[name]
    options = build(kind, given, "config.balancer")
    for loss, weight in options.weights.items():
        if loss not in known:
            raise ConfigError(f"unknown {noun} config.balancer.weights.{loss}; {nearest(loss, known)}")
        if not (math.isfinite(weight) and weight >= 0):
            rule = "not be negative" if weight < 0 else "be finite"
            raise ConfigError(f"config.balancer.weights.{loss} must {rule}, found {weight}")
    return make(names, options, seed)
