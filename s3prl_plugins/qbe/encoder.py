"""The encoder that is evaluated: one from s3prl's hub as it is, or the finetuned one of a joint run."""

from __future__ import annotations

import argparse
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from s3prl_plugins.errors import CheckpointError, ConfigError
from s3prl_plugins.multitask import checkpoint as checkpoints
from s3prl_plugins.multitask.evaluation import saved_results
from s3prl_plugins.multitask.stock import stock_args
from s3prl_plugins.multitask.trunk import Padding, Trunk
from s3prl_plugins.multitask.upstream import build_upstream
from s3prl_plugins.seeding import seeded

__all__ = ["Encoder", "hub_encoder", "run_encoder"]


@dataclass(frozen=True)
class Encoder:
    """An encoder, and what its scores are to be filed under."""

    trunk: Trunk
    step: int
    """Of the run's newest whole checkpoint; 0 for an untouched encoder."""
    about: dict[str, Any]
    """For `results.json`."""
    made_from: dict[str, Any]
    """What tells this encoder from others: names, and checksums of its weights."""


def hub_encoder(args: argparse.Namespace, padding: Padding, size: str, device: torch.device) -> Encoder:
    """The encoder that `-u`, `-k`, `-g`, `-s` and `--seed` name, untouched.

    :param args: s3prl's arguments; its folder `expdir` may hold scores of this encoder only.
    :raises ConfigError: the folder is that of a run, or holds scores of another encoder.
    """
    folder = Path(args.expdir)
    if checkpoints.find(folder):
        raise ConfigError(f"{folder} holds a run; score its encoder with --run {folder}, or choose another -p")
    about = _about(vars(args), device) | {"tasks": ["qbe"], "padding": padding, "size": size}
    before = saved_results(folder).get("about", about)
    for key in ("upstream", "upstream_ckpt", "seed", "size"):
        if before.get(key) != about[key]:
            raise ConfigError(
                f"{folder} holds scores made with {key} = {before.get(key)!r}, now asked for is {about[key]!r}; "
                "choose another folder with -p, or remove this one"
            )
    trunk = _trunk(args, padding, device)
    made_from = {"upstream": args.upstream, "seed": args.seed, "weights": ""}
    if args.upstream_ckpt and Path(args.upstream_ckpt).is_file():
        with Path(args.upstream_ckpt).open("rb") as file:
            made_from["weights"] = hashlib.file_digest(file, "sha256").hexdigest()
    return Encoder(trunk, 0, about, made_from)


def run_encoder(run: Path, ckpt: str | None, device: torch.device) -> Encoder:
    """The encoder of a run's newest whole checkpoint, with the run's padding.

    :param ckpt: the upstream's checkpoint, if it is not any more where the run had it from.
    :raises CheckpointError: the run has no whole checkpoint, or it does not fit the upstream.
    :raises ConfigError: the run was trained further than it was scored.
    """
    found, _ = checkpoints.newest_whole(run)
    folder = found.path.parent
    scored = saved_results(folder)
    if scored and scored.get("step") != found.step:
        raise ConfigError(
            f"{folder / 'results.json'} is of step {scored.get('step')}, the newest checkpoint of {found.step}; "
            "evaluate the run first, or remove the file"
        )
    args = argparse.Namespace(**{**found.args, **({"upstream_ckpt": ckpt} if ckpt else {})})
    trunk = _trunk(args, found.config["encoder"]["padding"], device)
    weights = checkpoints.load_tensors(found, "model").get("upstream")
    if weights is not None:
        try:
            trunk.upstream.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"the encoder of {run} is not of this upstream; pass the -k it was built from"
            ) from error
    of_run = {key: found.config.get(key) for key in ("tasks", "size")} | {"padding": trunk.padding}
    about = scored.get("about") or _about(found.args, device) | of_run
    return Encoder(trunk, found.step, about, {"step": found.step, "weights": found.checksums["model.pt"]})


def _trunk(args: argparse.Namespace, padding: Padding, device: torch.device) -> Trunk:
    with seeded(args.seed, "upstream"):
        upstream = build_upstream(args)
    return Trunk(upstream, padding, args.upstream_feature_selection).to(device).eval()


def _about(args: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The same words as joint runs use."""
    given = stock_args(**args)
    return {
        "upstream": given.upstream,
        "upstream_ckpt": Path(given.upstream_ckpt).name if given.upstream_ckpt else None,
        "finetuned": bool(given.upstream_trainable),
        "seed": given.seed,
        "versions": {name: version(name) for name in ("torch", "numpy", "s3prl")}
        | {"python": platform.python_version()},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }
