"""The section `masked_prediction` of `configs/multitask/*.yaml`: HuBERT's own loss as a further task of a joint run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from s3prl_plugins.config import above_0
from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.task import BatchConfig
from s3prl_plugins.pretrain.masking import check_mask

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
            raise ConfigError("folders is empty; name a folder with speech")
        if not 0.1 <= self.shortest <= self.longest:
            found = f"shortest {self.shortest}, longest {self.longest}"
            raise ConfigError(f"shortest must be from 0.1 s to longest, found {found}; change one of them")
        if not 2 <= self.clusters <= 2**15:
            raise ConfigError(f"clusters must be from 2 to {2**15}, found {self.clusters}")
        if not 0 < self.cluster_share <= 1:
            raise ConfigError(f"cluster_share must be a share above 0, at most 1, found {self.cluster_share}")
        check_mask(self.mask_share, self.mask_length)
        above_0(self, "temperature")
