"""SUPERB's phoneme recognition: two linear layers on every frame, under CTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from s3prl.metric import per

from s3prl_plugins.errors import ConfigError
from s3prl_plugins.heads.contract import Prediction, Scores
from s3prl_plugins.heads.ctc import CtcHead, texts
from s3prl_plugins.heads.ctc_vocabulary import Vocabulary
from s3prl_plugins.heads.task import TaskConfig

__all__ = ["PrHead"]


class PrHead(CtcHead):
    """Labels and answers are phones with stress marks, `HH AH0 L OW1`. There is no activation between the layers."""

    @dataclass(frozen=True)
    class Config:
        """Sizes (SUPERB: arXiv 2105.01051; s3prl's ctc/libriphone.yaml)."""

        project_dim: int
        """Width between the two layers (SUPERB: 256)."""

        def __post_init__(self) -> None:
            if self.project_dim < 1:
                raise ConfigError(f"project_dim must be at least 1, found {self.project_dim}")

    def __init__(self, config: TaskConfig, labels: Sequence[str], upstream_dim: int, upstream_rate: int) -> None:
        from s3prl.nn import FrameLevelLinear  # imports every upstream of s3prl: only when a head is built

        vocabulary = Vocabulary(("<pad>", "<eos>", "<unk>"), labels, eos="<eos>", unknown="<unk>")
        network = FrameLevelLinear(upstream_dim, len(vocabulary), hidden_size=config.head.project_dim)
        super().__init__(config.card, network, vocabulary)

    def split(self, label: str) -> list[str]:
        return label.split(" ")

    def join(self, units: Sequence[str]) -> str:
        return " ".join(units)

    def score(self, predictions: Sequence[Prediction], calibration: Mapping[str, float]) -> Scores:
        """Phone error rate."""
        return {"per": 100.0 * per(*texts(predictions))}
