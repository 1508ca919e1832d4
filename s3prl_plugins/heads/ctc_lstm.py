"""The projection and bidirectional LSTM that SUPERB puts on an upstream for ASR and SF."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from s3prl_plugins.errors import ConfigError

__all__ = ["LstmConfig", "lstm"]


@dataclass(frozen=True)
class LstmConfig:
    """Sizes of the network (SUPERB: arXiv 2105.01051; values of s3prl's asr/config.yaml and ctc/snips.yaml)."""

    project_dim: int
    """Width after the linear projection of the features (SUPERB: 1024)."""
    hidden_dims: tuple[int, ...]
    """Width of each layer, per direction (SUPERB: 1024, 1024)."""
    dropout: float
    """Share of every layer's outputs that is dropped in training (SUPERB: 0.2)."""

    def __post_init__(self) -> None:
        if self.project_dim < 1:
            raise ConfigError(f"project_dim must be at least 1, found {self.project_dim}")
        if not self.hidden_dims or min(self.hidden_dims) < 1:
            raise ConfigError(f"hidden_dims must hold one width of at least 1 per layer, found {self.hidden_dims}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be at least 0 and below 1, found {self.dropout}")


def lstm(config: LstmConfig, upstream_dim: int, symbols: int) -> nn.Module:
    """s3prl's `RNNEncoder` as SUPERB uses it: bidirectional, every frame kept, no layer norm, no layer projections."""
    from s3prl.nn import RNNEncoder  # imports every upstream of s3prl: only when a head is built

    layers = len(config.hidden_dims)
    network: nn.Module = RNNEncoder(
        upstream_dim,
        symbols,
        module="LSTM",
        proj_size=config.project_dim,
        hidden_size=list(config.hidden_dims),
        dropout=[config.dropout] * layers,
        layer_norm=[False] * layers,
        proj=[False] * layers,
        sample_rate=[1] * layers,
        bidirectional=True,
    )
    return network
