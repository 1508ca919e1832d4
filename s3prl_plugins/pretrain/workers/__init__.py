"""Workers by name: every frame-level target as a regression, and PASE's other tasks.

PASE: arXiv 1904.03416; PASE+: arXiv 2001.09239. A new worker is one file with a subclass of `Worker` and a builder, and a
line here; a new target (`pretrain.targets`) is a worker at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from s3prl_plugins.errors import ConfigError, nearest
from s3prl_plugins.pretrain.targets import TARGETS
from s3prl_plugins.pretrain.workers.contract import Builder, Views, Worker
from s3prl_plugins.pretrain.workers.infomax import build_gim, build_lim
from s3prl_plugins.pretrain.workers.order import build_spc
from s3prl_plugins.pretrain.workers.regression import Regression, regression_builder
from s3prl_plugins.pretrain.workers.waveform import build_waveform

__all__ = ["WORKERS", "Builder", "Regression", "Views", "Worker", "build_worker"]

WORKERS: Mapping[str, Builder] = MappingProxyType(
    {
        "waveform": build_waveform,
        **{name: regression_builder(name) for name in TARGETS},
        "lim": build_lim,
        "gim": build_gim,
        "spc": build_spc,
    }
)


def build_worker(name: str, dim: int, options: Mapping[str, Any] | None = None) -> Worker:
    """A worker on embeddings of `dim` numbers a frame: `build_worker("mfcc", 100, {"coefficients": 13, "context": 7})`.

    :raises ConfigError: an unknown name or option, or a value that cannot be.
    """
    if name not in WORKERS:
        raise ConfigError(f"unknown worker {name!r}; {nearest(name, WORKERS)}")
    return WORKERS[name](dim, options or {})
