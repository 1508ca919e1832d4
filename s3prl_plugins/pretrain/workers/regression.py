"""Regression workers: predict a frame-level target of the clean chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from s3prl_plugins.config import build
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.pretrain.targets import CENTRE, HOP, TARGETS, Target, build_target
from s3prl_plugins.pretrain.workers.contract import Builder, Mlp, Views, Worker, check_sizes
from s3prl_plugins.pretrain.workers.normalisation import Normalisation

__all__ = ["Regression", "RegressionConfig", "build_regression", "regression_builder"]

_LABELS = frozenset({"f0", "voicing", "log_hnr", "rasta", "rms", "zcr", "alpha_ratio"})
"""Labels of pretext selection, whose loss is L1 (arXiv 2104.07388); PASE's is the squared error."""
_ENCODERS = frozenset({"hop", "centre"})
"""Given by the encoder's frames."""


@dataclass(frozen=True)
class RegressionConfig:
    """Options beside the target's own."""

    loss: Literal["mse", "l1"] = "mse"
    hidden: int = 256
    """Units of the hidden layer (PASE: 256)."""

    def __post_init__(self) -> None:
        check_sizes(hidden=self.hidden)


class Regression(Worker):
    """A hidden layer predicts the normalised target, frame by frame: 1 is about the loss of knowing only the mean (MSE).

    The target is that of the clean chunk, whatever distortions the encoder heard.
    """

    def __init__(self, dim: int, target: Target, config: RegressionConfig) -> None:
        super().__init__()
        self.target, self.loss = target, config.loss
        self.normalise = Normalisation(target.dim)
        self.network = Mlp(dim, config.hidden, target.dim)

    def take(self, waves: Tensor) -> None:
        """Add waves (crops, samples) to the sample that the normalisation rests on."""
        self.normalise.take(self.target(waves))

    def forward(self, views: Views, random: torch.Generator) -> Tensor:
        return self.error(views.chunk, views.clean)

    def error(self, embedded: Tensor, waves: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean error on all frames, or on those where `mask`, (crops, frames), is True.

        :param embedded: (crops, frames, dim).
        :param waves: (crops, samples), of which the target is measured.
        """
        wanted = self.normalise(self.target(waves))
        if mask is not None:
            wanted, embedded = wanted[mask], embedded[mask]
        given = self.network(embedded).float()
        return F.mse_loss(given, wanted) if self.loss == "mse" else F.l1_loss(given, wanted)


def regression_builder(name: str) -> Builder:
    """A builder for one target of `TARGETS`, for PASE's encoder."""
    return lambda dim, options: build_regression(name, dim, options, f"worker_options.{name}")


def build_regression(
    name: str, dim: int, options: Mapping[str, Any], where: str, hop: int = HOP, centre: float = CENTRE
) -> Regression:
    """A regression to a target for any encoder.

    :param name: key of `TARGETS`.
    :param options: those of `RegressionConfig` and of the target.
    :param where: dotted name of the options, for error messages.
    :param hop: samples from one of the encoder's frames to the next.
    :param centre: sample in the middle of what its frame 0 sees.
    :raises ConfigError: an unknown target or option, or a value that cannot be.
    """
    own = {field.name for field in fields(RegressionConfig)}
    chosen = {"loss": "l1" if name in _LABELS else "mse"} | {key: options[key] for key in options if key in own}
    target = {key: value for key, value in options.items() if key not in own}
    if name in TARGETS:
        known = own | {field.name for field in fields(TARGETS[name])} - _ENCODERS
        for key in options:
            if key not in known:
                raise ConfigError(f"unknown key {where}.{key}; {nearest(key, known)}")
    built = build_target(name, {**target, "hop": hop, "centre": centre})
    return Regression(dim, built, build(RegressionConfig, chosen, where))
