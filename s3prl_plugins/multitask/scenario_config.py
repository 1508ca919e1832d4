"""What the single-task scenarios add to a configuration: the sections `ssl` and `transfer` of `configs/multitask/*.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.features.utterances import Crops
from s3prl_plugins.superb.cards import FINETUNED_TASKS

__all__ = ["LrSearchConfig", "SingleTaskConfig", "SslConfig"]


@dataclass(frozen=True)
class LrSearchConfig:
    """Short runs that choose the learning rate, the only thing SUPERB's rules allow to tune (arXiv 2105.01051)."""

    grid: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    """Learning rates tried."""
    steps: int = 1000
    """Optimizer steps of each try."""

    def __post_init__(self) -> None:
        if not self.grid or min(self.grid) <= 0 or len(set(self.grid)) < len(self.grid):
            raise ConfigError(f"grid must hold learning rates above 0, each once, found {list(self.grid)}")
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, found {self.steps}")


@dataclass(frozen=True)
class SingleTaskConfig:
    """Runs of one head on a frozen encoder; they follow the recipes of `configs/superb/<task>_<size>.yaml`."""

    steps: int | None = None
    """Optimizer steps of every task; null takes the recipe's."""
    crops: Crops | None = None
    """As `config.encoder.crops`, whose value null takes."""
    superb: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per task, what differs from that file, laid over `config.superb` less its `train_batch`, which is a task's share
    of a joint step."""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps must be at least 1, found {self.steps}; use null for the recipe's")
        for name in self.superb:
            if name not in FINETUNED_TASKS:
                raise ConfigError(f"unknown task superb.{name}; {nearest(name, FINETUNED_TASKS)}")


@dataclass(frozen=True)
class SslConfig(SingleTaskConfig):
    """Scenario (a)."""

    lr_search: LrSearchConfig = field(default_factory=LrSearchConfig)
    """What `--lr-search` tries."""
