"""SPC, sequence predicting coding: is a stretch of the same chunk later or earlier than a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from s3prl_plugins.config import build
from s3prl_plugins.pretrain.workers.contract import Views, Worker, check_sizes
from s3prl_plugins.pretrain.workers.pairs import PairConfig, PairLoss

__all__ = ["Order", "OrderConfig", "build_spc", "draw_places"]


@dataclass(frozen=True)
class OrderConfig(PairConfig):
    """Options; defaults are those of PASE's released code."""

    stretch: int = 5
    """Consecutive frames shown with the frame."""
    gap: int = 16
    """Least frames from the frame to the first of a later stretch; one less than to the last of an earlier one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(stretch=self.stretch, gap=self.gap)

    @property
    def least(self) -> int:
        """Frames with room for a frame and both stretches."""
        return 2 * (self.stretch + self.gap)


class Order(Worker):
    """SPC: frame t with a stretch that begins at f >= t + gap is true, with one that ends at p < t - gap false (PASE,
    arXiv 1904.03416, section 3.2; one draw for the whole batch, as in the released code, whose ranges leave out a frame
    or two at the ends of the chunk)."""

    def __init__(self, dim: int, config: OrderConfig) -> None:
        super().__init__()
        self.config, self.least = config, config.least
        self.network = PairLoss((1 + config.stretch) * dim, config.hidden)

    def forward(self, views: Views, random: torch.Generator) -> Tensor:
        frame, later, earlier = draw_places(views.chunk.shape[1], self.config, random)
        parts = [views.chunk[:, start : start + self.config.stretch].flatten(1) for start in (later, earlier)]
        true, false = (torch.cat([views.chunk[:, frame], part], -1) for part in parts)
        return self.network.loss(true, false)


def draw_places(frames: int, config: OrderConfig, random: torch.Generator) -> tuple[int, int, int]:
    """The frame t, uniformly among those with room on both sides; the first frame of a later and of an earlier stretch.

    :raises ValueError: fewer than `config.least` frames.
    """
    if frames < config.least:
        raise ValueError(f"spc needs {config.least} frames, found {frames}; take a longer chunk")

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=random))

    frame = between(config.gap + config.stretch, frames - config.gap - config.stretch)
    return frame, between(frame + config.gap, frames - config.stretch), between(0, frame - config.gap - config.stretch)


def build_spc(dim: int, options: Mapping[str, Any]) -> Order:
    return Order(dim, build(OrderConfig, options, "worker_options.spc"))
