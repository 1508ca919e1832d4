"""Configuration of `s3prl-plugins pretrain learn2diss`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from s3prl_plugins.config import above_0
from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.heads.audio import SAMPLE_RATE
from s3prl_plugins.pretrain.config import SpeechConfig, TrainConfig
from s3prl_plugins.pretrain.masking import check_mask
from s3prl_plugins.pretrain.speech import Frames
from s3prl_plugins.upstream.learn2diss.encoder import SIZES

__all__ = [
    "FRAMES", "AdversaryConfig", "FrameConfig", "JointConfig", "Learn2DissPretraining", "RoundConfig", "UtteranceConfig",
]  # fmt: skip

FRAMES = Frames()
"""Of HuBERT's convolutions, which both encoders have."""


@dataclass(frozen=True)
class FrameConfig:
    """The frame encoder before the joint stage: a given one, or how to pretrain it."""

    checkpoint: str | None = None
    """`hubert_tiny`, a HuBERT file in s3prl's converted format, or a Learn2Diss file."""
    hubert: dict[str, Any] | None = None
    """Configuration of `s3prl-plugins pretrain hubert`, less `size` and `speech`."""

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.hubert is None):
            raise ConfigError("frame must have either checkpoint or hubert, found " + _both_or_none(self.checkpoint))


@dataclass(frozen=True)
class RoundConfig:
    """Training of the utterance encoder; a second round goes on from the first."""

    train: TrainConfig
    clusters: int = 0
    """Pseudo-speakers, clusters of the round before; 0: contrast alone."""
    weight: float = 1.0
    """Of the pseudo-speakers' cross-entropy beside the contrast."""

    def __post_init__(self) -> None:
        _at_least_0(clusters=self.clusters, weight=self.weight)
        if self.train.weights:
            raise ConfigError("train.weights must be empty: contrast has weight 1, pseudo-speakers have weight")


@dataclass(frozen=True)
class UtteranceConfig:
    """The utterance encoder before the joint stage: a given one, or how to train it."""

    checkpoint: str | None = None
    """A Learn2Diss file."""
    rounds: tuple[RoundConfig, ...] = ()
    stretch: float = 3.0
    """Seconds of each of the two stretches of an utterance."""
    model: dict[str, Any] = field(default_factory=dict)
    """Fields of s3prl's HubertConfig that differ from the size's."""

    def __post_init__(self) -> None:
        above_0(self, "stretch")
        if (self.checkpoint is None) == (not self.rounds):
            raise ConfigError(
                "utterance must have either checkpoint or rounds, found " + _both_or_none(self.checkpoint)
            )
        if self.rounds and self.rounds[0].clusters:
            raise ConfigError("rounds[0].clusters must be 0: there are no embeddings to cluster yet")


@dataclass(frozen=True)
class AdversaryConfig:
    """Gradient reversal; 0 leaves an adversary out."""

    speaker: float = 0.0
    """Scale of the gradient that a classifier of pseudo-speakers sends back to the frame encoder."""
    phone: float = 0.0
    """Scale of what a classifier of pseudo-phones sends back to the utterance encoder."""
    speakers: int = 200
    """Pseudo-speakers: clusters of the utterance stage's embeddings."""

    def __post_init__(self) -> None:
        _at_least_0(speaker=self.speaker, phone=self.phone)
        if self.speakers < 2:
            raise ConfigError(f"speakers must be at least 2, found {self.speakers}")

    @property
    def scales(self) -> dict[str, float]:
        """The adversaries that take part."""
        return {name: scale for name, scale in (("speaker", self.speaker), ("phone", self.phone)) if scale}


@dataclass(frozen=True)
class JointConfig:
    """Both encoders together."""

    train: TrainConfig
    """Its `weights` are those of masked, unmasked and penalty."""
    stretch: float = 3.0
    """Seconds of each of the two stretches of an utterance, for both encoders."""
    layer: int = 0
    """Hidden states of the frame stage whose clusters are predicted: 0 the first transformer layer's input, n the output of
    layer n."""
    clusters: int = 200
    """Pseudo-phones."""
    cluster_share: float = 1.0
    """Share of the utterances that k-means sees."""
    targets: str | None = None
    """`joint/targets.npz` of another run on the same speech, in place of making them anew."""
    mask_share: float = 0.8
    """Frames masked, before overlaps."""
    mask_length: int = 10
    """Frames of a span."""
    alpha: float = 1.0
    """Weight of the contrast."""
    beta: float = 0.01
    """Weight of the information between both encoders, in nats (VQMIVC, arXiv 2106.10132: 0.01)."""
    beta_warmup: float = 0.1
    """Share of the steps over which beta and what adversaries send back rise from 0."""
    pairs: Literal["matched", "shuffled"] = "matched"
    """`shuffled`, a control, measures information with frames of another utterance."""
    sampled: bool = False
    """One negative for each stretch in place of all."""
    block: int = 10
    """Frames averaged before information is measured."""
    inner_steps: int = 5
    """Of the network that measures information, in each step."""
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)

    def __post_init__(self) -> None:
        _at_least_0(alpha=self.alpha, beta=self.beta)
        check_mask(self.mask_share, self.mask_length)
        if not 0 < self.cluster_share <= 1:
            raise ConfigError(f"cluster_share must be a share above 0, at most 1, found {self.cluster_share}")
        for name in ("clusters", "block", "inner_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.beta_warmup <= 1:
            raise ConfigError(f"beta_warmup must be a share from 0 to 1, found {self.beta_warmup}")
        if frames_of(self.stretch) < self.block:
            raise ConfigError(f"stretch must give a block of {self.block} frames, found {self.stretch} seconds")
        for name in self.train.weights:
            if name not in ("masked", "unmasked", "penalty"):
                raise ConfigError(
                    f"train.weights.{name} is none of masked, unmasked, penalty; the others are alpha, beta and adversary"
                )


@dataclass(frozen=True)
class Learn2DissPretraining:
    """All stages."""

    size: str
    """Key of `upstream.learn2diss.encoder.SIZES`."""
    speech: SpeechConfig
    """`longest` is what both stretches of an utterance are drawn from."""
    frame: FrameConfig
    utterance: UtteranceConfig
    joint: JointConfig
    distortions: dict[str, Any] = field(default_factory=dict)
    """What the utterance encoder hears: distortion -> its options."""
    temperature: float = 0.1
    """Of contrast and of masked prediction; cosines are divided by it."""
    half: bool = False
    """Write the final checkpoint in float16, half the size; whoever loads it has float32 again."""

    def __post_init__(self) -> None:
        above_0(self, "temperature")
        if self.size not in SIZES:
            raise ConfigError(f"size is {self.size!r}; {nearest(self.size, SIZES)}")
        speech, stretch = self.speech, max(self.utterance.stretch, self.joint.stretch)
        if speech.shortest < stretch:
            raise ConfigError(
                f"speech.shortest must be at least the stretch of {stretch} seconds, found {speech.shortest}"
            )
        if speech.longest < speech.shortest:
            raise ConfigError(f"speech.longest must be at least shortest = {speech.shortest}, found {speech.longest}")
        if speech.batch < 2 * speech.longest:
            raise ConfigError(f"speech.batch must hold two crops of {speech.longest} seconds, found {speech.batch}")


def frames_of(seconds: float) -> int:
    """Frames of so many seconds."""
    return FRAMES.count(round(seconds * SAMPLE_RATE))


def _at_least_0(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name} must be a number of at least 0, found {value}")


def _both_or_none(checkpoint: str | None) -> str:
    return "neither" if checkpoint is None else "both"
