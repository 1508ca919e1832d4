"""The frame scale: what the signal is like around each frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.scales.contract import Measured, Scale, ScaleViews
from s3prl_plugins.pretrain.scales.picking import pick_own
from s3prl_plugins.pretrain.scales.targets import FrameGrid, NormalisedTarget, Regressions, check_targets
from s3prl_plugins.pretrain.workers.contract import Mlp, check_sizes

__all__ = ["FrameConfig", "FrameContrast", "FrameReconstruction"]


@dataclass(frozen=True)
class FrameConfig:
    """Options; the defaults are ours, the targets are PASE's with PASE+'s seven frames."""

    kind: Literal["generative", "discriminative"] = "generative"
    """`generative`: predict the targets. `discriminative`: pick a frame's own target among those of other frames."""
    targets: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "lps": {"context": 7},
            "fbank": {"context": 7},
            "mfcc": {"coefficients": 13, "deltas": 2, "context": 7},
            "prosody": {"deltas": 2, "context": 7},
        }
    )
    """Target -> options of it and of PASE's regression worker."""
    hidden: int = 256
    """Discriminative: units of the predicting network's hidden layer."""
    dim: int = 256
    """Discriminative: prediction and target are compared in so many dimensions."""
    temperature: float = 0.1
    """Discriminative: cosines are divided by it."""
    candidates: int = 1024
    """Discriminative: frames of the batch that take part, drawn at random, at most."""

    def __post_init__(self) -> None:
        check_sizes(hidden=self.hidden, dim=self.dim, candidates=self.candidates)
        check_targets(self.targets)
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, found {self.temperature}")


class FrameReconstruction(Scale):
    """From h, PASE's regression workers predict every target; the mean over targets."""

    def __init__(self, config: FrameConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.regressions = Regressions(config.targets, grid, "scales.frame.targets")

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        measured: Measured = self.regressions(views.local, views.clean)
        return measured


class FrameContrast(Scale):
    """From h, each frame picks its own targets, projected, among frames of the batch; the mean over targets.

    How often the right frame is nearest is shown under the target's name.
    """

    def __init__(self, config: FrameConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.candidates = config.candidates
        self.parts = nn.ModuleDict(
            {
                name: _Contrast(grid.target(name, options, f"scales.frame.targets.{name}"), grid.dim, config)
                for name, options in config.targets.items()
            }
        )

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        frames = views.local.shape[0] * views.local.shape[1]
        chosen = torch.randperm(frames, generator=random)[: self.candidates].to(views.local.device)
        picked = {name: part(views, chosen) for name, part in self.parts.items()}
        shown = {f"{name}_acc": accuracy for name, (_, accuracy) in picked.items()}
        return Measured(torch.stack([loss for loss, _ in picked.values()]).mean(), shown)


class _Contrast(nn.Module):
    def __init__(self, target: NormalisedTarget, dim: int, config: FrameConfig) -> None:
        super().__init__()
        self.target = target
        self.temperature = config.temperature
        self.predict = Mlp(dim, config.hidden, config.dim)
        self.project = nn.Linear(target.dim, config.dim)

    def forward(self, views: ScaleViews, chosen: Tensor) -> tuple[Tensor, float]:
        """:param chosen: numbers of frames of the batch."""
        predicted = self.predict(views.local.flatten(0, 1)[chosen])
        wanted = self.project(self.target(views.clean).flatten(0, 1)[chosen])
        return pick_own(predicted, wanted, self.temperature)
