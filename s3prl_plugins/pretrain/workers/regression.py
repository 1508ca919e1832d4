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
from s3prl_plugins.pretrain.targets import TARGETS, Target, build_target
from s3prl_plugins.pretrain.workers.contract import Builder, Mlp, Views, Worker, check_sizes
from s3prl_plugins.pretrain.workers.normalisation import Normalisation

__all__ = ["Regression", "RegressionConfig", "regression_builder"]

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
        wanted = self.normalise(self.target(views.clean))
        given = self.network(views.chunk).float()
        return F.mse_loss(given, wanted) if self.loss == "mse" else F.l1_loss(given, wanted)


def regression_builder(name: str) -> Builder:
    """A builder for one target of `TARGETS`; options: those of `RegressionConfig` and of the target."""

    def make(dim: int, options: Mapping[str, Any]) -> Regression:
        own = {field.name for field in fields(RegressionConfig)}
        known = own | {field.name for field in fields(TARGETS[name])} - _ENCODERS
        for key in options:
            if key not in known:
                raise ConfigError(f"unknown key worker_options.{name}.{key}; {nearest(key, known)}")
        chosen = {"loss": "l1" if name in _LABELS else "mse"} | {key: options[key] for key in options if key in own}
        target = build_target(name, {key: value for key, value in options.items() if key not in own})
        return Regression(dim, target, build(RegressionConfig, chosen, f"worker_options.{name}"))

    return make
