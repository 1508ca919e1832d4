"""What every pretraining's configuration has in common: speech, batches, optimizer, steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from s3prl_plugins.config import above_0, load_yaml
from s3prl_plugins.errors import ConfigError, nearest

__all__ = ["SpeechConfig", "TrainConfig", "find_pretrain_config"]


@dataclass(frozen=True)
class SpeechConfig:
    """What to learn from."""

    folders: tuple[Path, ...]
    """Folders of .wav or .flac files, 16 kHz mono; searched whole."""
    shortest: float = 1.0
    """Shorter files are left out, seconds (HuBERT Base: 2)."""
    longest: float = 4.0
    """Longer ones are cropped at random, seconds (HuBERT Base: 15.6)."""
    batch: float = 16.0
    """Seconds of audio in a batch (HuBERT Base: 87.5 on each of 32 GPUs)."""
    held_out: float = 0.02
    """Share of the utterances that only validate."""

    def __post_init__(self) -> None:
        above_0(self, "shortest", "longest", "batch")
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"held_out must be a share from 0 to below 1, found {self.held_out}")
        if not self.folders:
            raise ConfigError("folders must name at least one folder of speech, found none")


@dataclass(frozen=True)
class TrainConfig:
    """Steps and optimizer."""

    steps: int
    """Optimizer steps."""
    lr: float
    """Highest learning rate; rises linearly during warm-up, then falls linearly to 0."""
    warmup: float = 0.08
    """Share of the steps."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW."""
    eps: float = 1e-6
    weight_decay: float = 0.01
    clip: float = 10.0
    """Largest norm of the gradient."""
    accumulate: int = 1
    """Batches in a step."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 computes under autocast; parameters stay float32."""
    log_step: int = 50
    """Steps between log entries."""
    eval_step: int = 500
    """Steps between validations."""
    save_step: int = 500
    """Steps between checkpoints."""
    weights: dict[str, float] = field(default_factory=dict)
    """Loss name -> weight; 1 where none is given."""
    lr_of: dict[str, float] = field(default_factory=dict)
    """Beginning of parameters' names -> their learning rate in place of `lr`; the longest beginning counts."""

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "log_step", "eval_step", "save_step"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"warmup must be a share from 0 to below 1, found {self.warmup}")
        above_0(self, "eps", "clip")
        for name, beta in zip(("betas[0]", "betas[1]"), self.betas):
            if not 0 <= beta < 1:
                raise ConfigError(f"{name} must be from 0 to below 1, found {beta}")


def find_pretrain_config(name: str | Path) -> dict[str, Any]:
    """A pretraining's configuration by path, or by the name of one that comes with this package (`hubert_tiny`)."""
    from s3prl_plugins.multitask.config import shipped_configs

    if Path(name).is_file():
        return load_yaml(name)
    shipped = {path.stem: path for path in sorted((shipped_configs() / "pretrain").glob("*.yaml"))}
    if Path(name).stem in shipped and len(Path(name).parts) == 1:
        return load_yaml(shipped[Path(name).stem])
    raise ConfigError(
        f"no config file {str(name)!r} here, and none of that name in the package; {nearest(str(name), shipped)}"
    )
