"""torch 2.6 reads checkpoints without executing code; s3prl's hold an `argparse.Namespace`."""

from __future__ import annotations

import argparse
from types import ModuleType

from s3prl_plugins.compat.repair import Repair

__all__ = ["REPAIRS"]


def _mend_load(torch: ModuleType) -> bool:
    missing = argparse.Namespace not in torch.serialization.get_safe_globals()
    if missing:
        torch.serialization.add_safe_globals([argparse.Namespace])
    return missing


REPAIRS = (
    Repair(
        "torch.load",
        "torch",
        "refuses argparse.Namespace, which s3prl's checkpoints hold, since torch 2.6 (weights_only)",
        "that one class is allowed; weights_only stays on",
        _mend_load,
    ),
)
