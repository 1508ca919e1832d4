"""Frame-level targets as scales use them: for the frames of their encoder, normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.scales.contract import Measured
from s3prl_plugins.pretrain.targets import CENTRE, HOP, Target
from s3prl_plugins.pretrain.workers.normalisation import Normalisation
from s3prl_plugins.pretrain.workers.regression import Regression, build_regression

__all__ = ["FrameGrid", "NormalisedTarget", "Regressions", "check_targets", "take"]


@dataclass(frozen=True)
class FrameGrid:
    """Where an encoder's frames lie."""

    dim: int
    """Numbers per frame."""
    hop: int = HOP
    """Samples from one frame to the next."""
    centre: float = CENTRE
    """Sample in the middle of what frame 0 sees."""

    def regression(self, name: str, options: Mapping[str, Any], where: str) -> Regression:
        """PASE's worker for a target; `where` names the options in error messages."""
        return build_regression(name, self.dim, options, where, self.hop, self.centre)

    def target(self, name: str, options: Mapping[str, Any], where: str) -> NormalisedTarget:
        """The target of that worker; options that only concern its network are ignored."""
        return NormalisedTarget(self.regression(name, options, where).target)


class NormalisedTarget(nn.Module):
    """Numbers that describe each frame of a wave, of mean 0 and variance 1 over the speech that `take` was given."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self.normalise = Normalisation(target.dim)

    @property
    def dim(self) -> int:
        """Numbers per frame."""
        return self.target.dim

    def take(self, waves: Tensor) -> None:
        """Add waves (crops, samples) to the sample."""
        self.normalise.take(self.target(waves))

    def forward(self, waves: Tensor) -> Tensor:
        """(crops, samples) -> (crops, frames, dim)."""
        normalised: Tensor = self.normalise(self.target(waves))
        return normalised


class Regressions(nn.Module):
    """PASE's regression workers on some frames; the mean over targets, whose own losses are shown under their names.

    :param targets: target -> options.
    :param where: dotted name of the targets, for error messages.
    """

    def __init__(self, targets: Mapping[str, Mapping[str, Any]], grid: FrameGrid, where: str) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {name: grid.regression(name, options, f"{where}.{name}") for name, options in targets.items()}
        )

    def forward(self, embedded: Tensor, waves: Tensor, mask: Tensor | None = None) -> Measured:
        """Arguments are those of `Regression.error`."""
        losses = {name: cast(Regression, part).error(embedded, waves, mask) for name, part in self.parts.items()}
        shown = {name: float(loss.detach()) for name, loss in losses.items()}
        return Measured(torch.stack(list(losses.values())).mean(), shown)


def check_targets(targets: Mapping[str, Any]) -> None:
    """:raises ConfigError: there is none."""
    if not targets:
        raise ConfigError("targets must name a target, found none; add one or give the scale weight 0")


def take(model: nn.Module, waves: Tensor) -> None:
    """Add waves (crops, samples) to the sample that every target in a model is normalised with."""
    for module in model.modules():
        if isinstance(module, Regression | NormalisedTarget):
            module.take(waves)
