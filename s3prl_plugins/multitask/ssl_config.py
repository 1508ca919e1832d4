"""The section `masked_prediction` of `configs/multitask/*.yaml`: HuBERT's own loss as a further task of a joint run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.task import BatchConfig

__all__ = ["SSL", "MaskedPredictionConfig"]

SSL = "ssl"
"""What the task is called in logs and in `balancer.weights`."""


@dataclass(frozen=True)
class MaskedPredictionConfig:
    """Unlabelled speech, and what is predicted of it (HuBERT, arXiv 2106.07447).

    Targets are clusters of the hidden states of the encoder that the run starts from: what it knew before it was finetuned.
    """

    folders: tuple[Path, ...]
    """Speech: every .wav and .flac file below them, 16 kHz mono; relative ones start where the command does."""
    batch: BatchConfig = field(default_factory=lambda: BatchConfig(2))
    """Of a step."""
    longest: float = 8.0
    """Seconds; longer recordings are cut into equal pieces."""
    shortest: float = 1.0
    """Seconds; shorter recordings are left out."""
    clusters: int = 100
    """Pseudo-phones."""
    layer: int | None = None
    """Whose states are clustered: 0 the first transformer layer's input, n the output of layer n; null is at three quarters of
    the depth (9 of HuBERT Base's 12, as the paper's targets for its larger models)."""
    cluster_share: float = 1.0
    """Share of the recordings that k-means sees."""
    mask_share: float = 0.8
    """Frames masked, before overlaps."""
    mask_length: int = 10
    """Frames of a span."""
    temperature: float = 0.1
    """Of the cosine logits."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise ConfigError("masked_prediction.folders is empty; name a folder with speech")
        if not 0.1 <= self.shortest <= self.longest:
            raise ConfigError(
                "masked_prediction.shortest must be from 0.1 s to longest, "
                f"found shortest {self.shortest}, longest {self.longest}; change one of them"
            )
        if not 2 <= self.clusters <= 2**15:
            raise ConfigError(f"masked_prediction.clusters must be from 2 to {2**15}, found {self.clusters}")
        for name in ("cluster_share", "mask_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"masked_prediction.{name} must be above 0, at most 1, found {getattr(self, name)}")
        if self.mask_length < 1 or self.temperature <= 0:
            raise ConfigError(
                "masked_prediction.mask_length must be at least 1 frame and temperature above 0, "
                f"found {self.mask_length} and {self.temperature}"
            )
