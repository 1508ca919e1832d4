"""Which parameters learn at which rate, and which are clipped together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.pretrain.config import TrainConfig

__all__ = ["by_part", "by_rate"]


def by_rate(model: nn.Module, config: TrainConfig) -> dict[float, list[nn.Parameter]]:
    """Learning rate -> the parameters it is for; `config.lr` and those that `config.lr_of` does not name first."""
    groups: dict[float, list[nn.Parameter]] = {config.lr: []}
    unused = set(config.lr_of)
    for name, parameter in model.named_parameters():
        fitting = [start for start in config.lr_of if name.startswith(start)]
        unused -= set(fitting)
        rate = config.lr_of[max(fitting, key=len)] if fitting else config.lr
        if parameter.requires_grad:
            groups.setdefault(rate, []).append(parameter)
    if unused:
        parts = {name.partition(".")[0] for name, _ in model.named_parameters()}
        raise ConfigError(f"train.lr_of names {min(unused)!r}, no parameter's; {nearest(min(unused), parts)}")
    return {rate: parameters for rate, parameters in groups.items() if parameters}


def by_part(model: nn.Module, apart: Sequence[str]) -> list[list[nn.Parameter]]:
    """The parameters that learn, those of each part together, and the rest."""
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = next((start for start in apart if name.startswith(start)), "")
            parts.setdefault(part, []).append(parameter)
    return list(parts.values())
