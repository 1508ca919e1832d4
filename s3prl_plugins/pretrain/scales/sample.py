"""The sample scale: decode the waveform."""

from __future__ import annotations

import torch

from s3prl_plugins.pretrain.scales.contract import Measured, Scale, ScaleViews
from s3prl_plugins.pretrain.scales.targets import FrameGrid
from s3prl_plugins.pretrain.workers.contract import Views
from s3prl_plugins.pretrain.workers.waveform import Waveform, WaveformConfig

__all__ = ["SampleScale"]


class SampleScale(Scale):
    """PASE's waveform worker on h; generative."""

    def __init__(self, config: WaveformConfig, grid: FrameGrid) -> None:
        super().__init__()
        self.waveform = Waveform(grid.dim, config, grid.hop)

    def forward(self, views: ScaleViews, random: torch.Generator) -> Measured:
        none = views.local[:0]
        return Measured(self.waveform(Views(views.clean, views.local, none, none), random), {})
