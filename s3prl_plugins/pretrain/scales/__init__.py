"""The four time scales of MGF (after arXiv 2102.01930): sample, frame, phoneme, sentence.

Only the outline is public: generative losses at the small scales, discriminative ones at the large. Everything here beside
that is ours, and the kind of loss can be swapped at all scales but the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from s3prl_plugins.pretrain.scales.contract import Measured, Scale, ScaleViews
from s3prl_plugins.pretrain.scales.frame import FrameConfig, FrameContrast, FrameReconstruction
from s3prl_plugins.pretrain.scales.phoneme import PhonemeConfig, PhonemeContrast, PhonemeReconstruction
from s3prl_plugins.pretrain.scales.sample import SampleScale
from s3prl_plugins.pretrain.scales.sentence import SentenceConfig, SentenceContrast, SentenceReconstruction
from s3prl_plugins.pretrain.scales.targets import FrameGrid, take
from s3prl_plugins.pretrain.workers.waveform import WaveformConfig

__all__ = ["SCALES", "FrameGrid", "Measured", "Scale", "ScaleViews", "ScalesConfig", "build_scale", "take"]

SCALES = ("sample", "frame", "phoneme", "sentence")
"""From the smallest to the largest."""


@dataclass(frozen=True)
class ScalesConfig:
    """Options of each scale."""

    sample: WaveformConfig = field(default_factory=WaveformConfig)
    frame: FrameConfig = field(default_factory=FrameConfig)
    phoneme: PhonemeConfig = field(default_factory=PhonemeConfig)
    sentence: SentenceConfig = field(default_factory=SentenceConfig)


def build_scale(name: str, config: ScalesConfig, grid: FrameGrid) -> Scale:
    """:param name: one of `SCALES`.
    :raises ConfigError: an unknown target or option of it.
    """
    if name == "sample":
        return SampleScale(config.sample, grid)
    if name == "frame":
        frame = FrameContrast if config.frame.kind == "discriminative" else FrameReconstruction
        return frame(config.frame, grid)
    if name == "phoneme":
        phoneme = PhonemeContrast if config.phoneme.kind == "discriminative" else PhonemeReconstruction
        return phoneme(config.phoneme, grid)
    sentence = SentenceContrast if config.sentence.kind == "discriminative" else SentenceReconstruction
    return sentence(config.sentence, grid)
