"""The phoneme scale: what the masked frames were."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.pretrain.scales.contract import Measured, Scale, ScaleViews
from s3prl_plugins.pretrain.scales.picking import draw_rivals, pick_own
from s3prl_plugins.pretrain.scales.targets import FrameGrid, Regressions, check_targets
from s3prl_plugins.pretrain.workers.contract import check_sizes

__all__ = ["PhonemeConfig", "PhonemeContrast", "PhonemeReconstruction"]


@dataclass(frozen=True)
class PhonemeConfig:
    """Options; the contrast's are those of wav2vec 2.0 (arXiv 2006.11477)."""

    kind: Literal["generative", "discriminative"] = "discriminative"
    """`discriminative`: pick a masked frame's own h. `generative`: predict its target."""
    negatives: int = 100
    """Discriminative: other masked frames of the stretch, at most."""
    temperature: float = 0.1
    """Discriminative: cosines are divided by it."""
    dim: int = 256
    """Discriminative: c and h are compared in so many dimensions."""
    learn_targets: bool = True
    """Discriminative: whether the loss also trains h as a target, not only its projection."""
    targets: dict[str, dict[str, Any]] = field(default_factory=lambda: {"fbank": {"loss": "l1"}})
    """Generative: target -> options of it and of PASE's regression worker (TERA, arXiv 2007.06028: mel bands, L1)."""

    def __post_init__(self) -> None:
        check_sizes(negatives=self.negatives, dim=self.dim)
        check_targets(self.targets)
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, found {self.temperature}")


class PhonemeContrast(Scale):
    """c of a masked frame picks the frame's own unmasked h among those of other masked frames of its stretch.

    As the targets learn, three numbers tell whether they still differ: `acc`, how often the right one is nearest; `chance`,
    how often if they did not; `spread`, 1 less the squared length of the mean target, targets being of length 1: 0 if all
    are one, 1 if they point everywhere. Collapsed targets cost log(1 + negatives).
    """

    contextual = True

    def __init__(self, config: PhonemeConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.config = config
        self.predict = nn.Linear(grid.dim, config.dim)
        self.project = nn.Linear(grid.dim, config.dim)

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        """:param views: every row of `mask` has as many frames, at least two."""
        rows, mask = len(views.mask), views.mask
        local = views.local if self.config.learn_targets else views.local.detach()
        predicted = self.predict(views.context[mask]).unflatten(0, (rows, -1))
        targets = self.project(local[mask]).unflatten(0, (rows, -1))
        items = targets.shape[1]
        rivals = draw_rivals(rows, items, self.config.negatives, random)
        loss, accuracy = pick_own(
            predicted, targets, self.config.temperature, None if rivals is None else rivals.to(targets.device)
        )
        chance = 1 / (1 + min(items - 1, self.config.negatives))
        return Measured(loss, {"acc": accuracy, "chance": chance, "spread": _spread(targets.detach())})


class PhonemeReconstruction(Scale):
    """From c, PASE's regression workers predict the targets of the masked frames; the mean over targets."""

    contextual = True

    def __init__(self, config: PhonemeConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.regressions = Regressions(config.targets, grid, "scales.phoneme.targets")

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        measured: Measured = self.regressions(views.context, views.clean, views.mask)
        return measured


def _spread(targets: Tensor) -> float:
    mean = F.normalize(targets.float(), dim=-1).flatten(0, -2).mean(0)
    return 1 - math.pow(float(mean.norm()), 2)
