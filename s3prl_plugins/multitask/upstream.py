"""Building the encoder of a run from s3prl's hub, with errors a user can act on."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from torch import nn

from s3prl_plugins.errors import CheckpointError, ConfigError, nearest

__all__ = ["build_upstream", "choose_device"]


def build_upstream(args: argparse.Namespace) -> nn.Module:
    """The upstream that s3prl's `-u`, `-k`, `-g`, `-r` name.

    :raises ConfigError: s3prl's hub has no such name.
    :raises CheckpointError: the checkpoint is missing, or of another architecture.
    """
    from s3prl import hub

    entry = getattr(hub, args.upstream or "", None)
    if entry is None or not callable(entry):
        raise ConfigError(f"unknown upstream {args.upstream!r} (-u); {nearest(str(args.upstream), hub.options())}")
    ckpt = args.upstream_ckpt
    if args.upstream.endswith("_local") and not (ckpt and Path(ckpt).is_file()):
        raise CheckpointError(
            f"upstream {args.upstream!r} needs a checkpoint file, found -k {ckpt!r}; pass one that exists"
        )
    try:
        upstream: nn.Module = entry(ckpt=ckpt, model_config=args.upstream_model_config, refresh=args.upstream_refresh)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"upstream {args.upstream!r} cannot be built from -k {ckpt!r} ({type(error).__name__}: {reason}); "
            "pass a checkpoint made for it"
        ) from error
    return upstream


def choose_device(name: str) -> torch.device:
    """The device to compute on; `cuda` where no GPU is visible becomes `cpu`, with a warning."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name!r} is not a device; use cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        warnings.warn(f"--device {name}: no GPU is visible; computing on the CPU", stacklevel=2)
        return torch.device("cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name!r} is not there; visible GPUs are numbered 0 to {torch.cuda.device_count() - 1}"
        )
    return device
