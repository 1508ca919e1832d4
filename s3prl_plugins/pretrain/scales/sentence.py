"""The sentence scale: what two stretches of an utterance share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.contrast import info_nce, pair_accuracy
from s3prl_plugins.pretrain.scales.contract import Measured, Scale, ScaleViews
from s3prl_plugins.pretrain.scales.targets import FrameGrid
from s3prl_plugins.pretrain.workers.contract import Mlp, check_sizes

__all__ = ["SentenceConfig", "SentenceContrast", "SentenceReconstruction", "statistics"]


@dataclass(frozen=True)
class SentenceConfig:
    """Options; the defaults are ours."""

    kind: Literal["generative", "discriminative"] = "discriminative"
    """`discriminative`: pick the other stretch of the utterance in the batch. `generative`: predict its statistics."""
    hidden: int = 512
    """Units of the projecting network's hidden layer."""
    dim: int = 256
    """Discriminative: stretches are compared in so many dimensions."""
    temperature: float = 0.1
    """Discriminative: cosines are divided by it."""
    target: str = "fbank"
    """Generative: the target whose statistics are predicted."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of that target."""

    def __post_init__(self) -> None:
        check_sizes(hidden=self.hidden, dim=self.dim)
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, found {self.temperature}")


class SentenceContrast(Scale):
    """Contrast (NT-Xent) of the stretches' pooled and projected c; `acc` is how often the right stretch is nearest."""

    contextual = pairs = True

    def __init__(self, config: SentenceConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.project = Mlp(2 * grid.dim, config.hidden, config.dim)

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        first, second = (self.project(statistics(view)) for view in (views.context, views.other_context))
        return Measured(info_nce(first, second, self.temperature), {"acc": pair_accuracy(first, second)})


class SentenceReconstruction(Scale):
    """From pooled c of each stretch, mean and standard deviation over time of the other's normalised target; MSE."""

    contextual = pairs = True

    def __init__(self, config: SentenceConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.target = grid.target(config.target, config.options, "scales.sentence.options")
        self.predict = Mlp(2 * grid.dim, config.hidden, 2 * self.target.dim)

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        wanted = statistics(self.target(torch.cat([views.other, views.clean])))
        given = self.predict(statistics(torch.cat([views.context, views.other_context])))
        return Measured(F.mse_loss(given.float(), wanted), {})


def statistics(frames: Tensor) -> Tensor:
    """Mean and standard deviation over time, the latter at least 0.001, in float32: (batch, frames, dim) -> (batch, 2 dim)."""
    frames = frames.float()
    return torch.cat([frames.mean(1), frames.var(1, correction=0).clamp(min=1e-6).sqrt()], 1)
