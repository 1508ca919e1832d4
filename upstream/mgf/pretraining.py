"""Pretraining MGF (after arXiv 2102.01930): an encoder that learns at four time scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from s3prl_plugins import __version__
from s3prl_plugins.balancers import LOSS_BALANCERS, Balancer, build_balancer
from s3prl_plugins.config import build, plain
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.claim import claim
from s3prl_plugins.pretrain.config import SpeechConfig, TrainConfig
from s3prl_plugins.pretrain.masking import check_mask
from s3prl_plugins.pretrain.material import gather
from s3prl_plugins.pretrain.multi_scale import MultiScale
from s3prl_plugins.pretrain.sample import sample_crops
from s3prl_plugins.pretrain.scales import SCALES, FrameGrid, Scale, ScalesConfig, build_scale
from s3prl_plugins.pretrain.speech import Frames
from s3prl_plugins.pretrain.states import begun
from s3prl_plugins.pretrain.trainer import Pretrainer
from s3prl_plugins.seeding import derive, seeded
from s3prl_plugins.upstream.mgf.checkpoint import write_checkpoint
from s3prl_plugins.upstream.mgf.encoder import ENCODERS, MgfEncoder

__all__ = ["MgfPretraining", "build_objective", "pretrain"]


@dataclass(frozen=True)
class MgfPretraining:
    """Configuration of `s3prl-plugins pretrain mgf`."""

    encoder: str
    """Key of `upstream.mgf.encoder.ENCODERS`."""
    speech: SpeechConfig
    """`longest` is what both stretches are drawn from."""
    train: TrainConfig
    scales: ScalesConfig = field(default_factory=ScalesConfig)
    """Options of each scale, such as the kind of its loss."""
    balancer: dict[str, Any] = field(default_factory=lambda: {"name": "fixed"})
    """fixed, random, uncertainty or dwa, and its options. `weights` of sample, frame, phoneme and sentence: 1 where none
    is given; a scale of weight 0 is left out."""
    stretch: float = 2.0
    """Seconds of each of the two stretches of an utterance, a multiple of the encoder's frames."""
    mask_share: float = 0.65
    """Frames that the transformer does not see, before overlaps (wav2vec 2.0: 0.65)."""
    mask_length: int = 10
    """Frames of a masked span."""
    sample: int = 2000
    """Stretches that the targets' mean and standard deviation are measured on."""
    half: bool = False
    """Write the final checkpoint in float16, half the size; whoever loads it has float32 again."""

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise ConfigError(f"encoder is {self.encoder!r}; {nearest(self.encoder, ENCODERS)}")
        if self.train.weights:
            raise ConfigError("train.weights must be empty: weights stand in balancer")
        if not self.active:
            raise ConfigError(f"every scale has weight 0; give one of {', '.join(SCALES)} a weight in balancer.weights")
        check_mask(self.mask_share, self.mask_length)
        if self.sample < 1:
            raise ConfigError(f"sample must be at least 1 stretch, found {self.sample}")
        self._check_lengths()

    def _check_lengths(self) -> None:
        rate, speech = self.frames.rate, self.speech
        if self.samples < rate or abs(self.stretch * SAMPLE_RATE - self.samples) > 1e-3 or self.samples % rate:
            raise ConfigError(f"stretch must be a multiple of {rate / SAMPLE_RATE:g} seconds, found {self.stretch}")
        if self.samples // rate <= self.mask_length:
            raise ConfigError(
                f"stretch must be longer than mask_length, found {self.samples // rate} and {self.mask_length} frames"
            )
        if not self.stretch <= speech.shortest <= speech.longest:
            raise ConfigError(
                f"speech.shortest must be at least stretch = {self.stretch} seconds and at most longest = "
                f"{speech.longest}, found {speech.shortest}"
            )
        if speech.batch < 2 * speech.longest:
            raise ConfigError(
                f"speech.batch must hold two crops of {speech.longest} seconds, found {speech.batch}"
            )  # fmt: skip

    @property
    def active(self) -> tuple[str, ...]:
        """The scales that take part, from the smallest to the largest."""
        weights = build_balancer(self.balancer, SCALES, SCALES, "scale", offered=LOSS_BALANCERS).weights(1)
        return tuple(name for name in SCALES if weights[name])

    def build_balancer(self, seed: int) -> Balancer:
        """Of the scales that take part."""
        return build_balancer(self.balancer, self.active, SCALES, "scale", seed, LOSS_BALANCERS)

    @property
    def frames(self) -> Frames:
        """A crop of n frames has n * hop samples."""
        hop = ENCODERS[self.encoder].hop
        return Frames(rate=hop, width=hop)

    @property
    def samples(self) -> int:
        """Samples of a stretch."""
        return round(self.stretch * SAMPLE_RATE)


def pretrain(mapping: Mapping[str, Any], folder: Path, seed: int, device: torch.device) -> Path:
    """Train the encoder; returns `folder`/mgf.pt, which `mgf_local` loads.

    The folder also holds `pretraining.yaml`, `metrics.jsonl` and `training.pt` (encoder, scales, what their targets are
    normalised with, balancer, optimizer). A run that was cut off goes on where it was.

    :raises UserError: whatever is wrong with configuration, speech or what the folder holds; nothing is written then.
    """
    config = build(MgfPretraining, mapping)
    objective = build_objective(config, seed)
    speech = gather(config.speech, config.frames, seed)
    crops, validation = speech.crops(speech.train, seed), speech.crops(speech.held_out, seed)
    trainer = Pretrainer(
        objective, crops, validation, config.train, folder, seed, device, balancer=config.build_balancer(seed)
    )
    claim(folder, config, seed, speech.utterances)
    speech.tell()
    if not begun(folder):
        objective.fit(sample_crops(crops, config.sample, derive(seed, "sample"), device))
    trainer.run()
    facts = {"scales": config.active, "seed": seed, "config": plain(config), "version": __version__}
    write_checkpoint(folder / "mgf.pt", objective.encoder, facts, config.half)
    return folder / "mgf.pt"


def build_objective(config: MgfPretraining, seed: int) -> MultiScale:
    """Encoder and scales with weights drawn from the seed, each part's from its own name.

    :raises ConfigError: an unknown target or option.
    """
    encoder = MgfEncoder(ENCODERS[config.encoder], derive(seed, "encoder"))
    grid = FrameGrid(encoder.dim, encoder.config.hop, encoder.config.centre)
    scales: dict[str, Scale] = {}
    for name in config.active:
        with seeded(seed, "scale", name):
            scales[name] = build_scale(name, config.scales, grid)
    return MultiScale(encoder, scales, config.samples, config.mask_share, config.mask_length)
